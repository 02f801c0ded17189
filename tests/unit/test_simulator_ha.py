"""Guests under HA: their power is a wish, and they are not destroyed by the way."""

import pytest

from provisioner.simulator.wire import ApiRequest
from tests.support.simulated import QEMU, Console

VM = f"{QEMU}/218"
CT = "/nodes/pve/lxc/300"
RESOURCES = "/cluster/ha/resources"


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_guest(218)
    console.cluster.add_container(300)
    return console


def put_under_ha(console: Console, sid: str, state: str = "stopped") -> None:
    console.data("POST", RESOURCES, sid=sid, state=state)


def test_a_resource_is_added_listed_changed_and_removed(console: Console) -> None:
    put_under_ha(console, "vm:218")
    assert [row["sid"] for row in console.rows(RESOURCES)] == ["vm:218"]
    console.data("PUT", f"{RESOURCES}/vm:218", state="ignored", comment="looked after")
    assert console.read(f"{RESOURCES}/218")["state"] == "ignored"
    console.data("DELETE", f"{RESOURCES}/vm:218")
    assert console.rows(RESOURCES) == []
    assert 218 in console.cluster.inventory().guests


@pytest.mark.rude_requests
@pytest.mark.parametrize(
    ("sid", "text"),
    [
        ("vm:218", "resource ID 'vm:218' already defined"),
        ("ct:218", "resource ID 'ct:218' already defined"),
        ("vm:999", "cannot verify resource 'vm:999': it does not exist in cluster"),
        ("disk:1", "unable to parse service id 'disk:1'"),
    ],
)
def test_what_cannot_be_put_under_ha_is_refused(console: Console, sid: str, text: str) -> None:
    put_under_ha(console, "vm:218")
    assert console.ask("POST", RESOURCES, sid=sid).reason == text


@pytest.mark.parametrize(("guest", "sid", "kind"), [(VM, "vm:218", "qm"), (CT, "ct:300", "vz")])
def test_power_is_a_wish_that_the_manager_fulfils_later(
    console: Console, guest: str, sid: str, kind: str
) -> None:
    put_under_ha(console, sid)
    upid = str(console.data("POST", f"{guest}/status/start"))
    assert (upid.split(":")[5], console.cluster.state.tasks[upid].status) == ("hastart", "OK")
    assert console.read(f"{guest}/status/current")["status"] == "stopped"
    console.cluster.advance(30)
    assert console.read(f"{guest}/status/current")["status"] == "running"
    upid = str(console.data("POST", f"{guest}/status/shutdown", timeout=20))
    assert upid.split(":")[5] == "hastop"
    console.cluster.advance(30)
    now = console.read(f"{guest}/status/current")
    assert (now["status"], now["ha"]) == ("stopped", {"managed": 1, "state": "stopped"})
    done = [task.kind for task in console.cluster.inventory().tasks if task.token == "root@pam"]
    assert done == [f"{kind}start", f"{kind}shutdown"]


def test_a_wish_that_was_taken_back_is_not_fulfilled(console: Console) -> None:
    put_under_ha(console, "vm:218")
    console.data("POST", f"{VM}/status/start")
    console.data("DELETE", f"{RESOURCES}/vm:218")
    console.cluster.advance(60)
    assert not console.cluster.guest(218).running


@pytest.mark.parametrize(
    ("guest", "sid", "word"), [(VM, "vm:218", "VM 218"), (CT, "ct:300", "CT 300")]
)
def test_a_guest_under_ha_is_destroyed_only_with_purge(
    console: Console, guest: str, sid: str, word: str
) -> None:
    put_under_ha(console, sid)
    text = f"unable to remove {word} - used in HA resources and purge parameter not set."
    assert console.ask("DELETE", guest).reason == text
    assert console.task("DELETE", guest, purge=1) == "OK"
    assert console.rows(RESOURCES) == []


def test_a_guest_under_ha_is_not_hibernated(console: Console) -> None:
    console.cluster.start_guest(218)
    put_under_ha(console, "vm:218", "started")
    answer = console.ask("POST", f"{VM}/status/suspend", todisk=1)
    assert answer.reason == "Cannot suspend HA managed VM to disk"
    assert console.task("POST", f"{VM}/status/suspend") == "OK"


def test_an_ignored_guest_is_started_at_once(console: Console) -> None:
    put_under_ha(console, "vm:218", "ignored")
    assert console.task("POST", f"{VM}/status/start") == "OK"
    assert console.cluster.guest(218).running


def test_without_quorum_nothing_is_put_under_ha(console: Console) -> None:
    console.cluster.set_quorum(quorate=False)
    request = ApiRequest("POST", RESOURCES, {"sid": "vm:218"}, console.token)
    assert console.cluster.handle(request).reason == "cluster not ready - no quorum?"
