"""Power in the simulated cluster; the facts were recorded from a genuine 8.4.21."""

import pytest

from provisioner.simulator.settings import Durations, Settings
from tests.support.simulated import QEMU, Console

GUEST = f"{QEMU}/218"


@pytest.fixture
def console() -> Console:
    console = Console()
    console.cluster.add_guest(218)
    return console


def started(console: Console) -> None:
    assert console.task("POST", f"{GUEST}/status/start") == "OK"
    console.cluster.advance(30)


def status(console: Console) -> tuple[object, object]:
    row = console.read(f"{GUEST}/status/current")
    return row["status"], row["qmpstatus"]


def test_a_second_start_is_a_good_answer_and_a_failed_task(console: Console) -> None:
    started(console)
    assert console.task("POST", f"{GUEST}/status/start") == "VM 218 already running"


def test_a_stop_of_a_stopped_machine_is_fine(console: Console) -> None:
    assert console.task("POST", f"{GUEST}/status/stop") == "OK"
    assert console.task("POST", f"{GUEST}/status/shutdown") == "OK"


def test_a_guest_that_ignores_a_shutdown_runs_on(console: Console) -> None:
    started(console)
    console.cluster.guest(218).ignores_acpi = True
    exit_status = console.task("POST", f"{GUEST}/status/shutdown", timeout=3)
    assert exit_status == "VM quit/powerdown failed - got timeout"
    assert status(console) == ("running", "running")
    assert console.task("POST", f"{GUEST}/status/shutdown", timeout=3, forceStop=1) == "OK"
    assert status(console) == ("stopped", "stopped")


def test_a_guest_that_is_still_booting_ignores_a_shutdown(console: Console) -> None:
    assert console.task("POST", f"{GUEST}/status/start") == "OK"
    exit_status = console.task("POST", f"{GUEST}/status/shutdown", timeout=3)
    assert exit_status == "VM quit/powerdown failed - got timeout"


def is_up(console: Console) -> bool:
    return console.cluster.guest(218).booted


def boots(scatter: float, seed: int) -> list[float]:
    """Boot one machine eight times; returns how long each took until its guest was up."""
    console, lasted = Console(Settings(durations=Durations(boot_scatter=scatter)), seed), []
    guest = console.cluster.add_guest(218)
    for _ in range(8):
        assert console.task("POST", f"{GUEST}/status/start") == "OK"
        console.cluster.advance(guest.boot_takes - 0.3 - (console.cluster.now - guest.started_at))
        assert not is_up(console)
        console.cluster.advance(0.4)
        assert is_up(console)
        lasted.append(guest.boot_takes)
        assert console.task("POST", f"{GUEST}/status/stop") == "OK"
    return lasted


def test_boots_scatter_by_their_share_as_the_seed_says() -> None:
    some = boots(0.2, seed=1)
    assert len(set(some)) == 8
    assert all(6.4 <= seconds <= 9.6 for seconds in some)
    assert boots(0.2, seed=1) == some
    assert boots(0.2, seed=2) != some


def test_boots_take_the_same_time_unless_they_are_to_scatter() -> None:
    assert set(boots(0.0, seed=1)) == {Durations().boot}


def test_a_shutdown_holds_the_config_lock_until_its_end(console: Console) -> None:
    started(console)
    console.cluster.guest(218).ignores_acpi = True
    console.data("POST", f"{GUEST}/status/shutdown", timeout=14)
    console.cluster.advance(1)
    refused = console.ask("PUT", f"{GUEST}/config", description="x")
    assert (refused.delay, "got timeout" in refused.reason) == (10.0, True)
    allowed = console.ask("PUT", f"{GUEST}/config", description="y")
    assert allowed.status == 200
    assert allowed.delay == pytest.approx(3.0)


def test_a_stop_that_overrules_a_shutdown_does_not_wait_for_it(console: Console) -> None:
    started(console)
    console.cluster.guest(218).ignores_acpi = True
    shutdown = console.data("POST", f"{GUEST}/status/shutdown", timeout=60)
    console.cluster.advance(1)
    before = console.cluster.now
    assert console.task("POST", f"{GUEST}/status/stop", overrule_shutdown=1) == "OK"
    assert console.cluster.now - before < 5
    assert console.ended(shutdown) == "received interrupt"


