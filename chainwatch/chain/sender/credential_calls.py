"""The credential that we mint for a lease, and where that is seen before it is in the journal.

The journal tells of credentials up to the cursor, and nothing is minted for a lease that has one
there. What was minted since (by us, before we lost our database) has a number that follows: of
those, as many are looked at as can be under way at once. A second credential of a lease is linked
with nothing, so a mint that is missed here costs gas, and changes nobody's access.
"""

from collections.abc import Sequence
from typing import Final

from chainwatch.chain.profiles.blockhost import (
    CARRIED,
    SUBSCRIPTION,
    lease_in,
    mint_call,
    recipient_in,
    subscription,
)
from chainwatch.chain.profiles.signatures import owner_of
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Looks, Refusal, Seen, Word
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Call, Kind, Sending
from chainwatch.errors import NotAChain

#: How many credentials after the last known one are looked at.
AHEAD: Final = 16


def mint(lease: LeaseId, recipient: str, credential: str) -> Call:
    """Mint the credential of a lease to its subscriber."""
    return Call(credential.lower(), mint_call(lease, recipient))


def _minted(sending: Sending) -> Look:
    """Whether a credential of the lease is there; `cause` ends with the first one to look at.

    Its holder may write into his own what he likes, so only one that its subscriber holds counts.
    """
    lease = LeaseId.parse(sending.intent.lease)
    first = int(sending.intent.cause.rsplit(" ", 1)[1])
    recipient = recipient_in(sending.intent.call.data)

    def judged(answers: Sequence[Answer]) -> Seen:
        sold, *rest = answers
        for carried, owner in zip(rest[::2], rest[1::2], strict=True):
            if isinstance(carried, Refusal) or isinstance(owner, Refusal):
                continue
            named = lease_in(carried, lease.chain_id, lease.contract) == lease.token
            if named and int.from_bytes(owner) == recipient:
                return Seen(Word.DONE, "its credential is minted")
        if _is_cancelled(sold):
            return Seen(Word.MOOT, "the subscription is cancelled")
        return WANTED

    asked = [(lease.contract, f"{SUBSCRIPTION}{lease.token:064x}")]
    to = sending.intent.call.to
    for number in range(first, first + AHEAD):
        asked += [(to, f"{CARRIED}{number:064x}"), (to, owner_of(number))]
    return Look(tuple(asked), judged)


def _is_cancelled(answer: Answer) -> bool:
    """Whether the contract says so; what it says in words of its own keeps nobody's mint off."""
    if isinstance(answer, Refusal):
        return False
    try:
        return subscription(answer)[2]
    except NotAChain:
        return False


CREDENTIAL_LOOKS: Final[Looks] = {Kind.MINT: _minted}
