"""What the tasks of a node say of a machine that stands still after its node's boot."""

from dataclasses import dataclass, field, replace
from typing import Final, cast

import pytest

from provisioner.boots import YOUNG, Boots, Spell
from provisioner.glimpses import REBOOT
from provisioner.intents import Intents
from provisioner.model import Observed, PowerState
from provisioner.ports import ClusterSnapshot, Hypervisor, NodeRow, Snapshots, TaskRow
from tests.support.sketches import NONCE, NOW, PAID, SUSPENDED, VMID, observed

BOOT: Final = NOW - 5000
UP: Final = 86_400
STILL: Final = observed(PAID, power=PowerState.STOPPED)
KEY: Final = (PAID.key, NONCE)
#: It was seen running before the boot, and after it.
BEFORE: Final = Spell(on=BOOT - 600)
SINCE: Final = Spell(on=BOOT + 600)
COULD_NOT: Final = "its node booted and could not start it (it is away)"
DID_NOT: Final = "its node booted and did not start it"


def row(at: int, kind: str, status: str | None = "OK") -> TaskRow:
    """A task that began `at` seconds after the boot; without a status it still runs.

    The boot before was `UP` seconds earlier.
    """
    ended = None if status is None else BOOT + at + 5
    vmid = None if kind.endswith("all") else VMID
    return dated(TaskRow("", kind, vmid, "root@pam", BOOT + at, ended, status), 0)


def dated(task: TaskRow, ahead: int) -> TaskRow:
    """The same task as a clock dates it that is `ahead` of ours."""
    since, at = task.started - BOOT, task.started + ahead
    since += UP if since < 0 else 0
    upid = f"UPID:pve:00000001:{since * 100:08X}:{at:08X}:{task.kind}:{task.vmid or ''}:root@pam:"
    return replace(task, upid=upid, started=at)


FAILED: Final = row(40, "qmstart", "it is away")
ROUND: Final = row(30, "startall")


@dataclass
class Node:
    """A node that tells of tasks, and counts how often it was asked; its clock is `ahead`.

    What it tells of was dated by a clock that was `stamped` ahead.
    """

    rows: tuple[TaskRow, ...]
    ahead: int = 0
    stamped: int = 0
    asked: list[str] = field(default_factory=list)

    async def clock(self, node: str) -> int:
        assert node == STILL.node
        return NOW + self.ahead

    async def tasks(
        self, node: str, since: int, *, vmid: int | None = None, kind: str | None = None
    ) -> list[TaskRow]:
        assert node == STILL.node
        self.asked.append(kind or str(vmid))
        rows = [dated(r, self.stamped) for r in self.rows]
        found = (r for r in rows if r.started >= since and kind in (None, r.kind))
        chosen = [r for r in found if vmid in (None, r.vmid)]
        return sorted(chosen, key=lambda r: r.started, reverse=True)


@dataclass
class List:
    """The cluster's list, which says when the node booted."""

    last: ClusterSnapshot


async def looked(
    rows: tuple[TaskRow, ...],
    spell: Spell | None = None,
    seen: Observed = STILL,
    *,
    boot: int = BOOT,
    again: int = 0,
    ahead: int = 0,
    stamped: int | None = None,
) -> tuple[Observed, list[str]]:
    """Look at a machine, and `again` so often; returns what was seen last, and what was asked."""
    node = Node(rows, ahead, ahead if stamped is None else stamped)
    uptime = NOW - boot if boot else 0
    members = {"pve": NodeRow("pve", online=True, maintenance=False, memory=0, uptime=uptime)}
    shown = List(ClusterSnapshot(0.0, {}, ("pve",), members))
    spells = {KEY: replace(spell)} if spell else {}
    log = Intents(lambda: NOW)
    boots = Boots(cast("Hypervisor", node), cast("Snapshots", shown), log, lambda: NOW, spells)
    for _ in range(again):
        await boots.look(PAID, seen)
    return await boots.look(PAID, seen), node.asked


