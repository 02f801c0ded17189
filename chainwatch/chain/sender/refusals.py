"""What a contract's refusal means: that a call can never succeed any more, or that it may later.

Law: only an error of our own contract, about the very lease, ends an intent, and only for a kind of
effect of which that error says that it is too late for good. Everything else may be about the
moment (a role that is not granted yet, a clock that is behind), so it waits and says what its
operator has to do. How it fails: an error that nobody foresaw waits for ever, with an alarm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Refusal, Seen, Word, plain
from chainwatch.chain.sender.roles import PROVISIONER
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Intent, Kind


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a refusal means, as a sentence; `ends` says that the call never succeeds any more."""

    text: str
    ends: bool = False


def _of_token(name: str) -> str:
    return selector(f"{name}(uint256,uint64)")


_GONE: Final = {selector("ERC721NonexistentToken(uint256)"): "the lease is gone"}
_DELIVERED: Final = {_of_token("AlreadyDelivered"): "the lease was delivered"}
_OVERDUE: Final = {_of_token("DeliveryOverdue"): "the time in which it was promised is over"}
_NO_UPGRADE: Final = {selector("NoUpgrade(uint256)"): "that upgrade is not asked for any more"}

#: Errors about a lease after which a call of a kind never succeeds, by their selectors.
_ENDS: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.DELIVER: _GONE | _DELIVERED | _OVERDUE,
    Kind.PUBLISH: _GONE,
    Kind.CANCEL: _GONE | _DELIVERED,
    Kind.UPGRADE: _GONE | _OVERDUE | _NO_UPGRADE,
    Kind.REFUSE: _GONE | _NO_UPGRADE,
    Kind.BURN: _GONE,
}
_NO_ROLE: Final = selector("AccessControlUnauthorizedAccount(address,bytes32)")
_NOT_OWNER: Final = selector("NotLeaseOwner(uint256,address)")
#: Errors that pass by themselves.
_EARLY: Final[Mapping[str, str]] = {
    _of_token("NotExpired"): "the contract's clock says that its time is not over yet",
    _of_token("AlreadyExpired"): "the lease has expired, and goes on only when it is renewed",
    selector("NotDelivered(uint256)"): "the lease is not delivered",
}


def meaning(intent: Intent, refusal: Refusal, address: str) -> Meaning:
    """Return what it means that `address` is refused what is intended."""
    error, told = refusal.data[:10].lower(), refusal.data[10:74]
    if _is_about(intent, told) and (over := _ENDS.get(intent.kind, {}).get(error)):
        return Meaning(f"the contract refuses it for good: {over}", ends=True)
    if error == _NO_ROLE or (error == _NOT_OWNER and intent.kind is Kind.BURN):
        return Meaning(
            f"the contract refuses it: {address} does not have {PROVISIONER} at {intent.call.to}; "
            f"have its admin run `chainwatch contract role grant provisioner {address}`"
        )
    if intent.kind is Kind.MINT:
        return Meaning(
            f"the contract refuses it: {_words(refusal)}; see that {address} may mint credentials "
            f"at {intent.call.to}"
        )
    if (early := _EARLY.get(error)) is not None:
        return Meaning(f"the contract refuses it for now: {early}")
    return Meaning(f"the contract refuses it: {_words(refusal)}")


def too_late(intent: Intent, address: str) -> Look:
    """Return a look that finds it moot where `address` is refused for good what is intended."""

    def judge(answers: Sequence[Answer]) -> Seen:
        (answer,) = answers
        if isinstance(answer, Refusal) and (found := meaning(intent, answer, address)).ends:
            return Seen(Word.MOOT, found.text)
        return WANTED

    return Look(((intent.call.to, intent.call.data),), judge)


def _is_about(intent: Intent, word: str) -> bool:
    try:
        return int(word, 16) == LeaseId.parse(intent.lease).token
    except ValueError:
        return False


def _words(refusal: Refusal) -> str:
    """Return the refusal's own words, and its data where they do not tell which error it is."""
    text = plain(refusal.said or refusal.data)
    if refusal.data and refusal.data[:10] not in text:
        text += f" ({refusal.data[:138]})"
    return text
