"""Which credential is of which lease, as the journal says it; see `domain/credentials.py`.

It is found in the transaction that stores an event, from what was stored before it, and written
beside the event: so whatever folds a lease's history finds what is about it by the lease alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from chainwatch.domain.batches import Source
from chainwatch.domain.credentials import Links
from chainwatch.domain.events import (
    CredentialLinked,
    CredentialMoved,
    Logged,
    Subscribed,
)
from chainwatch.store.database import Reading
from chainwatch.store.encoding import event_from, number_of, sortable

_OF_CREDENTIALS = (
    "SELECT credential, token FROM event WHERE source = ? AND credential IN"
    " (SELECT value FROM json_each(?)) AND kind = 'credential_linked' AND token IS NOT NULL"
    " AND orphaned_at IS NULL"
)
_OF_TOKENS = (
    "SELECT credential, token FROM event WHERE source = ? AND token IN"
    " (SELECT value FROM json_each(?)) AND kind = 'credential_linked' AND orphaned_at IS NULL"
)
_SUBSCRIBED = (
    "SELECT kind, fields FROM event WHERE source = ? AND token IN"
    " (SELECT value FROM json_each(?)) AND kind = 'subscribed' AND orphaned_at IS NULL"
    " ORDER BY block, log_index"
)


async def about(
    read: Reading, source: Source, events: Sequence[Logged]
) -> Sequence[int | None] | None:
    """Return which lease each event is about, None for no lease; None where all say it."""
    if not source.credential:
        return None
    credentials: set[int] = set()
    tokens: set[int] = set()
    for event in (logged.event for logged in events):
        if isinstance(event, CredentialMoved):
            credentials.add(event.credential)
        elif isinstance(event, CredentialLinked):
            credentials.add(event.credential)
            tokens.add(event.token)
    links = Links()
    for sql, numbers in ((_OF_CREDENTIALS, credentials), (_OF_TOKENS, tokens)):
        for row in await read.rows(sql, source.name, _listed(numbers)):
            links.leases[number_of(row["credential"])] = number_of(row["token"])
    for row in await read.rows(_SUBSCRIBED, source.name, _listed(tokens)):
        said = event_from(row["kind"], row["fields"])
        if isinstance(said, Subscribed):
            links.subscribers[said.token] = said.subscriber
    return links.about(events)


async def credentials_of(
    read: Reading, source: str, tokens: Iterable[int], at: int
) -> Mapping[int, int]:
    """Return the credentials of these leases at block `at`, of those that had one."""
    rows = await read.rows(f"{_OF_TOKENS} AND block <= ?", source, _listed(tokens), at)
    return {number_of(row["token"]): number_of(row["credential"]) for row in rows}


def _listed(numbers: Iterable[int]) -> str:
    return json.dumps(list(map(sortable, numbers)))
