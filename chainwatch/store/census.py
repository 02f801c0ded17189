"""Counts of everything, from one view of the database: for status and metrics, never for deciding.

What is counted here may be old when it is read; whoever decides reads the row itself. Counting
walks whole tables, so it is asked for by people and scrapes, not by passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from chainwatch.store.database import Database, Reading

_PHASES = """
SELECT lease.source, CASE WHEN owner IS NULL THEN 'gone' WHEN burnt THEN 'burnt'
    WHEN expires_at > printf('%02x%x', length(printf('%x', coalesce(block.timestamp, 0))),
        coalesce(block.timestamp, 0)) THEN 'active' -- as `encoding.sortable` writes numbers
    ELSE 'expired' END AS phase, count(*)
FROM lease JOIN source ON source.name = lease.source
LEFT JOIN block ON block.source = source.name AND block.number = source.cursor
GROUP BY 1, 2 ORDER BY 1, 2
"""
_MACHINES = """
SELECT made.key, made.nonce, made.vmid FROM operation AS made
WHERE made.step IN ('clone', 'adopt') AND made.outcome IS NOT 'failed'
AND NOT EXISTS (
    SELECT 1 FROM operation AS later
    WHERE later.key = made.key AND later.nonce = made.nonce AND later.id > made.id
    AND (later.step IN ('clone', 'adopt') AND later.outcome IS NOT 'failed'
         OR later.step = 'destroy' AND later.outcome = 'ok')
)
"""
_ENDED = """
SELECT step, outcome, count(*), sum(finished - started) FROM operation
WHERE finished IS NOT NULL GROUP BY step, outcome ORDER BY step, outcome
"""
_WORK = "SELECT count(*) FROM work WHERE parked_at"


@dataclass(frozen=True, slots=True)
class Ended:
    """How many operations of a step ended with an outcome, and their seconds together."""

    step: str
    outcome: str
    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What there is.

    `leases` is by source and phase ("gone" for those that a reorg took back), `open` by step;
    `due` counts keys that wait for a pass and `parked` those that were given up.
    """

    leases: Mapping[str, Mapping[str, int]]
    machines: int
    open: Mapping[str, int]
    due: int
    parked: int


class Census:
    """Counts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def take(self, now: int) -> Counted:
        """Count everything; `now` is wall seconds."""
        async with self._db.reading() as read:
            return Counted(
                leases=await _phases(read),
                machines=len(await read.rows(_MACHINES)),
                open=await _open(read),
                due=await _one(read, f"{_WORK} IS NULL AND not_before <= ?", now),
                parked=await _one(read, f"{_WORK} IS NOT NULL"),
            )

    async def ended(self) -> tuple[Ended, ...]:
        """Count the operations that ended, since the database was made."""
        async with self._db.reading() as read:
            return tuple(Ended(*row) for row in await read.rows(_ENDED))

    async def machines(self) -> Mapping[tuple[str, str], int]:
        """Return the VMID of every machine that was made or adopted and not destroyed since."""
        async with self._db.reading() as read:
            rows = await read.rows(_MACHINES)
        return {(row["key"], row["nonce"]): row["vmid"] for row in rows}

    async def parked(self) -> frozenset[str]:
        """Return the keys that were given up."""
        async with self._db.reading() as read:
            rows = await read.rows("SELECT key FROM work WHERE parked_at IS NOT NULL")
        return frozenset(row["key"] for row in rows)


async def _phases(read: Reading) -> Mapping[str, Mapping[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for source, phase, count in await read.rows(_PHASES):
        found.setdefault(source, {})[phase] = count
    return found


async def _open(read: Reading) -> Mapping[str, int]:
    rows = await read.rows(
        "SELECT step, count(*) FROM operation WHERE finished IS NULL GROUP BY step ORDER BY step"
    )
    return {step: count for step, count in rows}  # noqa: C416 (a Row is not a pair to mypy)


async def _one(read: Reading, sql: str, *values: int) -> int:
    row = await read.one(sql, *values)
    return 0 if row is None else int(row[0])
