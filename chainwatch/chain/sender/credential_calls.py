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
    subscription,
)
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
    """Whether a credential of the lease is there; `cause` ends with the first one to look at."""
    lease = LeaseId.parse(sending.intent.lease)
    first = int(sending.intent.cause.rsplit(" ", 1)[1])

    def judged(answers: Sequence[Answer]) -> Seen:
        sold, *carried = answers
        said = (each for each in carried if not isinstance(each, Refusal))
        if any(lease_in(each, lease.chain_id, lease.contract) == lease.token for each in said):
            return Seen(Word.DONE, "its credential is minted")
        if _is_cancelled(sold):
            return Seen(Word.MOOT, "the subscription is cancelled")
        return WANTED

    asked = [(lease.contract, f"{SUBSCRIPTION}{lease.token:064x}")]
    to = sending.intent.call.to
    asked += [(to, f"{CARRIED}{first + ahead:064x}") for ahead in range(AHEAD)]
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
