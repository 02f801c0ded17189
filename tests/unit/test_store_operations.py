"""Intents come first, ends are observed, and what was done can be counted."""

from pathlib import Path
from typing import Final

import pytest

from chainwatch.domain.tellings import Life
from chainwatch.store.database import Database
from chainwatch.store.operations import Operations
from provisioner.errors import Locked
from provisioner.model import OpenOperation
from provisioner.oplog import OperationLog
from provisioner.ports import Place
from tests.support.stored import Crash, crash_at, opened

#: Since when something may still come: whenever it was begun, and of nothing.
FOREVER: Final = 0
NEVER: Final = 2**40


class Wall:
    """A wall clock that a test turns by hand."""

    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now


def operations(db: Database, wall: Wall | None = None) -> Operations:
    log = Operations(db, wall or Wall())
    _as_port: OperationLog = log
    return log


async def did(log: Operations, step: str, vmid: int, nonce: str, outcome: str = "ok") -> None:
    operation = await log.begin("key", step, vmid, "pve1", nonce)
    await log.finish(operation, outcome)


async def test_an_intent_survives_a_crash_and_is_found_with_or_without_its_task(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        first = await log.begin("key", "clone", 100, "pve1", "n1")
        second = await log.begin("key", "destroy", 101, "pve1", "n2")
        await log.record_task(second, "UPID:pve1:1")
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        one = OpenOperation(first, "clone", 100, "pve1", "n1", None, 1000)
        two = OpenOperation(second, "destroy", 101, "pve1", "n2", "UPID:pve1:1", 1000)
        assert await log.open_for("key", "n1") == one
        assert await log.open_for("key", "n2") == two
        assert await log.open_all() == [("key", one), ("key", two)]
        assert await log.open_for("key", "n3") is None


async def test_a_machine_has_one_open_operation(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        first = await log.begin("key", "clone", 100, "pve1", "n1")
        with pytest.raises(Locked, match=r"operation 1 \(clone\)"):
            await log.begin("key", "start", 100, "pve1", "n1")
        await log.finish(first, "ok")
        await log.begin("key", "start", 100, "pve1", "n1")


async def test_what_was_closed_stays_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        first = await log.begin("key", "clone", 100, "pve1", "n1")
        await log.finish(first, "failed", "no space")
        await log.finish(first, "ok")
        await log.record_task(first, "UPID:late")
        (row,) = await log.recent(5)
        assert (row.outcome, row.error, row.upid) == ("failed", "no space", None)
        assert await log.open_all() == []


async def test_attempts_at_a_step_are_numbered(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        for outcome in ("failed", "lost", "ok"):
            await did(log, "clone", 100, "n1", outcome)
        await did(log, "start", 100, "n1")
        rows = await log.recent(10, "key")
        assert [(row.step, row.attempt) for row in rows] == [
            ("start", 1),
            ("clone", 3),
            ("clone", 2),
            ("clone", 1),
        ]
        assert await log.recent(10, "other") == []
        assert len(await log.recent(2)) == 2


async def test_a_vmid_is_reserved_from_the_intent_to_the_end_of_its_destroy(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        clone = await log.begin("key", "clone", 100, "pve1", "n1")
        assert await log.reserved() == {100}
        assert not await log.ever_cloned("key", "n1")
        await log.finish(clone, "ok")
        assert await log.ever_cloned("key", "n1")
        await did(log, "destroy", 100, "n1", "failed")
        assert await log.reserved() == {100}
        await did(log, "destroy", 100, "n1")
        assert await log.reserved() == frozenset()
        assert await log.place("key", "n1") is None, "nothing is left to look at"
        await did(log, "clone", 100, "n2")
        assert await log.reserved() == {100}


@pytest.mark.parametrize(("outcome", "reserved"), [("failed", set()), ("lost", {100})])
async def test_only_a_clone_that_was_seen_to_fail_gives_its_vmid_back(
    tmp_path: Path, outcome: str, reserved: set[int]
) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        await did(log, "clone", 100, "n1", outcome)
        assert await log.reserved() == reserved
        assert await log.place("key", "n1") == Place(100, "pve1")
        assert not await log.ever_cloned("key", "n1")
        assert await log.nonces("key") == {"n1"}


async def test_a_clone_that_found_a_stranger_and_went_elsewhere_keeps_one_vmid(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        await did(log, "clone", 100, "n1", "lost")
        await did(log, "clone", 101, "n1")
        assert await log.reserved() == {101}
        assert await log.place("key", "n1") == Place(101, "pve1")


async def test_an_adopted_machine_is_as_good_as_one_that_was_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        for _ in range(2):
            await log.adopt("key", "n1", 100, "pve2", since=0)
        assert await log.ever_cloned("key", "n1")
        assert await log.place("key", "n1") == Place(100, "pve2")
        assert await log.reserved() == {100}
        assert len(await log.recent(10)) == 1


async def test_a_machine_whose_clone_is_open_is_not_adopted_beside_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        await log.begin("key", "clone", 100, "pve1", "n1")
        await log.adopt("key", "n1", 100, "pve1", since=0)
        assert [row.step for row in await log.recent(10)] == ["clone"]


async def test_a_machine_that_was_destroyed_while_it_was_looked_at_is_not_adopted(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        wall = Wall()
        log = operations(db, wall)
        wall.now = 1000
        await did(log, "clone", 100, "n1")
        wall.now = 2000
        await did(log, "destroy", 100, "n1")
        await log.adopt("key", "n1", 100, "pve1", since=1999)
        assert await log.reserved() == frozenset()


async def test_a_machine_that_was_proven_gone_gives_its_vmid_back(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        await did(log, "clone", 100, "n1")
        await log.gone("key", "n1", 100, "pve1")
        assert await log.reserved() == frozenset()
        assert await log.place("key", "n1") is None


async def test_freed_vmids_are_told_by_when_they_were_freed(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        wall = Wall()
        log = operations(db, wall)
        for vmid, ends in ((100, 2000), (101, 3000)):
            wall.now = 1000
            operation = await log.begin("key", "destroy", vmid, "pve1", f"n{vmid}")
            wall.now = ends
            await log.finish(operation, "ok")
        await did(log, "destroy", 102, "n102", "failed")
        assert await log.destroyed_since(2000) == [100, 101]
        assert await log.destroyed_since(2001) == [101]


async def test_the_budget_counts_machines_and_not_attempts(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        wall = Wall()
        log = operations(db, wall)
        await did(log, "destroy", 100, "old")
        wall.now = 5000
        for nonce, outcome in (("n1", "failed"), ("n1", "ok"), ("n2", "lost"), ("n3", "ok")):
            await did(log, "destroy", 100, nonce, outcome)
        assert await log.destroys_since(5000, other_than=("key", "n9")) == 3
        assert await log.destroys_since(5000, other_than=("key", "n1")) == 2
        assert await log.destroys_since(5000, other_than=("other", "n1")) == 3
        assert await log.destroys_since(1000, other_than=("key", "n9")) == 4


@pytest.mark.parametrize("edge", ["before", "after"])
@pytest.mark.parametrize("name", ["operation_begin", "operation_task", "operation_finish"])
async def test_a_crash_leaves_an_operation_as_it_was_before_or_as_it_should_be(
    tmp_path: Path, name: str, edge: str
) -> None:
    async def whole(log: Operations) -> None:
        operation = await log.begin("key", "clone", 100, "pve1", "n1")
        await log.record_task(operation, "UPID:1")
        await log.finish(operation, "ok")

    async with opened(tmp_path / "db") as db:
        with crash_at(f"commit.{name}.{edge}"), pytest.raises(Crash):
            await whole(operations(db))
    stages = [None, (None, None), ("UPID:1", None), ("UPID:1", "ok")]
    reached = ["operation_begin", "operation_task", "operation_finish"].index(name)
    async with opened(tmp_path / "db") as db:
        rows = await operations(db).recent(5)
        found = (rows[0].upid, rows[0].outcome) if rows else None
        assert found == stages[reached + (edge == "after")]


async def test_a_clone_whose_end_is_not_known_is_meant_for_its_vmid(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        log = operations(db)
        assert await log.intended("key", "n1", FOREVER) is None
        made = await log.begin("key", "clone", 100, "pve1", "n1")
        assert await log.intended("key", "n1", FOREVER) == 100
        await log.finish(made, "ok")
        assert await log.intended("key", "n1", FOREVER) is None, "it was seen"
        again = await log.begin("key", "clone", 101, "pve1", "n1")
        await log.finish(again, "lost", "its end was not seen")
        assert await log.intended("key", "n1", NEVER) == 101
        await log.gone("key", "n1", 101, "pve1")
        assert await log.intended("key", "n1", FOREVER) is None, "its VMID rests"


async def test_a_clone_may_still_come_though_another_one_failed_at_its_vmid(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        wall = Wall()
        log = Operations(db, wall)
        lost = await log.begin("key", "clone", 101, "pve1", "n1")
        begun = wall.now
        await log.finish(lost, "lost", "its end was not seen")
        wall.now += 60
        for _ in range(2):
            failed = await log.begin("key", "clone", 101, "pve1", "n1")
            await log.finish(failed, "failed", "no room")
        assert await log.intended("key", "n1", begun) == 101
        assert await log.intended("key", "n1", begun + 1) is None, "it cannot come any more"


async def test_a_machine_s_life_is_its_last_clone_and_its_last_start(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        wall = Wall()
        log = operations(db, wall)
        assert await log.life("key", "n1") == Life()
        await did(log, "clone", 100, "n1")
        await did(log, "mark-started", 100, "n1")
        assert await log.life("key", "n1") == Life(made=1, started=2, begun=1000)
        wall.now = 2000
        await did(log, "reinstall", 100, "n1")
        await did(log, "clone", 100, "n1", "failed")
        await did(log, "clone", 100, "n2")
        assert await log.life("key", "n1") == Life(made=1, started=2, begun=1000)
        await did(log, "restore", 101, "n1")
        assert await log.life("key", "n1") == Life(made=1, started=6, begun=2000)
        wall.now = 3000
        await log.adopt("key", "n3", 102, "pve1", since=3000)
        assert await log.life("key", "n3") == Life(started=7)
