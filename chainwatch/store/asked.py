"""What owners ask for on the chain, as wishes: written with the events that say so, each once.

Law: a request is a wish from the commit that stores its event, whatever is read again and in
whatever block it comes back; one that a reorg takes back before anything was begun for it is
refused, and wanted again should it come back. Who sells a lease asks for nothing more; what a sale,
a withdrawal or a new plan ended is wanted again when a reorg takes that back. How it fails: what
was begun already is brought to its end, for a machine must not be left in the middle; and what
stands in the block of the request and might have ended it is taken for what did.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from chainwatch.domain.batches import Source
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    ActionRequested,
    Block,
    Logged,
    PlanChanged,
    Transferred,
    UpgradeUpdated,
)
from chainwatch.domain.lease import Lease, lease_ids
from chainwatch.store.database import Row, Transaction
from chainwatch.store.projection import EVENT, logged_from
from chainwatch.store.wishes import MOST, UPGRADE
from provisioner.model import Verb

#: What the contract's numbers ask for.
VERBS: Final[Mapping[int, str]] = {
    1: Verb.REBOOT,
    2: Verb.START,
    3: Verb.STOP,
    4: Verb.REINSTALL,
    5: UPGRADE,
}
TAKEN_BACK: Final = "a reorg took the request back"
SOLD: Final = "the lease changed hands meanwhile"
WITHDRAWN: Final = "it was taken back, or refused, on the chain"
TOO_MANY: Final = "too many requests of this lease are not done yet"
BY_OWNER: Final = "its owner asked on the chain"

_NEW: Final = """
INSERT INTO wish (
    number, lease, nonce, verb, name, uid, reason, asked_at, source, event, block, said_at
) VALUES (
    max(?8, 1 + (SELECT coalesce(max(number), 0) FROM wish)),
    ?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7, ?9, ?10, ?8
)
ON CONFLICT (event) DO UPDATE SET block = excluded.block, said_at = excluded.said_at
RETURNING number, outcome, said
"""
_REFUSE: Final = (
    "UPDATE wish SET done_at = ?, outcome = 'refused', said = ? WHERE done_at IS NULL"
    " AND event IS NOT NULL"
    " AND NOT EXISTS (SELECT 1 FROM operation WHERE operation.wish = wish.number)"
)

#: What an event may have ended, of one token.
_ENDED: Final = """
SELECT number, wish.lease, verb, name, wish.block FROM wish JOIN lease ON lease.id = wish.lease
WHERE wish.source = ? AND lease.token = ? AND event IS NOT NULL
AND (said IN (?, ?) OR (verb = ? AND outcome = 'done')) ORDER BY number
"""
_SINCE: Final = (
    f"{EVENT} WHERE source = ? AND token = ? AND block >= ? AND orphaned_at IS NULL"
    " AND kind IN ('transferred', 'plan_changed', 'upgrade_updated')"
)
_WAITING: Final = (
    "SELECT DISTINCT lease FROM wish WHERE source = ? AND done_at IS NULL AND event IS NOT NULL"
)


async def heard(
    tx: Transaction,
    source: Source,
    leases: Mapping[int, Lease | None],
    blocks: Sequence[Block],
    events: Sequence[Logged],
    *,
    now: int,
) -> None:
    """Make wishes of what `events` ask for, and end those that they settle.

    `leases` are the leases as they stand after `events`, `blocks` those that hold them.
    """
    ids = lease_ids(source.chain_id, source.contract)
    times = {block.number: block.timestamp for block in blocks}
    places: Counter[tuple[str, int]] = Counter()
    waiting = {row["lease"] for row in await tx.rows(_WAITING, source.name)}
    for logged in events:
        match logged.event:
            case ActionRequested(token, kind, data):
                place = places[logged.tx_hash, token]
                places[logged.tx_hash, token] += 1
                lease = leases.get(token)
                if lease is not None and kind in VERBS:
                    key = f"{source.name}:{logged.tx_hash}:{token}:{place}"
                    name = str(int(data[2:66] or "0", 16)) if kind == 5 else ""
                    wanted = (f"{ids}{token}", lease.nonce, VERBS[kind], name)
                    at = times[logged.block]
                    await _asked(tx, source.name, wanted, key, (logged.block, at), now=now)
                    waiting.add(f"{ids}{token}")
            case Transferred(token, sender, _) if (
                sender != ZERO_ADDRESS and f"{ids}{token}" in waiting
            ):
                await tx.run(
                    f"{_REFUSE} AND lease = ? AND verb <> ?", *(now, SOLD, f"{ids}{token}", UPGRADE)
                )
            case PlanChanged(token, plan) if f"{ids}{token}" in waiting:
                await _upgraded(tx, f"{ids}{token}", plan, now)
            case UpgradeUpdated(token, 0, _) if f"{ids}{token}" in waiting:
                await tx.run(
                    f"{_REFUSE} AND lease = ? AND verb = ?",
                    *(now, WITHDRAWN, f"{ids}{token}", UPGRADE),
                )
            case _:
                pass


async def taken_back(
    tx: Transaction, source: str, above: int, tokens: Collection[str], *, now: int
) -> None:
    """Refuse what is asked for in blocks above this one, and was not begun.

    `tokens` (as stored) are those of which something was taken back: what that ended goes on.
    """
    for token in tokens:
        for row in await tx.rows(_ENDED, source, token, SOLD, WITHDRAWN, UPGRADE):
            if not await _still_ended(tx, source, token, row):
                await _again(tx, row["number"])
    await tx.run(f"{_REFUSE} AND source = ? AND block > ?", *(now, TAKEN_BACK, source, above))


async def _asked(
    tx: Transaction,
    source: str,
    wanted: tuple[str, str, str, str],
    key: str,
    where: tuple[int, int],
    *,
    now: int,
) -> None:
    block, at = where
    many = await tx.rows(
        "SELECT 1 FROM wish WHERE lease = ? AND done_at IS NULL AND event IS NOT ? AND verb <> ?",
        *(wanted[0], key, UPGRADE),
    )
    (row,) = await tx.rows(_NEW, *wanted, BY_OWNER, now, source, at, key, block)
    if row["said"] == TAKEN_BACK:
        await _again(tx, row["number"])
    elif row["outcome"] is None and len(many) >= MOST and wanted[2] != UPGRADE:
        await tx.run(f"{_REFUSE} AND number = ?", *(now, TOO_MANY, row["number"]))


async def _again(tx: Transaction, number: int) -> None:
    """Open a wish again, with a number of its own: machines pass over those that they had."""
    await tx.run(
        "UPDATE wish SET done_at = NULL, outcome = NULL, said = NULL,"
        " number = 1 + (SELECT max(number) FROM wish) WHERE number = ?",
        number,
    )


async def _still_ended(tx: Transaction, source: str, token: str, wish: Row) -> bool:
    """Say whether something that still stands since the request ends a wish."""
    for row in await tx.rows(_SINCE, source, token, wish["block"]):
        match logged_from(row).event:
            case Transferred(_, sender, _) if wish["verb"] != UPGRADE and sender != ZERO_ADDRESS:
                return True
            case PlanChanged(_, plan) if (wish["verb"], wish["name"]) == (UPGRADE, str(plan)):
                return True
            case UpgradeUpdated(_, 0, _) if wish["verb"] == UPGRADE:
                return True
            case _:
                pass
    return False


async def _upgraded(tx: Transaction, lease: str, plan: int, now: int) -> None:
    await tx.run(
        "UPDATE wish SET done_at = ?, outcome = 'done', said = ? WHERE lease = ? AND verb = ?"
        " AND name = ? AND done_at IS NULL",
        *(now, f"the lease is of plan {plan} now", lease, UPGRADE, str(plan)),
    )
