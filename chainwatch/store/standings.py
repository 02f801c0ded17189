"""Everything stored that decides about one lease, read in one view of the database.

Law: no decision mixes two commits. The expiry before a commit and the chain time after it would
suspend a lease whose renewal came with that very commit; so lease, finalized view, plan, holds and
the state of the source come out of one snapshot.
"""

from dataclasses import dataclass

from chainwatch.domain.batches import SourceState
from chainwatch.domain.desired import Hold
from chainwatch.domain.events import ZERO_ADDRESS, Transferred
from chainwatch.domain.lease import Lease, LeaseId, Plan, fold_all, nonce_of
from chainwatch.store.database import Database, Reading
from chainwatch.store.encoding import sortable
from chainwatch.store.holds import hold_of
from chainwatch.store.journal import state_of
from chainwatch.store.leases import LeaseRow, plan_of, row_of
from chainwatch.store.projection import EVENT, logged_from
from chainwatch.store.wishes import Wish, wish_of

_OF_TOKEN = f"{EVENT} WHERE source = ? AND token = ?"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lease stands.

    `lease` is folded to the cursor (None: a reorg took its mint back, `plan` is then the last
    known one), `final` to the finalized block (None: not minted there). `former` are the nonces of
    every other mint of the token that was ever seen, orphaned or not: their machines may stand.
    `wish` is the oldest that is open.
    """

    id: LeaseId
    source: str
    state: SourceState
    lease: Lease | None
    final: Lease | None
    plan: Plan | None
    hold: Hold | None
    former: frozenset[str]
    wish: Wish | None = None


class Standings:
    """Reads standings."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, lease: str) -> Standing | None:
        """Return how `lease` (CAIP-19 id) stands; None for one that was never heard of."""
        async with self._db.reading() as read:
            row = await row_of(read, lease)
            if row is None:
                return None
            state = await state_of(read, row.source)
            return Standing(
                id=row.id,
                source=row.source,
                state=state,
                lease=row.lease,
                final=await _at_final(read, row, state),
                plan=await plan_of(read, row.source, row.plan),
                hold=await hold_of(read, lease),
                former=await _former(read, row),
                wish=await wish_of(read, lease),
            )


async def _at_final(read: Reading, row: LeaseRow, state: SourceState) -> Lease | None:
    if state.final is None:
        return None
    rows = await read.rows(
        f"{_OF_TOKEN} AND block <= ? AND orphaned_at IS NULL ORDER BY block, log_index",
        *(row.source, sortable(row.id.token), state.final.number),
    )
    return fold_all(map(logged_from, rows))


async def _former(read: Reading, row: LeaseRow) -> frozenset[str]:
    rows = await read.rows(
        f"{_OF_TOKEN} AND kind = 'transferred'", row.source, sortable(row.id.token)
    )
    minted = {
        nonce_of(logged.tx_hash, row.id.token)
        for logged in map(logged_from, rows)
        if isinstance(logged.event, Transferred) and logged.event.sender == ZERO_ADDRESS
    }
    return frozenset(minted - ({row.lease.nonce} if row.lease else set()))
