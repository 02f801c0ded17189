"""The simulator as a process: TLS with a pinned certificate, and what the wire adds.

One process for the module, driven by `requests` and by proxmoxer, as a controller would.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from proxmoxer import ProxmoxAPI

from tests.support.simulated import KEY

PROGRAM = "import typer; from chainwatch.cli.simulator import simulator; typer.run(simulator)"
FORM = {"newid": "218", "name": "bought"}


@dataclass
class Running:
    """A running simulator and how to reach it."""

    process: subprocess.Popen[str]
    url: str
    port: int
    ca_file: str
    token: str
    control_token: str
    folder: Path

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False  # a bundle named in the environment would win over ours
        session.verify = self.ca_file
        session.headers["Authorization"] = f"PVEAPIToken=root@pam!sim={self.token}"
        return session

    def control(self, method: str, path: str, /, **body: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.control_token}"}
        data = json.dumps(body) if body else None
        url = f"{self.url}/simulator/{path}"
        return requests.request(
            method, url, headers=headers, data=data, verify=self.ca_file, timeout=20
        )


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("simulator")
    command = [sys.executable, "-c", PROGRAM, "--dir", str(folder), "--speed", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            token = Path(told["token_file"]).read_text().strip()
            control = Path(told["control_token_file"]).read_text().strip()
            yield Running(
                process, told["url"], told["port"], told["ca_file"], token, control, folder
            )
        finally:
            process.kill()


def test_a_client_that_does_not_pin_the_certificate_is_not_connected(simulator: Running) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{simulator.url}/api2/json/version", timeout=20)


def test_the_error_text_is_in_the_reason_phrase(simulator: Running) -> None:
    with simulator.session() as session:
        url = f"{simulator.url}/api2/json/nodes/pve/qemu/9000/clone"
        response = session.post(url, data={"newid": "9000"}, timeout=20)
    assert response.status_code == 500
    assert response.reason == "unable to create VM 9000: config file already exists"
    assert response.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert response.json() == {"data": None, "message": f"{response.reason}\n"}


def test_a_401_is_empty_and_closes_the_connection(simulator: Running) -> None:
    url = f"{simulator.url}/api2/json/version"
    response = requests.get(url, verify=simulator.ca_file, timeout=20)
    assert (response.status_code, response.reason, response.content) == (401, "No ticket", b"")
    assert response.headers["Connection"] == "close"


def test_a_connection_lives_for_a_hundred_requests(simulator: Running) -> None:
    with simulator.session() as session:
        answers = [
            session.get(f"{simulator.url}/api2/json/version", timeout=20) for _ in range(101)
        ]
    closing = [n for n, answer in enumerate(answers) if "Connection" in answer.headers]
    assert closing == [99]


def test_a_delete_takes_no_body_and_an_unknown_method_does_not_exist(simulator: Running) -> None:
    with simulator.session() as session:
        url = f"{simulator.url}/api2/json/nodes/pve/qemu/9555"
        refused = session.delete(url, data={"purge": "1"}, timeout=20)
        assert (refused.status_code, refused.reason) == (
            501,
            "Unexpected content for method 'DELETE'",
        )
        assert session.request("PATCH", url, timeout=20).reason == "method 'PATCH' not available"


def test_parameters_may_come_as_json(simulator: Running) -> None:
    with simulator.session() as session:
        url = f"{simulator.url}/api2/json/nodes/pve/qemu/9000/config"
        body = {"description": "json ö", "onboot": False}
        assert session.put(url, json=body, timeout=20).status_code == 200
        config = session.get(url, timeout=20).json()["data"]
    assert (config["description"], config["onboot"]) == ("json ö", 0)


def test_a_lost_reply_cuts_the_connection_after_the_effect(simulator: Running) -> None:
    armed = simulator.control("POST", "faults", name="lose-reply", method="POST", path="*/clone")
    assert armed.status_code == 200
    with simulator.session() as session:
        url = f"{simulator.url}/api2/json/nodes/pve/qemu/9000/clone"
        with pytest.raises(requests.exceptions.ConnectionError):
            session.post(url, data={"newid": "230"}, timeout=20)
    inventory = simulator.control("GET", "inventory").json()
    assert inventory["guests"]["230"]["created_by"] == "root@pam!sim"


def test_the_strings_are_pulled_with_the_control_token_only(simulator: Running) -> None:
    url = f"{simulator.url}/simulator/inventory"
    with simulator.session() as session:
        assert session.get(url, timeout=20).status_code == 403
    assert simulator.control("POST", "guests", vmid=300, running=True).json() == 300
    admits = simulator.control("GET", f"guests/300/admits?key={KEY.replace(' ', '%20')}")
    assert admits.json() is False
    assert simulator.control("POST", "guests/999/power", on=True).status_code == 400
    before = simulator.control("GET", "inventory").json()["now"]
    assert simulator.control("POST", "advance", seconds=3600).json()["now"] >= before + 3600


def test_a_storage_that_is_added_is_one_of_its_nodes(simulator: Running) -> None:
    assert simulator.control("POST", "storages", name="more", kind="nfs").json() == "more"
    url = f"{simulator.url}/api2/json/nodes/pve/storage"
    told = simulator.session().get(url, timeout=20).json()["data"]
    assert ("more", "nfs") in [(row["storage"], row["type"]) for row in told]


def test_secrets_are_readable_by_nobody_else(simulator: Running) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in simulator.folder.iterdir()}
    assert {name for name, others in modes.items() if others} == {"ca.pem"}


def test_proxmoxer_lives_a_whole_life_with_it(simulator: Running) -> None:
    api = ProxmoxAPI(
        "127.0.0.1",
        port=simulator.port,
        user="root@pam",
        token_name="sim",
        token_value=simulator.token,
        verify_ssl=simulator.ca_file,
        timeout=20,
    )
    node = api.nodes("pve")
    finish(simulator, api, node.qemu(9000).clone.post(**FORM))
    guest = node.qemu(218)
    digest = guest.config.get()["digest"]
    guest.config.put(cores=2, delete="cipassword", digest=digest)
    finish(simulator, api, guest.status.start.post())
    simulator.control("POST", "advance", seconds=20)
    pid = guest.agent("exec").post(command=["echo", "a b"])["pid"]
    simulator.control("POST", "advance", seconds=1)
    assert guest.agent("exec-status").get(pid=pid)["out-data"] == "a b\n"
    finish(simulator, api, guest.status.shutdown.post(timeout=30))
    finish(simulator, api, guest.delete(purge=1))
    assert 218 not in [each["vmid"] for each in node.qemu.get()]


def finish(simulator: Running, api: ProxmoxAPI, upid: str) -> None:
    simulator.control("POST", "advance", seconds=60)
    assert api.nodes("pve").tasks(upid).status.get()["exitstatus"] == "OK"


def test_it_ends_with_zero_when_it_is_told_to(simulator: Running) -> None:
    simulator.process.send_signal(signal.SIGTERM)
    assert simulator.process.wait(timeout=20) == 0
