"""Whose lease a credential is, where a second contract's tokens say who owns the leases of a first.

A credential says by itself whom it belongs to, and not of which lease it is; that is linked once,
when it is minted. Law: the first credential that was minted to the subscriber of a lease, and
carries the words that it is of this lease, is the lease's for ever; from then on the lease goes
where the credential goes. Every other claim is about nothing: so nobody who may write into his own
credential gets hold of a lease that is not his, and a second mint changes nobody's access. This
follows from the order of the chain alone, so it is the same whenever the chain is read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from msgspec.structs import replace

from chainwatch.domain.events import (
    ZERO_ADDRESS,
    CredentialLinked,
    CredentialMoved,
    Logged,
    PlanDefined,
    PlanTerms,
    Subscribed,
    Transferred,
)


@dataclass(slots=True)
class Links:
    """What is known before some events: who subscribed to each lease, and of which lease each is.

    `leases` is from credentials to leases.
    """

    subscribers: dict[int, str] = field(default_factory=dict)
    leases: dict[int, int] = field(default_factory=dict)

    def about(self, events: Sequence[Logged]) -> list[int | None]:
        """Return which lease each of these whole blocks' events is about, None for no lease.

        What a block links holds for all of its events, and is known afterwards.
        """
        found: list[int | None] = []
        for _, block in groupby(events, key=attrgetter("block")):
            found += self._in_block(list(block))
        return found

    def _in_block(self, events: Sequence[Logged]) -> list[int | None]:
        linked = [self._linked(logged) for logged in events]
        return [
            self.leases.get(logged.event.credential)
            if isinstance(logged.event, CredentialMoved)
            else token
            for logged, token in zip(events, linked, strict=True)
        ]

    def _linked(self, logged: Logged) -> int | None:
        match logged.event:
            case PlanDefined() | PlanTerms() | CredentialMoved():
                return None
            case Subscribed(token, subscriber):
                self.subscribers[token] = subscriber
                return token
            case CredentialLinked(token, credential, recipient):
                if self.subscribers.get(token) != recipient:
                    return None
                if credential in self.leases or token in self.leases.values():
                    return None
                self.leases[credential] = token
                return token
            case told:
                return told.token


def folded_as(logged: Logged, token: int) -> Logged | None:
    """Return what an event about the lease `token` says of it; None where it says nothing.

    That a credential was minted says nothing: the lease is its subscriber's already.
    """
    event = logged.event
    if not isinstance(event, CredentialMoved):
        return logged
    if event.sender == ZERO_ADDRESS:
        return None
    return replace(logged, event=Transferred(token, event.sender, event.recipient))


def folded(events: Iterable[Logged], about: Iterable[int | None]) -> Iterator[Logged]:
    """Yield what these events say of leases and plans."""
    for logged, token in zip(events, about, strict=True):
        if token is None:
            if isinstance(logged.event, PlanDefined | PlanTerms):
                yield logged
        elif (said := folded_as(logged, token)) is not None:
            yield said
