"""Who may see what: the facts were recorded from a genuine 8.4.21."""

import json
from pathlib import Path

import pytest

from provisioner.simulator.settings import Settings
from provisioner.simulator.state import Grant, Token
from provisioner.simulator.wire import ApiRequest
from tests.support.simulated import QEMU, Console

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def console() -> Console:
    return Console()


@pytest.mark.parametrize("credentials", ["root@pam!sim=wrong", "root@pam!sim", "x@pve!y=z"])
def test_a_bad_token_is_told_so_three_seconds_late_and_without_a_body(
    console: Console, credentials: str
) -> None:
    response = console.cluster.handle(ApiRequest("GET", "/version", {}, credentials))
    assert (response.status, response.reason) == (401, "Authentication failed!")
    assert (response.raw, response.delay) == ("", 3.0)


def test_a_token_without_grants_sees_empty_lists_and_is_refused_items(console: Console) -> None:
    console.cluster.set_grants("root@pam!sim", everything=False)
    for path in ("/cluster/resources", f"{QEMU}", "/nodes/pve/storage", "/nodes/pve/tasks"):
        rows = console.rows(path)
        assert [row for row in rows if row.get("type") != "node"] == []
    assert console.rows("/cluster/resources", type="vm") == []
    assert [row["node"] for row in console.rows("/nodes")] == ["pve"]
    response = console.ask("GET", f"{QEMU}/9000/config")
    assert (response.status, response.reason) == (
        403,
        "Permission check failed (/vms/9000, VM.Audit)",
    )
    assert console.ask("GET", "/cluster/status").status == 403


def test_nextid_stays_truthful_for_a_token_without_grants(console: Console) -> None:
    console.cluster.set_grants("root@pam!sim", everything=False)
    assert console.ask("GET", "/cluster/nextid", vmid=9000).status == 400
    assert console.data("GET", "/cluster/nextid", vmid=9001) == "9001"


def test_a_clone_needs_source_target_storage_and_network_one_by_one(console: Console) -> None:
    steps = [
        ("/vms/9000", "VM.Clone", "Permission check failed (/vms/9000, VM.Clone)"),
        ("/vms/218", "VM.Allocate", "Permission check failed"),
        (
            "/storage/local",
            "Datastore.AllocateSpace",
            "Permission check failed (/storage/local, Datastore.AllocateSpace)",
        ),
        (
            "/sdn/zones/localnetwork",
            "SDN.Use",
            "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
        ),
    ]
    token = console.cluster.add_token(Token("low@pve!t", "secret", everything=False))
    console.token = "low@pve!t=secret"
    for path, privilege, refusal in steps:
        response = console.ask("POST", f"{QEMU}/9000/clone", newid=218)
        assert (response.status, response.reason) == (403, refusal)
        token.grants += (Grant(path, frozenset({privilege})),)
    assert console.clone() == "OK"


def test_a_pool_grants_what_is_in_it(console: Console) -> None:
    console.cluster.add_pool("rented")
    console.clone(pool="rented")
    everything = frozenset({"VM.Audit", "VM.PowerMgmt"})
    grants = (Grant("/pool/rented", everything),)
    console.cluster.add_token(Token("low@pve!t", "secret", everything=False, grants=grants))
    console.token = "low@pve!t=secret"
    assert [row["vmid"] for row in console.rows(QEMU)] == [218]
    assert console.task("POST", f"{QEMU}/218/status/start") == "OK"
    response = console.ask("PUT", f"{QEMU}/218/config", cores=2)
    assert response.status == 403


def test_without_quorum_everything_can_be_read_and_nothing_changed(console: Console) -> None:
    assert [row["type"] for row in console.rows("/cluster/status")] == ["node"]
    console.cluster.set_quorum(quorate=False)
    status = console.rows("/cluster/status")
    assert [row["quorate"] for row in status if row["type"] == "cluster"] == [0]
    response = console.ask("POST", f"{QEMU}/9000/clone", newid=218)
    assert (response.status, response.reason) == (500, "cluster not ready - no quorum?")
    assert console.read(f"{QEMU}/9000/config")


def test_two_nodes_are_a_cluster_and_an_unknown_one_does_not_resolve() -> None:
    console = Console(Settings(nodes=("one", "two")))
    status = console.rows("/cluster/status")
    assert [row["quorate"] for row in status if row["type"] == "cluster"] == [1]
    response = console.ask("GET", "/nodes/three/status")
    assert (response.status, response.reason.split(" - ")[0]) == (
        500,
        "hostname lookup 'three' failed",
    )
    assert console.ask("GET", "/nodes/two/qemu/9000/config").status == 500


def test_a_foreign_guest_is_touched_only_by_a_changing_call(console: Console) -> None:
    console.cluster.add_guest(300, running=True)
    console.clone()
    console.data("GET", f"{QEMU}/300/config")
    console.data("PUT", f"{QEMU}/218/config", cores=2)
    assert console.cluster.inventory().foreign_touched == {}
    console.ask("DELETE", f"{QEMU}/300")
    assert console.cluster.inventory().foreign_touched == {"root@pam!sim": (300,)}


def test_settings_for_what_stood_there_before_touch_nobody(console: Console) -> None:
    console.cluster.add_guest(300, created_by="somebody@pam")
    path, stale = "/nodes/pve/qemu/300/config", "0" * 40
    assert console.ask("PUT", path, digest=stale, name="ours").status == 500
    assert console.cluster.inventory().foreign_touched == {}
    console.data("PUT", path, digest=str(console.read(path)["digest"]), name="ours")
    assert console.cluster.inventory().foreign_touched == {"root@pam!sim": (300,)}


def test_a_token_is_told_its_own_permissions_as_a_genuine_proxmox_tells_them(
    console: Console,
) -> None:
    everything = console.read("/access/permissions")
    assert set(everything) == {
        *("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms")
    }
    recorded = json.loads((DATA / "pve-8.4-privileges.json").read_text())["permissions"]
    console.cluster.add_pool("pp")
    console.clone(pool="pp")
    console.cluster.state.pools["pp"].members.update({9315, 9316})
    console.cluster.state.pools["pp"].members.discard(218)
    own = {path: names for path, names in recorded.items() if set(names.values()) == {1}}
    grants = tuple(Grant(path, frozenset(names)) for path, names in own.items())
    console.cluster.add_token(Token("low@pve!t", "secret", everything=False, grants=grants))
    console.token = "low@pve!t=secret"
    assert console.read("/access/permissions") == recorded