@pytest.mark.parametrize(
    ("rows", "spell", "fallen"),
    [
        pytest.param((ROUND, FAILED), None, COULD_NOT, id="its start failed"),
        pytest.param((ROUND, FAILED), BEFORE, COULD_NOT, id="its start failed and it ran before"),
        pytest.param((ROUND, row(40, "qmstart")), BEFORE, "", id="its start went well"),
        pytest.param((FAILED, row(90, "qmstart")), BEFORE, "", id="a later start went well"),
        pytest.param(
            (row(40, "qmstart"), row(900, "qmstart", "no")), None, "", id="only a later one failed"
        ),
        pytest.param((FAILED, row(90, "vzstart", "WARNINGS: 1")), None, "", id="with warnings"),
        pytest.param((ROUND,), BEFORE, DID_NOT, id="it ran and was not started"),
        pytest.param((), BEFORE, DID_NOT, id="it ran and the node started nobody"),
        pytest.param((ROUND,), None, "", id="it may have come later"),
        pytest.param((), None, "", id="nothing is known"),
        pytest.param((row(30, "startall", "no quorum"),), None, DID_NOT, id="the round broke off"),
        pytest.param(
            (row(-100, "qmstart"), ROUND, FAILED), BEFORE, COULD_NOT, id="it was started before"
        ),
        pytest.param((row(-900, "qmstop"), FAILED), None, "", id="it was stopped before"),
        pytest.param((row(-900, "hastop"), FAILED), None, "", id="it was stopped by HA's wish"),
        pytest.param(
            (row(-900, "qmstop"), FAILED), BEFORE, COULD_NOT, id="it was stopped, and ran later"
        ),
        pytest.param(
            (row(-900, "qmstop"), row(-800, "qmstart"), FAILED),
            None,
            COULD_NOT,
            id="it was stopped and started before",
        ),
        pytest.param(
            (row(-900, "qmstop", "no"), FAILED), None, COULD_NOT, id="it could not be stopped"
        ),
        pytest.param(
            (row(-90, "stopall"), row(-80, "qmshutdown"), FAILED),
            None,
            COULD_NOT,
            id="its node shut it down to boot itself",
        ),
        pytest.param(
            (row(-900, "qmstop"), row(-90, "stopall"), FAILED),
            None,
            "",
            id="it was off when its node shut down",
        ),
        pytest.param((FAILED,), Spell(on=BOOT - 900, off=BOOT - 600), "", id="it was left off"),
        pytest.param(
            (row(-300, "qmstart"), FAILED),
            Spell(on=BOOT - 900, off=BOOT - 600),
            COULD_NOT,
            id="it was left off, and ran later",
        ),
    ],
)
@pytest.mark.parametrize("ahead", [0, 240, -240])
async def test_a_start_is_owed_to_whom_the_boot_switched_off(
    rows: tuple[TaskRow, ...], spell: Spell | None, fallen: str, ahead: int
) -> None:
    found, _ = await looked(rows, spell, ahead=ahead)
    assert (found.fallen, found.rising) == (fallen, False)


@pytest.mark.parametrize("stamped", [240, -240])
@pytest.mark.parametrize(
    ("rows", "spell", "fallen"),
    [
        pytest.param((row(-100, "qmstart"), ROUND, FAILED), BEFORE, COULD_NOT, id="it ran before"),
        pytest.param((row(-100, "qmstart"), ROUND, FAILED), None, COULD_NOT, id="nobody knows"),
        pytest.param((row(-100, "qmstart"), ROUND), BEFORE, DID_NOT, id="it was not started"),
        pytest.param((ROUND, row(40, "qmstart")), None, "", id="its start went well"),
        pytest.param((ROUND, FAILED, row(90, "qmstart")), None, "", id="a later one went well"),
        pytest.param((row(30, "startall", "no quorum"),), None, DID_NOT, id="the round broke off"),
    ],
)
async def test_a_clock_that_was_set_since_the_boot_deceives_nobody(
    rows: tuple[TaskRow, ...], spell: Spell | None, fallen: str, stamped: int
) -> None:
    found, _ = await looked(rows, spell, stamped=stamped)
    assert (found.fallen, found.rising) == (fallen, False)


@pytest.mark.parametrize(
    "rows",
    [(row(40, "qmstart", None),), (row(30, "startall", None),), (FAILED, row(90, "qmstart", None))],
)
async def test_a_node_that_is_still_at_it_is_waited_for(rows: tuple[TaskRow, ...]) -> None:
    found, _ = await looked(rows)
    assert (found.fallen, found.rising) == ("", True)


@pytest.mark.parametrize("spell", [None, Spell(on=NOW - 3600)])
async def test_a_node_that_has_only_just_booted_may_not_have_begun(spell: Spell | None) -> None:
    found, _ = await looked((), spell, boot=NOW - YOUNG + 10)
    assert found.rising


async def test_who_is_not_to_come_up_by_itself_was_not_forgotten() -> None:
    assert STILL.config is not None
    settings = replace(STILL.config.settings, onboot=False)
    seen = replace(STILL, config=replace(STILL.config, settings=settings))
    found, _ = await looked((ROUND,), BEFORE, seen)
    assert not found.fallen


async def test_who_was_seen_running_since_the_boot_is_not_asked_for() -> None:
    found, asked = await looked((FAILED,), SINCE)
    assert (found, asked) == (STILL, [])


async def test_who_ran_just_after_the_list_said_the_node_booted_is_asked_for() -> None:
    _, asked = await looked((FAILED,), Spell(on=BOOT + REBOOT))
    assert asked == [str(VMID)]


async def test_who_was_found_to_be_left_off_is_asked_for_once() -> None:
    found, asked = await looked((ROUND, row(40, "qmstart")), BEFORE, again=5)
    assert (found, asked) == (STILL, [str(VMID)])


@pytest.mark.parametrize(
    "seen",
    [
        observed(PAID),
        replace(STILL, power=PowerState.UNKNOWN),
        observed(PAID, replace(SUSPENDED), PowerState.STOPPED),
        observed(PAID, replace(SUSPENDED, suspended_at=None), PowerState.STOPPED),
    ],
    ids=["it runs", "nobody knows", "it is suspended", "a start is owed anyhow"],
)
async def test_of_anybody_else_nothing_is_asked(seen: Observed) -> None:
    assert await looked((FAILED,), None, seen) == (seen, [])


async def test_a_node_that_does_not_say_when_it_booted_proves_nothing() -> None:
    assert await looked((FAILED,), boot=0) == (STILL, [])


async def test_what_a_task_said_is_told_in_one_short_line() -> None:
    found, _ = await looked((row(40, "qmstart", "a\nb " + "x" * 500),))
    assert "(a b xxx" in found.fallen
    assert len(found.fallen) < 260
