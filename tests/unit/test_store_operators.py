"""What operators say is durable, reasoned and accounted for; alarms stand until cleared."""

from pathlib import Path

import pytest

from chainwatch.domain.desired import Hold
from chainwatch.errors import OperatorError
from chainwatch.store.alarms import Alarm, Alarms
from chainwatch.store.audit import Audit
from chainwatch.store.holds import HoldRow, Holds, Pause
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.standings import Standings
from chainwatch.store.workqueue import WorkQueue
from tests.support.stored import Crash, crash_at, lease_id, minted_at_one, opened

LEASE = lease_id(7)


async def test_a_hold_stands_over_a_restart_with_its_reason_and_its_audit(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        await Holds(db).hold(LEASE, Hold.HOLD, "a dispute", 1000, now=5)
    async with opened(tmp_path / "db") as db:
        assert await Holds(db).of(LEASE) == [HoldRow(LEASE, Hold.HOLD, "a dispute", 1000, 5)]
        assert [item.key for item in await WorkQueue(db).due(0, 9)] == [LEASE]
        (line,) = await Audit(db).recent(5)
        assert (line.uid, line.what, line.subject, line.why, line.at) == (
            *(1000, "hold", LEASE, "a dispute", 5),
        )


async def test_a_suspension_outweighs_a_hold_until_it_is_lifted(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        await minted_at_one(Journal(db), 7)
        holds, standings = Holds(db), Standings(db)

        async def said() -> Hold | None:
            standing = await standings.of(LEASE)
            assert standing is not None
            return standing.hold

        assert await said() is None
        await holds.hold(LEASE, Hold.HOLD, "a dispute", 0, now=1)
        assert await said() is Hold.HOLD
        await holds.hold(LEASE, Hold.SUSPEND, "it sends spam", 0, now=2)
        assert await said() is Hold.SUSPEND
        await holds.release(LEASE, Hold.SUSPEND, "they cleaned up", 0, now=3)
        assert await said() is Hold.HOLD
        await holds.release(LEASE, Hold.HOLD, "settled", 0, now=4)
        assert await said() is None


async def test_what_is_not_held_cannot_be_released(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        with pytest.raises(OperatorError, match="has no hold"):
            await Holds(db).release(LEASE, Hold.HOLD, "why not", 0, now=1)
        assert await Audit(db).recent(5) == []


async def test_nothing_is_held_or_paused_without_a_reason(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        with pytest.raises(OperatorError, match="say why"):
            await Holds(db).hold(LEASE, Hold.HOLD, " ", 0, now=1)
        with pytest.raises(OperatorError, match="say why"):
            await Holds(db).pause("effects", "", 0, now=1)


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_hold_and_its_audit_commit_together(tmp_path: Path, edge: str) -> None:
    async with opened(tmp_path / "db") as db:
        with crash_at(f"commit.hold.{edge}"), pytest.raises(Crash):
            await Holds(db).hold(LEASE, Hold.HOLD, "a dispute", 0, now=1)
    async with opened(tmp_path / "db") as db:
        stored = [len(await Holds(db).all()), len(await Audit(db).recent(5))]
        assert stored == ([1, 1] if edge == "after" else [0, 0])


async def test_pauses_stand_apart_and_are_lifted_together(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        holds = Holds(db)
        await holds.pause("destroys", "after a rebuild", 0, now=1)
        await holds.pause("destroys", "again", 0, now=2)
        assert await holds.paused("effects") is None
        first = Pause("destroys", "after a rebuild", 0, 1)
        assert await holds.paused("destroys") == first
        await holds.pause("effects", "maintenance", 1000, now=3)
        both = [first, Pause("effects", "maintenance", 1000, 3)]
        assert await holds.resume("done", 1000, now=4) == both
        assert await holds.pauses() == []
        assert await holds.resume("done", 1000, now=5) == []
        assert [line.what for line in await Audit(db).recent(2, "destroys")] == ["resume", "pause"]


async def test_an_alarm_raised_again_is_the_same_alarm_with_newer_words(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        alarms = Alarms(db)
        assert await alarms.raise_("source-stale", "main", "warning", "no block for 60 s", 10)
        assert not await alarms.raise_("source-stale", "main", "critical", "for 600 s", 20)
        assert await alarms.raise_("source-stale", "other", "warning", "no block for 60 s", 20)
        assert await alarms.all() == [
            Alarm("source-stale", "main", "critical", "for 600 s", 10, 20),
            Alarm("source-stale", "other", "warning", "no block for 60 s", 20, 20),
        ]
        assert await alarms.clear("source-stale", "main")
        assert not await alarms.clear("source-stale", "main")
        assert await alarms.raise_("source-stale", "main", "warning", "no block for 60 s", 30)


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_while_an_alarm_is_raised_leaves_it_raised_or_not(
    tmp_path: Path, edge: str
) -> None:
    async with opened(tmp_path / "db") as db:
        with crash_at(f"commit.alarm.{edge}"), pytest.raises(Crash):
            await Alarms(db).raise_("orphans", "", "warning", "VM 105 is not ours", 10)
    async with opened(tmp_path / "db") as db:
        assert len(await Alarms(db).all()) == (1 if edge == "after" else 0)


async def test_a_bare_token_finds_its_lease_and_history(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        await minted_at_one(Journal(db), 7)
        leases = Leases(db)
        row = await leases.by_token(7)
        assert row is not None
        assert str(row.id) == LEASE
        assert [each.id.token for each in await leases.all()] == [7]
        assert await leases.all(after=LEASE) == []
        assert await leases.ids() == await leases.ids("main") == [LEASE]
        assert await leases.by_token(8) is None
        assert [type(e.logged.event).__name__ for e in await leases.history(LEASE)] == [
            "Transferred",
            "LeaseMinted",
            "ExpiryUpdated",
            "KeysChanged",
        ]
