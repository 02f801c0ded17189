"""Nodes over real SSH connections: kept, bounded, pinned, and cut at the worst moment."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from provisioner.errors import Permanent, Transient, UnknownOutcome
from provisioner.guest import connection
from provisioner.guest.container import PctShell
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guestos import Run, Session
from provisioner.simulator.programs import PROGRAMS
from tests.support.nodes import NODE, Fronted, Simulated, direct_node, fronted
from tests.support.pve import ALICE, BOB

CT = 20001
SNIPPET = "chainwatch-20000-0123456789abcdef.yaml"


@pytest.fixture
def simulated() -> Simulated:
    it = Simulated()
    it.start_container(CT)
    it.cluster.advance(60)
    return it


@pytest.fixture
async def node(simulated: Simulated) -> AsyncIterator[Fronted]:
    async with fronted(simulated) as it:
        yield it


async def test_one_connection_serves_many_commands_a_few_at_a_time(node: Fronted) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(25):
            tasks.create_task(node.world.shell.version(NODE))
    assert node.front.connections == 1
    assert node.front.most_sessions == connection.SESSIONS


async def test_a_connection_that_was_cut_is_opened_again_unseen(node: Fronted) -> None:
    await node.world.shell.version(NODE)
    node.front.cut()
    await node.world.shell.version(NODE)
    assert node.front.connections == 2


async def test_a_host_key_that_changed_is_permanent_and_names_both(node: Fronted) -> None:
    pinned = node.front.fingerprint(NODE)
    node.front.change_host_key(NODE)
    with pytest.raises(Permanent) as raised:
        await node.world.shell.put_snippet(NODE, SNIPPET, b"x")
    for told in (pinned, node.front.fingerprint(NODE), "ssh-keygen -lf", "known_hosts"):
        assert told in str(raised.value)
    assert node.world.snippets() == {}


async def test_a_login_that_is_refused_says_what_to_do(node: Fronted, simulated: Simulated) -> None:
    simulated.arm(Fault(FaultName.UNAUTHORIZED, "SSH", f"/{NODE}/login"))
    with pytest.raises(Transient, match="chainwatch node authorize"):
        await node.world.shell.version(NODE)


async def test_a_node_that_failed_to_connect_is_not_asked_again_at_once(
    node: Fronted, simulated: Simulated
) -> None:
    simulated.cluster.cut_power(NODE)
    for _ in range(3):
        with pytest.raises(Transient, match="cannot be reached"):
            await node.world.shell.version(NODE)
    assert node.front.connections == 1


@pytest.mark.parametrize("over_ssh", [True, False], ids=["ssh", "direct"])
@pytest.mark.parametrize("name", [FaultName.CUT_SHORT, FaultName.DISK_FULL, FaultName.LOSE_REPLY])
async def test_a_snippet_that_failed_is_whole_or_as_it_was_and_tried_again(
    node: Fronted, simulated: Simulated, name: FaultName, *, over_ssh: bool
) -> None:
    world = node.world if over_ssh else direct_node(simulated)
    await world.shell.put_snippet(NODE, SNIPPET, b"old")
    simulated.arm(Fault(name, "SSH", f"/{NODE}/put-snippet"))
    with pytest.raises(Transient):
        await world.shell.put_snippet(NODE, SNIPPET, b"new" * 1000)
    kept = b"new" * 1000 if name is FaultName.LOSE_REPLY else b"old"
    assert world.snippets() == {SNIPPET: kept}
    await world.shell.put_snippet(NODE, SNIPPET, b"new" * 1000)
    assert world.snippets() == {SNIPPET: b"new" * 1000}


@pytest.mark.parametrize("over_ssh", [True, False], ids=["ssh", "direct"])
@pytest.mark.parametrize("name", [FaultName.CUT_SHORT, FaultName.LOSE_REPLY])
async def test_a_command_whose_end_was_lost_may_have_been_run(
    node: Fronted, simulated: Simulated, name: FaultName, *, over_ssh: bool
) -> None:
    world = node.world if over_ssh else direct_node(simulated)
    simulated.arm(Fault(name, "SSH", f"/{NODE}/pct-exec"))
    with pytest.raises(UnknownOutcome, match="lost"):
        await world.shell.pct_exec(NODE, CT, ["true"], b"in")


async def test_a_command_that_hangs_past_its_time_is_given_up(simulated: Simulated) -> None:
    world = direct_node(simulated)
    simulated.arm(Fault(FaultName.HANG, "SSH", f"/{NODE}/pct-exec", seconds=600))
    with pytest.raises(UnknownOutcome, match="no end within 45 s"):
        await world.shell.pct_exec(NODE, CT, ["true"])
    simulated.arm(Fault(FaultName.HANG, "SSH", f"/{NODE}/route", seconds=600))
    with pytest.raises(Transient, match="no end within 30 s"):
        await world.shell.routes(NODE)


async def test_a_command_that_ends_badly_passes_its_exit_code_on(
    node: Fronted, simulated: Simulated
) -> None:
    simulated.arm(Fault(FaultName.REFUSE, "SSH", f"/{NODE}/pct-exec", status=3, text="no"))
    ended = await node.world.guest.run(NODE, CT, ["true"])
    assert (ended.code, ended.error) == (3, b"no")


async def test_what_a_guest_says_is_bounded(node: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "x" * (connection.MOST_SAID + 1)
    monkeypatch.setitem(PROGRAMS, "cat", lambda *_: Run(output=endless))
    with pytest.raises(UnknownOutcome, match="more than 1048576 bytes"):
        await node.world.guest.run(NODE, CT, ["cat"])
    monkeypatch.setitem(PROGRAMS, "id", lambda *_: Run(9, error=endless[:-1000]))
    with pytest.raises(Transient) as raised:
        await node.world.guest.set_authorized_keys(NODE, CT, "tenant", ALICE)
    assert len(str(raised.value)) < 1000


# --------------------------------------------------------------------------- keys in a container


@pytest.fixture
def guest(simulated: Simulated) -> PctShell:
    return direct_node(simulated).guest


async def test_a_missing_account_is_made_and_opened_by_the_key(
    simulated: Simulated, guest: PctShell
) -> None:
    await guest.set_authorized_keys(NODE, CT, "tenant", f"{ALICE}\n{BOB}\n")
    assert simulated.cluster.admits(CT, ALICE)
    assert simulated.cluster.admits(CT, BOB)


async def test_after_a_handover_the_new_key_opens_the_container_and_no_other_does(
    simulated: Simulated, guest: PctShell
) -> None:
    await guest.set_authorized_keys(NODE, CT, "tenant", ALICE)
    await guest.set_authorized_keys(NODE, CT, "tenant", BOB)
    assert not simulated.cluster.admits(CT, ALICE)
    assert simulated.cluster.admits(CT, BOB)
    await guest.set_authorized_keys(NODE, CT, "tenant", "")
    assert not simulated.cluster.admits(CT, BOB)


async def test_no_key_makes_no_account(simulated: Simulated, guest: PctShell) -> None:
    await guest.set_authorized_keys(NODE, CT, "tenant", "")
    assert "tenant" not in simulated.cluster.guest(CT).os.users


async def test_keys_that_were_cut_short_are_written_again(
    simulated: Simulated, guest: PctShell
) -> None:
    simulated.arm(Fault(FaultName.CUT_SHORT, "SSH", f"/{NODE}/pct-exec"))
    with pytest.raises(Transient, match="done again"):
        await guest.set_authorized_keys(NODE, CT, "tenant", ALICE)
    assert not simulated.cluster.admits(CT, ALICE)
    await guest.set_authorized_keys(NODE, CT, "tenant", ALICE)
    assert simulated.cluster.admits(CT, ALICE)


async def test_whoever_was_logged_in_is_thrown_out_and_nobody_is_fine_too(
    simulated: Simulated, guest: PctShell
) -> None:
    await guest.set_authorized_keys(NODE, CT, "tenant", ALICE)
    simulated.cluster.guest(CT).os.sessions.append(Session("tenant"))
    await guest.end_sessions(NODE, CT, "tenant")
    assert simulated.cluster.inventory().guests[CT].sessions == ()
    await guest.end_sessions(NODE, CT, "tenant")


async def test_a_question_that_is_not_answered_in_time_is_no_answer(
    simulated: Simulated, guest: PctShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await guest.answers(NODE, CT)
    monkeypatch.setitem(PROGRAMS, "true", lambda *_: Run(seconds=60))
    assert not await guest.answers(NODE, CT)


async def test_routes_go_with_a_reboot_of_the_node_and_isolation_with_one_of_the_guest(
    simulated: Simulated,
) -> None:
    shell = direct_node(simulated).shell
    await shell.route(NODE, "2001:db8::15", "vmbr0")
    await shell.isolate(NODE, CT)
    simulated.cluster.stop_guest(CT)
    simulated.cluster.start_guest(CT)
    assert await shell.isolated(NODE) == {CT: False}
    assert await shell.routes(NODE) == {"2001:db8::15": "vmbr0"}
    simulated.cluster.power_cycle(NODE)
    simulated.cluster.advance(120)
    assert await shell.routes(NODE) == {}
