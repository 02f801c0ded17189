"""Everything stored that decides about one lease, read in one view of the database.

Law: no decision mixes two commits. The expiry before a commit and the chain time after it would
suspend a lease whose renewal came with that very commit; so lease, finalized view, plan, holds and
the state of the source come out of one snapshot.
"""

from dataclasses import dataclass

from chainwatch.domain.batches import SourceState
from chainwatch.domain.dealings import NOTHING, Dealings
from chainwatch.domain.desired import Hold
from chainwatch.domain.events import ZERO_ADDRESS, Event, Subscribed, Transferred
from chainwatch.domain.lease import Lease, LeaseId, Plan, fold_all, nonce_of
from chainwatch.store.database import Database, Reading
from chainwatch.store.dealings import dealings_of
from chainwatch.store.encoding import sortable
from chainwatch.store.holds import hold_of
from chainwatch.store.journal import state_of
from chainwatch.store.leases import LeaseRow, plan_of, row_of
from chainwatch.store.projection import EVENT, folded_from, logged_from
from chainwatch.store.wishes import Wish, wish_of

_OF_TOKEN = f"{EVENT} WHERE source = ? AND token = ?"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a lease stands.

    `lease` is folded to the cursor (None: a reorg took its mint back, `plan` is then the last
    known one), `final` to the finalized block (None: not minted there). `former` are the nonces of
    every other mint of the token that was ever seen, orphaned or not: their machines may stand.
    `plan_number` is the number of `plan`, which may stand in the configuration alone; `wish` is the
    oldest that is open, `larger` the plan of the upgrade in `dealings`.
    """

    id: LeaseId
    source: str
    state: SourceState
    lease: Lease | None
    final: Lease | None
    plan: Plan | None
    plan_number: int | None
    hold: Hold | None
    former: frozenset[str]
    wish: Wish | None = None
    dealings: Dealings = NOTHING
    larger: Plan | None = None


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
            dealings = await dealings_of(read, row.source, lease, row.id.token)
            wanted = dealings.upgrade.plan if dealings.upgrade else None
            return Standing(
                id=row.id,
                source=row.source,
                state=state,
                lease=row.lease,
                final=await _at_final(read, row, state),
                plan=await plan_of(read, row.source, row.plan),
                plan_number=row.plan,
                hold=await hold_of(read, lease),
                former=await _former(read, row),
                wish=await wish_of(read, lease),
                dealings=dealings,
                larger=await plan_of(read, row.source, wanted),
            )


async def _at_final(read: Reading, row: LeaseRow, state: SourceState) -> Lease | None:
    if state.final is None:
        return None
    rows = await read.rows(
        f"{_OF_TOKEN} AND block <= ? AND orphaned_at IS NULL ORDER BY block, log_index",
        *(row.source, sortable(row.id.token), state.final.number),
    )
    return fold_all(folded_from(rows))


async def _former(read: Reading, row: LeaseRow) -> frozenset[str]:
    rows = await read.rows(
        f"{_OF_TOKEN} AND kind IN ('transferred', 'subscribed')", row.source, sortable(row.id.token)
    )
    minted = {
        nonce_of(logged.tx_hash, row.id.token)
        for logged in map(logged_from, rows)
        if _makes(logged.event)
    }
    return frozenset(minted - ({row.lease.nonce} if row.lease else set()))


def _makes(event: Event) -> bool:
    """Say whether it makes a lease."""
    minted = isinstance(event, Transferred) and event.sender == ZERO_ADDRESS
    return minted or isinstance(event, Subscribed)
