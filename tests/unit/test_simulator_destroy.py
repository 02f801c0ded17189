"""Destroying and growing in the simulated cluster; recorded from a genuine 8.4.21."""

import pytest

from provisioner.simulator.state import Volume
from tests.support.simulated import QEMU, Console

GUEST = f"{QEMU}/218"


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_guest(218)
    return console


def volumes(console: Console) -> list[object]:
    content = console.rows("/nodes/pve/storage/local/content", vmid=218)
    return [row["volid"] for row in content]


def test_a_running_or_protected_machine_is_refused_at_once(console: Console) -> None:
    console.cluster.start_guest(218)
    response = console.ask("DELETE", GUEST, purge=1)
    assert (response.status, response.reason) == (500, "VM 218 is running - destroy failed")
    console.cluster.stop_guest(218)
    console.data("PUT", f"{GUEST}/config", protection=1)
    response = console.ask("DELETE", GUEST)
    assert response.reason == "can't remove VM 218 - protection mode enabled"


def test_a_destroy_removes_disks_firewall_and_pool_membership(console: Console) -> None:
    console.cluster.add_pool("rented")
    console.cluster.state.pools["rented"].members.add(218)
    console.data("POST", f"{GUEST}/firewall/ipset", name="mine")
    assert console.task("DELETE", GUEST) == "OK"
    assert volumes(console) == []
    assert console.data("GET", f"{GUEST}/firewall/ipset") == []
    assert console.read("/pools/rented")["members"] == []
    assert console.resource(218) is None
    again = console.ask("DELETE", GUEST)
    assert again.reason == "Configuration file 'nodes/pve/qemu-server/218.conf' does not exist"


def test_an_unreferenced_disk_stays_unless_asked_for(console: Console) -> None:
    stray = "local:218/vm-218-disk-7.raw"
    console.cluster.state.volumes[stray] = Volume(stray, 218, 2**20, "raw", 0)
    console.task("DELETE", GUEST)
    assert volumes(console) == [stray]
    assert console.cluster.inventory().leaked_volumes() == (stray,)
    console.cluster.add_guest(218)
    console.task("DELETE", GUEST, destroy_unreferenced_disks=1)
    assert volumes(console) == []


def test_a_disk_whose_storage_is_away_stays_and_the_task_says_ok(console: Console) -> None:
    console.cluster.state.storages["local"].active = False
    upid = console.data("DELETE", GUEST)
    assert console.ended(upid) == "OK"
    log = [str(row["t"]) for row in console.rows(f"/nodes/pve/tasks/{upid}/log")]
    assert any("check manually" in line for line in log)
    console.cluster.state.storages["local"].active = True
    assert len(volumes(console)) == 2


def test_of_two_deletes_at_once_the_second_fails_in_its_task(console: Console) -> None:
    first, second = console.data("DELETE", GUEST), console.data("DELETE", GUEST)
    assert console.ended(first) == "OK"
    missing = "Configuration file 'nodes/pve/qemu-server/218.conf' does not exist"
    assert console.ended(second) == missing


def test_an_absolute_resize_is_idempotent_and_a_shrink_fails_in_the_task(
    console: Console,
) -> None:
    for _ in range(2):
        assert console.task("PUT", f"{GUEST}/resize", disk="scsi0", size="10G") == "OK"
    assert str(console.read(f"{GUEST}/config")["scsi0"]).endswith(",size=10G")
    exit_status = console.task("PUT", f"{GUEST}/resize", disk="scsi0", size="5G")
    assert exit_status == "shrinking disks is not supported"
    console.task("PUT", f"{GUEST}/resize", disk="scsi0", size="+512M")
    assert str(console.read(f"{GUEST}/config")["scsi0"]).endswith(",size=10752M")


def test_a_volume_can_be_deleted_by_its_name_with_a_slash(console: Console) -> None:
    stray = "local:218/vm-218-disk-7.raw"
    console.cluster.state.volumes[stray] = Volume(stray, 218, 2**20, "raw", 0)
    path = "/nodes/pve/storage/local/content"
    assert console.task("DELETE", f"{path}/local:218%2Fvm-218-disk-7.raw") == "OK"
    assert stray not in volumes(console)
