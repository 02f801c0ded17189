"""Each of the 62 modes of failure, armed and struck: what is said is what Proxmox says."""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from provisioner.errors import Transient
from provisioner.guest.container import PctShell
from provisioner.simulator.faults import FaultName, matches
from provisioner.simulator.modes.catalogue import MODES, arm, has_struck, mend
from provisioner.simulator.modes.mode import CLONE, DESTROY, START, Form, Mode, Told
from provisioner.simulator.wire import ApiRequest, ApiResponse, Fate
from tests.support.nodes import NODE, Simulated, direct_node
from tests.support.stage import VM, Stage, pattern, staged

FORMS: Final = [
    pytest.param(mode, form, id=f"{mode.number}-{form}")
    for mode in MODES.values()
    for form, each in enumerate(mode.forms)
    if each.told is not Told.SSH
]
#: What is struck over SSH, and what whoever asked is told.
OVER_SSH: Final = {
    FaultName.DISK_FULL: ("put-snippet", "there is no room"),
    FaultName.CUT_SHORT: ("put-snippet", "the connection was lost"),
    FaultName.REFUSE: ("pct-exec", "exit code 1: there is no such file"),
    FaultName.UNAUTHORIZED: ("login", "refuses our key"),
    FaultName.UNREACHABLE: ("login", "cannot be reached"),
}


@pytest.fixture
def stage() -> Stage:
    return staged()


def told(form: Form, response: ApiResponse, stage: Stage) -> Iterator[str]:
    """Return everything that the caller gets to hear where this form is told."""
    if form.told is Told.REPLY:
        yield response.reason
        yield from (response.errors or {}).values()
        return
    stage.console.cluster.settle(4 * 3600)
    task = stage.console.cluster.state.tasks[str(response.data)]
    if form.told is Told.TASK:
        yield str(task.status)
        yield str(task.status).removeprefix("clone failed: ")
    yield from task.log if form.told is Told.LOG else ()


@pytest.mark.parametrize(("mode", "form"), FORMS)
def test_every_mode_strikes_and_is_told_word_for_word(mode: Mode, form: int, stage: Stage) -> None:
    request = stage.request(mode, form)
    chosen = mode.forms[form]
    arm(stage.console.cluster, mode, (request.method, request.path), form=form)
    assert not has_struck(stage.console.cluster, mode)
    response = stage.asked(request)
    assert has_struck(stage.console.cluster, mode)
    if chosen.says:
        said = list(told(chosen, response, stage))
        assert any(re.fullmatch(pattern(chosen, request), each) for each in said), said
        if chosen.told is Told.REPLY:
            assert response.status == chosen.status
    elif chosen.told is Told.REPLY and chosen.fault.name is not FaultName.HANG:
        assert response.fate is not Fate.ANSWERED
    for field, text in chosen.fault.errors:
        assert response.errors is not None
        vmid = str(request.params.get("vmid", ""))
        assert response.errors[field] == text.replace("{vmid}", vmid)


@pytest.mark.parametrize(("mode", "form"), FORMS)
def test_a_mended_mode_troubles_nobody_any_more(mode: Mode, form: int, stage: Stage) -> None:
    cluster = stage.console.cluster
    request = stage.request(mode, form)
    arm(cluster, mode, (request.method, request.path), form=form)
    stage.asked(request)
    cluster.advance(120)
    mend(cluster, mode)
    cluster.settle()
    before = len(cluster.state.faults.struck)
    clone = ApiRequest("POST", "/nodes/pve/qemu/9000/clone", {"newid": "777"}, stage.console.token)
    assert stage.console.ended(stage.asked(clone).data) == "OK"
    assert stage.console.read("/nodes/pve/status")["uptime"]
    assert len(cluster.state.faults.struck) == before


def test_what_somebody_else_did_to_a_storage_stays_when_a_mode_is_mended(stage: Stage) -> None:
    cluster, mode = stage.console.cluster, MODES[38]
    storage = cluster.state.storages[cluster.settings.storage]
    request, storage.active = stage.request(mode, 0), False
    arm(cluster, mode, (request.method, request.path))
    stage.asked(request)
    assert cluster.state.faults.struck
    storage.active = True
    mend(cluster, mode)
    assert storage.active


@pytest.mark.parametrize("mode", [m for m in MODES.values() if m.forms], ids=lambda m: m.name)
def test_a_mode_lies_in_wait_at_every_call_that_it_is_known_at(mode: Mode, stage: Stage) -> None:
    armed = arm(stage.console.cluster, mode)
    assert [(fault.method, fault.path) for fault in armed] == list(mode.strikes)
    mend(stage.console.cluster, mode)
    assert stage.console.cluster.state.faults.armed == []


