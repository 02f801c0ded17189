"""The HTTPS front delivers every mode of failure as the cluster has it, and a console's socket."""

import asyncio
import ssl
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import requests

from provisioner.simulator.faults import FaultName
from provisioner.simulator.modes.catalogue import MODES, arm
from provisioner.simulator.modes.mode import Mode, Told
from provisioner.simulator.wire import ApiRequest, ApiResponse
from tests.support.pve import Fronted
from tests.support.stage import Stage, staged

SPEED: Final = 400.0
SILENT: Final = {FaultName.LOSE_REPLY, FaultName.DROP, FaultName.UNREACHABLE}
TOLD: Final = [
    pytest.param(mode, form, id=f"{mode.number}-{form}")
    for mode in MODES.values()
    for form, each in enumerate(mode.forms)
    if each.told is Told.REPLY and each.fault.name is not FaultName.HANG
]


def over_the_wire(front: Fronted, ask: ApiRequest) -> requests.Response:
    """Make a call as a client would, each on a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(front.certificate)
        session.headers["Authorization"] = f"PVEAPIToken={ask.token}"
        url = f"https://127.0.0.1:{front.port}/api2/json{ask.path}"
        form, query = dict(ask.params), None
        if ask.method not in {"POST", "PUT"}:
            form, query = {}, form
        return session.request(ask.method, url, params=query, data=form or None, timeout=20)


@pytest.mark.parametrize(("mode", "form"), TOLD)
def test_the_front_says_of_a_mode_what_the_cluster_says(
    mode: Mode, form: int, tmp_path: Path
) -> None:
    twin, stage = staged(), staged()
    answer = _struck(twin, mode, form)
    request = stage.request(mode, form)
    arm(stage.console.cluster, mode, (request.method, request.path), form=form)
    with Fronted(tmp_path, stage.console.cluster, SPEED) as front:
        if mode.forms[form].fault.name in SILENT:
            with pytest.raises(requests.exceptions.ConnectionError):
                over_the_wire(front, request)
            return
        told = over_the_wire(front, request)
    assert (told.status_code, told.reason) == (answer.status, answer.reason)
    if answer.raw is None:
        assert told.json().get("errors") == answer.body().get("errors")
    else:
        assert told.text == answer.raw


def _struck(stage: Stage, mode: Mode, form: int) -> ApiResponse:
    request = stage.request(mode, form)
    arm(stage.console.cluster, mode, (request.method, request.path), form=form)
    return stage.asked(request)


async def test_a_consoles_socket_is_opened_once_for_whom_it_was_made(tmp_path: Path) -> None:
    stage = staged()
    console = stage.console
    with Fronted(tmp_path, console.cluster, 1.0) as front:
        guest = "/nodes/pve/qemu/219"
        made = ApiRequest("POST", f"{guest}/vncproxy", {"websocket": "1"}, console.token)
        told = (await asyncio.to_thread(over_the_wire, front, made)).json()["data"]
        url = f"https://127.0.0.1:{front.port}/api2/json{guest}/vncwebsocket"
        trust = ssl.create_default_context(cafile=str(front.certificate))
        headers = {"Authorization": f"PVEAPIToken={console.token}"}
        place = {"port": told["port"], "vncticket": told["ticket"]}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.ws_connect(url, ssl=trust, params=place) as socket:
                assert await socket.receive_bytes() == b"RFB 003.008\n"
                await socket.send_bytes(b"key")
                assert await socket.receive_bytes() == b"key"
            with pytest.raises(aiohttp.ClientError):
                await session.ws_connect(url, ssl=trust, params=place)
