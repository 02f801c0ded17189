"""What stands about a lease because of our own transactions: derived from its intents.

Law: `sender-refused` stands while an intent of the lease that has not ended is refused by its
contract, `sender-failed` while one has reverted too often; each says so of every such intent. Both
are derived anew in the commit that changes any of that, so that neither outlives what it is about,
and a crash leaves nobody untold. How it fails: of what nobody sends any more nothing changes, so a
start derives all of it for what is sent then.
"""

import json
from collections.abc import Collection
from typing import Final

from chainwatch.domain.sendings import MOST_REVERTS, Kind
from chainwatch.store import alarms
from chainwatch.store.database import Row, Transaction

#: What is raised about the lease of an intent: its contract refuses it, or it was mined in vain.
REFUSED: Final = "sender-refused"
FAILED: Final = "sender-failed"

#: What stands is about these; not about a connection in whose place a later one is told.
_GROUNDS: Final = """
SELECT kind, refused, reverts, (
    SELECT hash FROM attempt WHERE attempt.sending = sending.id AND void = 0 ORDER BY id DESC
) AS last
FROM sending WHERE lease = ?1 AND done_at IS NULL AND (refused IS NOT NULL OR reverts >= ?2)
AND (?3 IS NULL OR source IN (SELECT value FROM json_each(?3)))
AND NOT (kind = 'publish' AND EXISTS (
    SELECT 1 FROM sending AS later
    WHERE later.lease = sending.lease AND later.kind = 'publish' AND later.id > sending.id
)) ORDER BY id
"""
_ALL: Final = """
SELECT lease FROM sending WHERE done_at IS NULL AND (refused IS NOT NULL OR reverts >= ?)
UNION SELECT subject FROM alarm WHERE name IN (?, ?)
"""


async def derive(
    tx: Transaction, lease: str, *, now: int, sources: Collection[str] | None = None
) -> None:
    """Have the alarms about a lease say what is so of its intents; of `sources` alone, if given."""
    among = None if sources is None else json.dumps(list(sources))
    rows = await tx.rows(_GROUNDS, lease, MOST_REVERTS, among)
    refused = [f"{row['kind']}: {row['refused']}" for row in rows if row["refused"] is not None]
    failed = [_in_vain(row) for row in rows if row["reverts"] >= MOST_REVERTS]
    for name, said in ((REFUSED, refused), (FAILED, failed)):
        if said:
            await alarms.stands(tx, name, lease, "; ".join(said), severity="warning", now=now)
        else:
            await alarms.ends(tx, name, lease)


async def derive_all(tx: Transaction, sources: Collection[str], *, now: int) -> None:
    """Have the alarms about every lease say what is so of the intents of `sources`."""
    for row in await tx.rows(_ALL, MOST_REVERTS, REFUSED, FAILED):
        await derive(tx, row["lease"], now=now, sources=sources)


def _in_vain(row: Row) -> str:
    ending = "is tried again ever more rarely, until its time is over"
    if row["kind"] != Kind.DELIVER:
        ending = "was given up; `chainwatch retry` has it tried again"
    last = f" (the last was {row['last']})" if row["last"] else ""
    return f"{row['kind']}: it reverted {row['reverts']} times{last} and {ending}"