def test_the_catalogue_has_all_62_by_number_and_name() -> None:
    assert sorted(MODES) == list(range(1, 63))
    assert len({mode.name for mode in MODES.values()}) == 62
    for mode in MODES.values():
        assert bool(mode.forms) != bool(mode.elsewhere), mode.name
        assert mode.ends.endswith("."), mode.name


def test_what_only_the_chain_shows_cannot_be_armed(stage: Stage) -> None:
    with pytest.raises(ValueError, match="is not of the cluster"):
        arm(stage.console.cluster, MODES[61])


@pytest.mark.parametrize("form", range(len(MODES[60].forms)))
async def test_what_befalls_a_node_over_ssh_is_told_and_mended(form: int) -> None:
    simulated, mode = Simulated(), MODES[60]
    verb, said = OVER_SSH[mode.forms[form].fault.name]
    simulated.start_container(20000)
    shell = direct_node(simulated).shell

    async def work() -> None:
        await shell.put_snippet(NODE, "chainwatch-20000-0123456789abcdef.yaml", b"#cloud-config")
        await PctShell(shell).set_authorized_keys(NODE, 20000, "root", "")

    arm(simulated.cluster, mode, ("SSH", f"/{NODE}/{verb}"), form=form)
    with pytest.raises(Transient, match=said):
        await work()
    assert has_struck(simulated.cluster, mode)
    mend(simulated.cluster, mode)
    await work()


def test_the_nth_call_is_struck_and_no_other(stage: Stage) -> None:
    arm(stage.console.cluster, MODES[20], START, nth=2)
    statuses = [stage.console.ask("POST", f"{VM}/status/start").status for _ in range(3)]
    assert statuses == [200, 500, 200]


def test_a_pattern_in_braces_is_one_segment_of_a_path() -> None:
    rule = "/nodes/pve/qemu/218/firewall/rules/0"
    assert matches(*DESTROY, "DELETE", VM)
    assert not matches(*DESTROY, "DELETE", rule)


def test_lists_come_back_empty_while_single_items_are_refused(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[29], ("GET", "/cluster/resources"))
    assert console.rows("/cluster/resources", type="vm") == []
    assert console.ask("GET", f"{VM}/config").status == 403
    mend(console.cluster, MODES[29])
    assert console.rows("/cluster/resources", type="vm")


def test_ten_clients_are_told_the_same_next_id(stage: Stage) -> None:
    assert {stage.console.data("GET", "/cluster/nextid") for _ in range(10)} == {"100"}


def test_a_killed_clone_leaves_its_lock_and_its_volumes(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[33], CLONE)
    assert console.clone(230) == "unexpected status"
    assert console.cluster.guest(230).lock == "clone"


def test_a_forgotten_task_is_unknown_by_its_id_and_in_the_list(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[34], START)
    upid = console.data("POST", f"{VM}/status/start")
    console.cluster.advance(30)
    assert console.ask("GET", f"/nodes/pve/tasks/{upid}/status").status == 400
    assert upid not in [row["upid"] for row in console.rows("/nodes/pve/tasks")]
    assert console.cluster.guest(218).running


def test_a_start_may_fail_and_the_guest_run_all_the_same(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[50], START, form=1)
    assert console.task("POST", f"{VM}/status/start") == "start failed: QEMU exited with code 1"
    assert console.cluster.guest(218).running


def test_an_interrupted_clones_vmid_is_somebody_elses_afterwards(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[36], CLONE)
    assert console.clone(230) == "clone failed: interrupted by signal"
    console.cluster.advance(1)
    assert console.cluster.guest(230).created_by == "root@pam"


def test_a_list_grows_old_while_a_guest_is_seen_as_it_is(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[58], START)
    console.task("POST", f"{VM}/status/start")
    console.cluster.advance(60)
    row = console.resource(218)
    assert row is not None
    assert row["status"] == "stopped"
    assert console.read(f"{VM}/status/current")["status"] == "running"
    mend(console.cluster, MODES[58])
    row = console.resource(218)
    assert row is not None
    assert row["status"] == "running"


def test_a_nodes_wrong_clock_is_in_its_task_ids_and_lists(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[62], START)
    upid = str(console.data("POST", f"{VM}/status/start"))
    assert int(upid.split(":")[4], 16) == int(console.cluster.now) + 240


def test_a_missing_privilege_is_named_with_its_path(stage: Stage) -> None:
    console = stage.console
    arm(console.cluster, MODES[27], CLONE)
    answer = console.ask("POST", "/nodes/pve/qemu/9000/clone", newid=230)
    assert answer.reason == "Permission check failed (/vms/9000, VM.Clone)"
