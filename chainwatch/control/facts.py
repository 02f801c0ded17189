"""All that decides about one lease, read in one consistent view of the database.

What is stored (lease, its finalized view, plan, holds, how far its source was read) comes from a
single snapshot, so that no decision ever mixes an old lease with a new chain time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chainwatch.chain import profiles
from chainwatch.control.sources import Sources
from chainwatch.domain.desired import Facts
from chainwatch.store.operations import Operations
from chainwatch.store.standings import Standings
from provisioner.model import Verb

#: What an owner asks for on the chain, and what loses data: it waits until that is final.
AT_FINALITY: Final = frozenset({Verb.REINSTALL})


@dataclass(frozen=True, slots=True)
class FactsReader:
    """Joins the stored standing of a lease with what its source is worth now.

    `answered` are the sources to whose contracts we send.
    """

    standings: Standings
    operations: Operations
    sources: Sources
    answered: Collection[str]

    async def of(self, lease: str) -> Facts | None:
        """Return the facts about `lease` (CAIP-19 id).

        None for one that was never heard of, or whose source is no longer configured. What is sold
        is what the chain says, or the configuration where the contract knows no plans. Former
        nonces are those of every mint the chain ever showed, and of every machine we ever made or
        adopted for this lease: what a lost database forgot, the machines still say.
        """
        standing = await self.standings.of(lease)
        source = self.sources.get(standing.source) if standing else None
        if standing is None or source is None:
            return None
        wish, final = standing.wish, standing.state.final
        unripe = (
            wish is not None
            and wish.block is not None
            and wish.verb in AT_FINALITY
            and (final is None or wish.block > final.number)
        )
        ordered = None if unripe else wish
        return Facts(
            id=standing.id,
            lease=standing.lease,
            final=standing.final,
            plan=standing.plan or source.settings.sold(standing.plan_number),
            source=source.view(standing.state),
            hold=standing.hold,
            former=standing.former | await self.operations.nonces(lease),
            order=ordered.order if ordered else None,
            ordered_of=ordered.nonce if ordered else "",
            ordered_at=ordered.said_at if ordered else None,
            unripe=unripe,
            delivers=profiles.get(source.settings.source.profile).delivers,
            mints=bool(source.settings.source.credential),
            dealings=standing.dealings,
            larger=standing.larger,
            answers=standing.source in self.answered,
        )