def test_a_paused_machine_cannot_be_shut_down(console: Console) -> None:
    started(console)
    assert console.task("POST", f"{GUEST}/status/suspend") == "OK"
    assert status(console) == ("running", "paused")
    response = console.ask("POST", f"{GUEST}/status/shutdown")
    assert (response.status, response.reason) == (500, "VM is paused - cannot shutdown")
    assert console.task("POST", f"{GUEST}/status/resume") == "OK"


@pytest.mark.parametrize("call", ["start", "resume"])
def test_what_sleeps_on_disk_is_off_and_locked_until_it_is_woken(
    console: Console, call: str
) -> None:
    started(console)
    assert console.task("POST", f"{GUEST}/status/suspend", todisk=1) == "OK"
    assert status(console) == ("stopped", "stopped")
    assert console.read(f"{GUEST}/config")["lock"] == "suspended"
    refused = console.ask("PUT", f"{GUEST}/config", cores=2)
    assert (refused.status, refused.reason) == (500, "VM is locked (suspended)")
    assert console.task("POST", f"{GUEST}/status/{call}") == "OK"
    assert status(console) == ("running", "running")
    assert "lock" not in console.read(f"{GUEST}/config")


def test_what_needs_a_running_machine_is_refused_at_once_by_a_stopped_one(
    console: Console,
) -> None:
    for call in ("reboot", "reset", "suspend", "resume"):
        response = console.ask("POST", f"{GUEST}/status/{call}")
        assert (response.status, response.reason) == (500, "VM 218 not running")


def test_a_locked_machine_fails_in_the_task(console: Console) -> None:
    console.cluster.edit_guest(218, lock="backup")
    assert console.task("POST", f"{GUEST}/status/start") == "VM is locked (backup)"
    assert console.task("DELETE", GUEST) == "VM is locked (backup)"
    exit_status = console.task("PUT", f"{GUEST}/resize", disk="scsi0", size="9G")
    assert exit_status == "VM is locked (backup)"


def test_a_template_does_not_start(console: Console) -> None:
    exit_status = console.task("POST", f"{QEMU}/9000/status/start")
    assert exit_status == "you can't start a vm if it's a template"


def test_cluster_resources_lags_behind_status_current(console: Console) -> None:
    console.cluster.advance_to(console.cluster.settings.start + 20.5)
    console.task("POST", f"{GUEST}/status/start")
    row = console.resource(218)
    assert row is not None
    assert (row["status"], status(console)[0]) == ("stopped", "running")
    console.cluster.advance(10)
    row = console.resource(218)
    assert row is not None
    assert row["status"] == "running"


def test_memory_changed_while_running_is_pending_until_the_machine_stops(
    console: Console,
) -> None:
    started(console)
    console.data("PUT", f"{GUEST}/config", memory=4096, name="renamed")
    assert console.read(f"{GUEST}/config")["memory"] == "4096"
    assert console.read(f"{GUEST}/config", current=1)["memory"] == "2048"
    assert console.read(f"{GUEST}/config", current=1)["name"] == "renamed"
    assert console.task("POST", f"{GUEST}/status/stop") == "OK"
    assert console.read(f"{GUEST}/config", current=1)["memory"] == "4096"


def test_a_node_that_loses_power_brings_back_only_the_guests_with_onboot(
    console: Console,
) -> None:
    console.cluster.add_guest(219, running=True, config={"onboot": 1})
    started(console)
    console.cluster.power_cycle("pve")
    assert console.ask("GET", "/version").status == 595
    console.cluster.advance(120)
    inventory = console.cluster.inventory()
    powers = {vmid: guest.power for vmid, guest in inventory.guests.items()}
    assert powers == {218: "stopped", 219: "running", 9000: "stopped"}


def test_a_worker_killed_with_its_node_leaves_its_lock_behind(console: Console) -> None:
    upid = console.data("POST", f"{QEMU}/9000/clone", newid=220)
    console.cluster.power_cycle("pve")
    console.cluster.advance(120)
    assert console.ended(upid) == "unexpected status"
    assert console.read(f"{QEMU}/220/config")["lock"] == "clone"
    response = console.ask("PUT", f"{QEMU}/220/config", cores=1)
    assert (response.reason, response.delay) == ("VM is locked (clone)", 0)
