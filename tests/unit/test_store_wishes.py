"""An order is taken back or begun, whichever is committed first, and never both."""

import sqlite3
from pathlib import Path
from typing import Final

import pytest

from chainwatch.errors import OperatorError
from chainwatch.store import schema
from chainwatch.store.audit import Audit
from chainwatch.store.database import Database
from chainwatch.store.operations import Operations
from chainwatch.store.wishes import Wish, Wishes
from chainwatch.store.workqueue import WorkQueue
from provisioner.errors import Withdrawn
from provisioner.model import Verb
from tests.support.stored import Crash, crash_at, lease_id, opened

LEASE: Final = lease_id(7)
NONCE: Final = "ab" * 16


async def asked(db: Database, verb: Verb = Verb.REBOOT, *, now: int = 5) -> Wish:
    return await Wishes(db).ask((LEASE, NONCE), (verb, ""), "ticket 7", 1000, now=now)


async def withdrawn(db: Database, number: int, *, lease: str = LEASE) -> Wish:
    return await Wishes(db).withdraw(lease, number, "it cleaned up", 1001, now=9)


async def begun(db: Database, number: int) -> int:
    log = Operations(db, lambda: 8)
    return await log.begin(LEASE, "switch-off", 20000, "pve", NONCE, order=number)


async def test_an_order_that_was_withdrawn_stays_so_over_a_restart_and_is_accounted_for(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        await withdrawn(db, number)
    async with opened(tmp_path / "db") as db:
        (wish,) = await Wishes(db).of(LEASE, 9)
        assert (wish.outcome, wish.said) == ("withdrawn", "withdrawn by user 1001: it cleaned up")
        assert wish.done_at == 9
        line = (await Audit(db).recent(5))[0]
        assert (line.uid, line.what, line.subject, line.why) == (
            *(1001, f"withdraw reboot {number}", LEASE, "it cleaned up"),
        )
        assert [item.key for item in await WorkQueue(db).due(9, 9)] == [LEASE]


async def test_what_was_withdrawn_is_never_begun(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        await withdrawn(db, number)
        with pytest.raises(Withdrawn, match=f"order {number} was withdrawn meanwhile"):
            await begun(db, number)
        assert await Operations(db, lambda: 8).open_all() == []


@pytest.mark.parametrize("outcome", [None, "ok", "lost"])
async def test_what_has_begun_is_never_withdrawn(outcome: str | None, tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        operation = await begun(db, number)
        if outcome is not None:
            await Operations(db, lambda: 8).finish(operation, outcome)
        with pytest.raises(OperatorError, match=r"has begun \(switch-off\) and can't be withdrawn"):
            await withdrawn(db, number)
        assert (await Wishes(db).of(LEASE, 9))[0].outcome is None
        assert [line.what for line in await Audit(db).recent(5)] == ["reboot"]


async def test_what_only_failed_so_far_can_be_withdrawn(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        await Operations(db, lambda: 8).finish(await begun(db, number), "failed", "locked")
        assert (await withdrawn(db, number)).outcome == "withdrawn"


async def test_only_an_open_order_of_that_lease_and_of_an_operator_is_withdrawn(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        for lease, wrong in ((lease_id(8), number), (LEASE, number + 1)):
            with pytest.raises(OperatorError, match=f"has no order {wrong}"):
                await withdrawn(db, wrong, lease=lease)
        await Wishes(db).end(LEASE, number, "done", "it was started", now=6)
        with pytest.raises(OperatorError, match=r"has ended already \(done\): it was started"):
            await withdrawn(db, number)
        other = (await asked(db)).number
        async with db.transaction("wish") as tx:
            await tx.run("UPDATE wish SET uid = NULL WHERE number = ?", other)
        with pytest.raises(OperatorError, match="is the chain's"):
            await withdrawn(db, other)


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_withdrawal_and_its_audit_commit_together(edge: str, tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        number = (await asked(db)).number
        with crash_at(f"commit.wish.{edge}"), pytest.raises(Crash):
            await withdrawn(db, number)
    async with opened(tmp_path / "db") as db:
        (wish,) = await Wishes(db).of(LEASE, 9)
        stored = (wish.outcome, len(await Audit(db).recent(5)))
        assert stored == (("withdrawn", 2) if edge == "after" else (None, 1))


async def test_orders_of_a_database_from_before_withdrawals_are_kept(tmp_path: Path) -> None:
    upto = next(n for n, sql in enumerate(schema.scripts()) if "'withdrawn'" in sql)
    plain = sqlite3.connect(tmp_path / "db")
    for sql in schema.scripts()[:upto]:
        plain.executescript(sql)
    rows = [
        (5, LEASE, NONCE, "reboot", "", 1000, "why", 5, 6, "done", "it was rebooted"),
        (6, LEASE, NONCE, "rollback", "order-4", None, "", 6, None, None, None),
    ]
    plain.executemany(f"INSERT INTO wish VALUES ({','.join('?' * 11)})", rows)
    plain.execute(f"PRAGMA user_version = {upto}")
    plain.commit()
    plain.close()
    async with opened(tmp_path / "db") as db:
        kept = await Wishes(db).of(LEASE, 9)
        assert [(w.number, w.verb, w.name, w.uid, w.outcome) for w in kept] == [
            (6, Verb.ROLLBACK, "order-4", None, None),
            (5, Verb.REBOOT, "", 1000, "done"),
        ]
        async with db.reading() as read:
            names = {row["name"] for row in await read.rows("SELECT name FROM sqlite_master")}
        assert {"wish_open", "wish_of_lease"} <= names
        assert "wish_anew" not in names
