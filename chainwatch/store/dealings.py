"""What the journal and our own intents say of the delivery of one lease.

Read within a view that reads more, so that it fits what else is known of the lease.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.domain.dealings import Dealings, Dealt, Upgrade
from chainwatch.domain.events import (
    ConnectionPublished,
    CredentialLinked,
    KeysChanged,
    Logged,
    Transferred,
    UpgradeUpdated,
)
from chainwatch.domain.sendings import MOST_REVERTS, Intent, Kind
from chainwatch.store.database import Reading, Transaction
from chainwatch.store.encoding import number_of, sortable
from chainwatch.store.projection import EVENT, logged_from
from chainwatch.store.sendings import want
from chainwatch.store.wishes import end_upgrade


@dataclass(frozen=True, slots=True)
class Owed:
    """Something new that is wanted on the chain, as a pass found out at `now` (wall seconds).

    Where it refuses the upgrade to plan `refused`, `said` tells the owner why.
    """

    intent: Intent
    now: int
    refused: int | None = None
    said: str = ""

    async def write(self, tx: Transaction) -> None:
        """Write it down, in the commit that ends the pass."""
        await want(tx, self.intent, now=self.now)
        if self.refused is not None:
            await end_upgrade(tx, self.intent.lease, self.refused, self.said, now=self.now)


_SAID: Final = (
    f"{EVENT} WHERE source = ? AND token = ? AND orphaned_at IS NULL AND kind IN"
    " ('transferred', 'keys_changed', 'connection_published', 'upgrade_updated',"
    " 'credential_linked')"
    " ORDER BY block, log_index"
)
_LAST_CREDENTIAL: Final = (
    "SELECT max(credential) FROM event WHERE source = ? AND credential IS NOT NULL"
)
_DEALT: Final = (
    "SELECT kind, cause, data, state = 'failed'"
    " OR (state = 'wanted' AND kind <> 'deliver' AND reverts >= ?) AS failed,"
    " wanted_at, id, block FROM sending WHERE lease = ? ORDER BY id DESC LIMIT 100"
)


async def dealings_of(read: Reading, source: str, lease: str, token: int) -> Dealings:
    """Return how far it is with the delivery of a lease."""
    keys_by, published, upgrade, credential = "", None, None, None
    where = (0, 0)
    for row in await read.rows(_SAID, source, sortable(token)):
        logged = logged_from(row)
        match logged.event:
            case Transferred():
                keys_by, published = "", None
                upgrade = None if _is_mint_or_burn(logged) else upgrade
            case KeysChanged():
                keys_by, published = logged.tx_hash, None
            case ConnectionPublished(_, blob):
                published, where = blob, (logged.block, row["seen_at"])
            case CredentialLinked():
                credential = logged.event.credential
            case UpgradeUpdated(_, plan, deadline):
                upgrade = Upgrade(plan, deadline, logged.tx_hash) if plan else None
    rows = await read.rows(_DEALT, MOST_REVERTS, lease)
    dealt = (
        Dealt(Kind(kind), cause, data, bool(failed), *rest)
        for kind, cause, data, failed, *rest in rows
    )
    following = await _next_credential(read, source)
    return Dealings(keys_by, published, upgrade, tuple(dealt), credential, following, *where)


async def _next_credential(read: Reading, source: str) -> int:
    (row,) = await read.rows(_LAST_CREDENTIAL, source)
    return 0 if row[0] is None else number_of(row[0]) + 1


def _is_mint_or_burn(logged: Logged) -> bool:
    event, nobody = logged.event, f"0x{0:040x}"
    return isinstance(event, Transferred) and nobody in (event.sender, event.recipient)
