"""One file, one writer, nothing half done."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from chainwatch.domain.batches import Source
from chainwatch.errors import Fatal
from chainwatch.store import schema
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from provisioner import faultpoints
from tests.support.stored import SOURCE, Crash, crash_at, opened

INSERT = "INSERT INTO audit (uid, what, subject, why, at) VALUES (0, ?, '', '', 0)"


AUDIT = "audit (uid, what, subject, why, at)"


async def lines(db: Database) -> list[str]:
    async with db.reading() as read:
        return [row["what"] for row in await read.rows("SELECT what FROM audit ORDER BY id")]


async def test_what_is_not_committed_is_read_by_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        async with db.transaction("audit") as tx:
            await tx.run(INSERT, "written")
            assert await tx.one("SELECT 1 FROM audit") is not None
            assert await lines(db) == []
        assert await lines(db) == ["written"]


async def test_a_reading_sees_one_moment_however_much_is_committed_meanwhile(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        async with db.reading() as read:
            assert await read.rows("SELECT what FROM audit") == []
            async with db.transaction("audit") as tx:
                await tx.run(INSERT, "later")
            assert await read.rows("SELECT what FROM audit") == []
        assert await lines(db) == ["later"]


async def test_a_reading_cannot_write(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db, db.reading() as read:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            await read.rows("DELETE FROM audit")


@pytest.mark.parametrize(("edge", "left"), [("before", []), ("after", ["written"])])
async def test_a_crash_at_a_commit_leaves_all_of_it_or_nothing(
    tmp_path: Path, edge: str, left: list[str]
) -> None:
    async with opened(tmp_path / "db") as db:
        with crash_at(f"commit.audit.{edge}"), pytest.raises(Crash):
            async with db.transaction("audit") as tx:
                await tx.run(INSERT, "written")
        assert await lines(db) == left
        async with db.transaction("audit") as tx:
            await tx.run(INSERT, "next")
        assert await lines(db) == [*left, "next"]


async def test_a_cancelled_writer_leaves_nothing_open(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        inside = asyncio.Event()

        async def write_and_hang() -> None:
            async with db.transaction("audit") as tx:
                await tx.run(INSERT, "cancelled")
                inside.set()
                await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write_and_hang())
            await inside.wait()
            writer.cancel()
        async with db.transaction("audit") as tx:
            await tx.run(INSERT, "next")
        assert await lines(db) == ["next"]


@pytest.mark.parametrize("turns", range(12))
async def test_a_writer_cancelled_at_any_moment_blocks_nobody(tmp_path: Path, turns: int) -> None:
    async with opened(tmp_path / "db") as db:

        async def write(what: str) -> None:
            async with db.transaction("audit") as tx:
                await tx.run(INSERT, what)

        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(write("first")), group.create_task(write("second"))
            for _ in range(turns):
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            first.cancel()
            await second
        assert "second" in await lines(db)
        await write("third")
        assert (await lines(db))[-1] == "third"


@pytest.mark.parametrize("count", [0, 1, 3, 4, 31, 32, 255, 289, 2047, 2048, 2049, 4441])
async def test_rows_go_in_whole_and_in_their_order_however_many_they_are(
    tmp_path: Path, count: int
) -> None:
    async with opened(tmp_path / "db") as db:
        async with db.transaction("audit") as tx:
            tx.insert(AUDIT, [(0, str(number), "", "", number) for number in range(count)])
        assert await lines(db) == [str(number) for number in range(count)]


async def write(db: Database, rows: Sequence[tuple[int, str, str, str, int | None]]) -> None:
    async with db.transaction("audit") as tx:
        await tx.run(INSERT, "before")
        tx.insert(AUDIT, rows)


@pytest.mark.parametrize("wrong", [0, 2048, 4400, 4440])
async def test_one_row_that_is_refused_leaves_none_of_its_transaction(
    tmp_path: Path, wrong: int
) -> None:
    rows = [(0, str(number), "", "", None if number == wrong else number) for number in range(4441)]
    async with opened(tmp_path / "db") as db:
        with pytest.raises(sqlite3.IntegrityError):
            await write(db, rows)
        assert await lines(db) == []


async def test_a_transaction_sees_what_it_has_inserted_and_writes_it_in_its_order(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path / "db") as db:
        async with db.transaction("audit") as tx:
            tx.insert(AUDIT, [(0, "first", "", "", 1), (0, "second", "", "", 2)])
            await tx.run("UPDATE audit SET what = 'changed' WHERE what = 'second'")
            tx.insert(AUDIT, [(0, "third", "", "", 3)])
            seen = [row["what"] for row in await tx.rows("SELECT what FROM audit ORDER BY id")]
            assert seen == ["first", "changed", "third"]
            tx.insert(AUDIT, [(0, "fourth", "", "", 4)])
        assert await lines(db) == [*seen, "fourth"]


async def test_nothing_is_written_after_a_row_that_was_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        async with db.transaction("audit") as tx:
            await tx.run(INSERT, "before")
            tx.insert(AUDIT, [(0, "refused", "", "", None)])
            tx.insert(AUDIT, [(0, "after", "", "", 1)])
            with pytest.raises(sqlite3.IntegrityError):
                await tx.flush()
        assert await lines(db) == ["before"]


@pytest.mark.parametrize("turns", range(8))
async def test_a_writer_cancelled_while_rows_are_handed_over_leaves_all_of_them_or_none(
    tmp_path: Path, turns: int
) -> None:
    rows = [(0, str(number), "", "", number) for number in range(20_000)]
    async with opened(tmp_path / "db") as db:
        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write(db, rows))
            for _ in range(turns):
                await asyncio.sleep(0)
            writing.cancel()
        async with db.transaction("audit") as tx:
            await tx.run(INSERT, "next")
        assert await lines(db) in (["next"], [*(row[1] for row in rows), "next"])


async def test_writers_take_turns(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:

        async def write(what: str) -> None:
            async with db.transaction("audit") as tx:
                await tx.run(INSERT, f"{what} begins")
                await asyncio.sleep(0)
                await tx.run(INSERT, f"{what} ends")

        async with asyncio.TaskGroup() as group:
            for what in "abc":
                group.create_task(write(what))
        told = await lines(db)
        assert [line.split()[0] for line in told] == sorted(line.split()[0] for line in told)


async def test_a_second_daemon_is_kept_out_until_the_first_is_gone(tmp_path: Path) -> None:
    async with opened(tmp_path / "db"):
        with pytest.raises(Fatal, match="another chainwatch has"):
            await Database.open(tmp_path / "db", create=False)
    db = await Database.open(tmp_path / "db", create=False)
    await db.close()


async def test_a_missing_database_is_made_only_when_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="there is no database at"):
        await Database.open(tmp_path / "db", create=False)
    assert modes_in(tmp_path) == {}


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path / "db"):
        modes = modes_in(tmp_path)
    assert modes.keys() >= {"db", "db-wal", "db.lock"}
    assert set(modes.values()) == {0o600}


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("a shopping list, and long enough to be looked at\n" * 50)
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(Fatal, match="cannot be used as a database"):
        await Database.open(tmp_path / "db", create=True)
    assert (tmp_path / "db").read_bytes() == before


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="must be a folder that the daemon may write"):
        await Database.open(tmp_path / "nowhere" / "db", create=True)


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "db"):
        pass
    with sqlite3.connect(tmp_path / "db") as plain:
        plain.execute(f"PRAGMA user_version = {len(schema.scripts()) + 1}")
    plain.close()
    with pytest.raises(Fatal, match="install the version that wrote it"):
        await Database.open(tmp_path / "db", create=False)


@pytest.mark.parametrize("edge", ["before", "after"])
async def test_a_crash_while_the_schema_is_made_is_made_good_by_the_next_start(
    tmp_path: Path, edge: str
) -> None:
    with crash_at(f"commit.migrate.{edge}"), pytest.raises(Crash):
        await Database.open(tmp_path / "db", create=True)
    async with opened(tmp_path / "db") as db:
        assert await lines(db) == []


async def test_a_transaction_without_fault_points_cannot_begin(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as db:
        with pytest.raises(ValueError, match="not in the registry"):
            async with db.transaction("nonsense"):
                pass


async def test_every_commit_point_of_the_registry_belongs_to_a_transaction() -> None:
    folder = Path(schema.__file__).parent
    code = "".join(path.read_text() for path in folder.glob("*.py"))
    for name in (name.removeprefix("commit.") for name in faultpoints.COMMITS):
        assert f'transaction("{name}")' in code or f"commit.{name}.before" in code


@pytest.mark.parametrize(
    ("installation", "source", "said"),
    [
        ("other", SOURCE, "belongs to installation 'test'"),
        ("test", Source("main", 1, SOURCE.contract, 0, "lease"), "chain id was 31337"),
        ("test", Source("main", 31337, "0x" + "cd" * 20, 0, "lease"), "contract was 0xabab"),
        ("test", Source("main", 31337, SOURCE.contract, 5, "lease"), "start block was 0"),
        ("test", Source("main", 31337, SOURCE.contract, 0, "unlock"), "profile was lease"),
        ("test", Source("again", 31337, SOURCE.contract, 0, "lease"), "followed as 'main'"),
    ],
)
async def test_a_database_never_serves_two_truths(
    tmp_path: Path, installation: str, source: Source, said: str
) -> None:
    async with opened(tmp_path / "db") as db:
        with pytest.raises(Fatal, match=said):
            await check_installation(db, installation, [source])
        await check_installation(db, "test", [SOURCE])


async def test_a_contract_is_the_same_however_its_address_is_cased(tmp_path: Path) -> None:
    loud = Source("main", 31337, "0x" + "AB" * 20, 0, "lease")
    other = Source("second", 1, SOURCE.contract, 0, "lease")
    async with opened(tmp_path / "db") as db:
        await check_installation(db, "test", [loud, other])
