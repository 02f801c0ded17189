"""Proof that the rows are what the journal says: everything folded again and compared.

It reads in slices, each from one snapshot, so that a running daemon is not held up and a lease is
never compared with another moment's events. A difference is a defect of this program or of the
disk, and is said in a sentence; nothing is mended here, `chainwatch rebuild` does that.
"""

from collections.abc import Sequence
from itertools import groupby

from chainwatch.domain.lease import Lease
from chainwatch.store.database import Database, Reading, Row
from chainwatch.store.encoding import number_of, plan_from
from chainwatch.store.projection import LEASE, folded_leases, folded_plans, lease_from

_SLICE = 500


async def verify(db: Database) -> list[str]:
    """Return a sentence for each row that is not the fold of its events, and for a broken file."""
    said = await _file(db)
    after = ""
    while True:
        async with db.reading() as read:
            rows = await read.rows(f"{LEASE} WHERE id > ? ORDER BY id LIMIT ?", after, _SLICE)
            if not rows:
                break
            said += await _leases(read, rows)
        after = rows[-1]["id"]
    return said + await _missing(db) + await _plans(db)


async def _file(db: Database) -> list[str]:
    async with db.reading() as read:
        broken = [row[0] for row in await read.rows("PRAGMA quick_check") if row[0] != "ok"]
        dangling = await read.rows("PRAGMA foreign_key_check")
    return [f"the file is damaged: {sentence}" for sentence in broken] + [
        f"a row of table {row[0]} refers to a row of {row[2]} that is missing" for row in dangling
    ]


async def _leases(read: Reading, rows: Sequence[Row]) -> list[str]:
    said = []
    for source, group in groupby(sorted(rows, key=_source), key=_source):
        members = list(group)
        folded = await folded_leases(read, source, [row["token"] for row in members])
        said += [_differs(row, folded.get(row["token"])) for row in members]
    return [sentence for sentence in said if sentence]


def _differs(row: Row, folded: Lease | None) -> str:
    stored = lease_from(row)
    if stored == folded:
        return ""
    return f"{row['id']} is stored as {stored or 'gone'}, its events say {folded or 'gone'}"


def _source(row: Row) -> str:
    return str(row["source"])


async def _missing(db: Database) -> list[str]:
    """Name the tokens that the chain minted and that have no row."""
    async with db.reading() as read:
        rows = await read.rows(
            "SELECT DISTINCT source, token FROM event WHERE token IS NOT NULL"
            " AND orphaned_at IS NULL AND NOT EXISTS (SELECT 1 FROM lease"
            " WHERE lease.token = event.token AND lease.source = event.source) ORDER BY source"
        )
        said = []
        for source, group in groupby(rows, key=_source):
            minted = await folded_leases(read, source, [row["token"] for row in group])
            said += [f"{source}: token {number_of(t)} was minted and has no row" for t in minted]
    return said


async def _plans(db: Database) -> list[str]:
    async with db.reading() as read:
        said = []
        for source in [row["name"] for row in await read.rows("SELECT name FROM source")]:
            rows = await read.rows("SELECT id, fields FROM plan WHERE source = ?", source)
            stored = {row["id"]: plan_from(row["fields"]) for row in rows}
            named = await read.rows("SELECT DISTINCT plan FROM event WHERE source = ?", source)
            folded = await folded_plans(read, source, [row["plan"] for row in named if row["plan"]])
            said += [
                f"{source}: plan {number_of(plan)} is stored as {stored.get(plan)},"
                f" its events say {folded.get(plan)}"
                for plan in sorted(stored.keys() | folded.keys())
                if stored.get(plan) != folded.get(plan)
            ]
    return said
