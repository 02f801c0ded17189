"""Intents that no other commit causes: what tests want sent."""

from chainwatch.domain.sendings import Intent
from chainwatch.store import sendings
from chainwatch.store.database import Database


async def want(db: Database, intent: Intent, *, now: int) -> bool:
    """Want something by itself; false where it was wanted before."""
    async with db.transaction("sending_want") as tx:
        return await sendings.want(tx, intent, now=now)
