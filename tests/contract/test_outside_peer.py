"""The stand-in against a simulator that somebody else wrote: the same calls, the same answers.

`fakepve` was made from the same sources by others. Where the two differ stands in `DIVERGENCES`,
with who is right and by what; a difference that is gone fails too, so the list cannot rot.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from aiohttp.test_utils import TestClient, TestServer
from fakepve import FakePve

from provisioner.simulator.wire import ApiRequest
from tests.support.simulated import Console

NODE: Final = "/nodes/pve"
QEMU: Final = f"{NODE}/qemu"
Params: TypeAlias = dict[str, str]
#: Status, reason phrase, and the exit status of the task, if one was started.
Said: TypeAlias = tuple[int, str, str]
Ask: TypeAlias = Callable[[str, str, Params], Said]

#: One story of calls; the guests are a template 9000, 218 (stopped) and 219 (running).
STORY: Final[dict[str, tuple[str, str, Params]]] = {
    "an id that is free": ("GET", "/cluster/nextid", {"vmid": "300"}),
    "an id that is taken": ("GET", "/cluster/nextid", {"vmid": "218"}),
    "a guest that is not there": ("GET", f"{QEMU}/555/config", {}),
    "a clone without an id": ("POST", f"{QEMU}/9000/clone", {}),
    "a clone onto a taken id": ("POST", f"{QEMU}/9000/clone", {"newid": "218"}),
    "a linked clone onto a named storage": (
        "POST",
        f"{QEMU}/9000/clone",
        {"newid": "300", "storage": "local"},
    ),
    "a clone": ("POST", f"{QEMU}/9000/clone", {"newid": "300", "name": "bought"}),
    "a change": ("PUT", f"{QEMU}/300/config", {"cores": "2"}),
    "a change of nothing": ("PUT", f"{QEMU}/300/config", {}),
    "a change with an unknown key": ("PUT", f"{QEMU}/300/config", {"colour": "red"}),
    "a change against another digest": (
        "PUT",
        f"{QEMU}/300/config",
        {"cores": "3", "digest": "0" * 40},
    ),
    "keys that are not encoded": (
        "PUT",
        f"{QEMU}/300/config",
        {"sshkeys": "ssh-ed25519 AAAA a@b"},
    ),
    "a larger disk": ("PUT", f"{QEMU}/218/resize", {"disk": "scsi0", "size": "8G"}),
    "a smaller disk": ("PUT", f"{QEMU}/218/resize", {"disk": "scsi0", "size": "1G"}),
    "a start": ("POST", f"{QEMU}/218/status/start", {}),
    "a start of what runs": ("POST", f"{QEMU}/218/status/start", {}),
    "a destroy of what runs": ("DELETE", f"{QEMU}/218", {}),
    "a stop": ("POST", f"{QEMU}/218/status/stop", {}),
    "a shutdown of what is stopped": ("POST", f"{QEMU}/218/status/shutdown", {}),
    "protection": ("PUT", f"{QEMU}/218/config", {"protection": "1"}),
    "a destroy of what is protected": ("DELETE", f"{QEMU}/218", {}),
    "no protection": ("PUT", f"{QEMU}/218/config", {"protection": "0"}),
    "a destroy": ("DELETE", f"{QEMU}/218", {"purge": "1"}),
    "what was destroyed": ("GET", f"{QEMU}/218/status/current", {}),
    "a destroy of what is gone": ("DELETE", f"{QEMU}/218", {}),
    "an unknown node": ("GET", "/nodes/nowhere/status", {}),
    "an unknown path": ("GET", "/machines", {}),
}
LOOKUP: Final = "hostname lookup 'nowhere' failed - failed to get address info for: nowhere: "
#: What differs: what the peer says instead, and who is right.
DIVERGENCES: Final[dict[str, tuple[Said, str]]] = {
    "a linked clone onto a named storage": (
        (400, "Parameter verification failed.", ""),
        "ours: an 8.4.21 was heard to say it so; the peer follows the schema of 9.2",
    ),
    "a change of nothing": (
        (200, "OK", ""),
        "ours: an 8.4.21 was heard to say `no options specified`",
    ),
    "a smaller disk": (
        (200, "OK", "OK"),
        "ours: an 8.4.21 was heard to fail the task; the peer's resize does nothing",
    ),
    "a shutdown of what is stopped": (
        (500, "VM 218 not running", ""),
        "ours: an 8.4.21 was heard to start a task that ends well; both are survived",
    ),
    "an unknown node": (
        (500, f"{LOOKUP}Name or service not known", ""),
        "either: the last words are the resolver's own, and differ from system to system",
    ),
    "an unknown path": (
        (404, "Not Found", ""),
        "ours: an API path that is none is a 501; the peer's web framework answers",
    ),
}


def ours() -> Ask:
    """Return how the stand-in is asked."""
    console = Console()
    console.cluster.add_guest(218)
    console.cluster.add_guest(219, running=True)
    console.cluster.advance(60)

    def ask(method: str, path: str, params: Params) -> Said:
        answer = console.cluster.handle(ApiRequest(method, path, params, console.token))
        ended = ""
        if answer.status == 200 and str(answer.data).startswith("UPID:"):
            ended = str(console.ended(answer.data))
        return answer.status, answer.reason, ended

    return ask


def peer() -> FakePve:
    """Return the peer, with the same guests; its tasks are done at once."""
    made = FakePve(user="root@pam", password="secret")
    made.time_scale = 0
    made.apitokens["root@pam!sim"] = "secret"
    made.add_node("pve")
    disk = {"scsi0": "local:218/vm-218-disk-0.qcow2,size=4G", "memory": "2048", "cores": 1}
    base = disk | {"scsi0": "local:9000/base-9000-disk-0.qcow2,size=4G"}
    made.add_vm(9000, "template", node="pve", config=base, template=True)
    made.add_vm(218, "one", node="pve", config=disk)
    made.add_vm(219, "two", node="pve", config=disk, status="running")
    return made


async def theirs(client: TestClient[Any, Any], method: str, path: str, params: Params) -> Said:
    """Ask the peer, and wait for the task that a call started."""
    query, form = (None, params) if method in {"POST", "PUT"} else (params, None)
    headers = {"Authorization": "PVEAPIToken=root@pam!sim=secret"}
    async with client.request(
        method, f"/api2/json{path}", params=query, data=form, headers=headers
    ) as answer:
        body = await answer.read()
        status, reason = answer.status, str(answer.reason)
    data = json.loads(body).get("data") if body.startswith(b"{") else None
    if status != 200 or not str(data).startswith("UPID:"):
        return status, reason, ""
    for _ in range(200):
        task = f"/api2/json{NODE}/tasks/{data}/status"
        async with client.get(task, headers=headers) as answer:
            row = (await answer.json())["data"]
        if row["status"] == "stopped":
            return status, reason, str(row["exitstatus"])
        await asyncio.sleep(0)
    raise AssertionError(f"{data} does not end")


async def test_both_say_the_same_but_for_what_is_listed() -> None:
    ask = ours()
    differing: dict[str, Said] = {}
    async with TestClient(TestServer(peer()._build_app())) as client:
        for name, (method, path, params) in STORY.items():
            mine = ask(method, path, dict(params))
            other = await theirs(client, method, path, dict(params))
            if mine != other:
                differing[name] = other
    assert differing == {name: said for name, (said, _) in DIVERGENCES.items()}
