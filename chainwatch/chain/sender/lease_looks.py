"""Where the effects of the daemon's calls are seen in our own contract.

Each look asks views and judges their answers; what is no answer of the contract's own has been
raised before. A lease that is gone wants nothing any more.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from chainwatch.chain.profiles.lease import PROFILE
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Looks, Refusal, Seen, Word
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Kind, Sending

_DELIVERED_AT: Final = selector("deliveredAt(uint256)")
_CONNECTION_OF: Final = selector("connectionOf(uint256)")
_PLAN_OF: Final = selector("planOf(uint256)")
_UPGRADE_OF: Final = selector("upgradeOf(uint256)")
_GONE: Final = "the lease is gone"

_Judge: TypeAlias = Callable[[Sending, list[bytes]], Seen]


def _asked(views: tuple[str, ...], judge: _Judge, *, gone: Word) -> Callable[[Sending], Look]:
    """Return a look at what these views of a token say; `gone` is what a missing token means."""

    def look(sending: Sending) -> Look:
        token = LeaseId.parse(sending.intent.lease).token

        def judged(answers: Sequence[Answer]) -> Seen:
            said = []
            for answer in answers:
                if isinstance(answer, Refusal):
                    absent = PROFILE.says_no_such_token(answer.data, token)
                    return Seen(gone, _GONE) if absent else WANTED
                said.append(answer)
            return judge(sending, said)

        to = sending.intent.call.to
        return Look(tuple((to, f"{view}{token:064x}") for view in views), judged)

    return look


def _delivered(_: Sending, said: list[bytes]) -> Seen:
    return Seen(Word.DONE, "it is delivered") if _number(said[0]) else WANTED


def _cancelled(_: Sending, said: list[bytes]) -> Seen:
    return Seen(Word.MOOT, "it was delivered") if _number(said[0]) else WANTED


def _published(sending: Sending, said: list[bytes]) -> Seen:
    reader, blob = told(sending)
    if _bytes(said[0]) == blob:
        return Seen(Word.DONE, "it is published")
    if _number(said[1]) != int(reader, 16):
        return Seen(Word.MOOT, "the lease has another owner by now")
    return WANTED


def _upgraded(sending: Sending, said: list[bytes]) -> Seen:
    plan, deadline = _answered(sending)
    if _asks(said[0]) == (plan, deadline):
        return WANTED
    if _number(said[1]) == plan:
        return Seen(Word.DONE, "the lease is of that plan")
    return Seen(Word.MOOT, "that upgrade is not asked for any more")


def _refused(sending: Sending, said: list[bytes]) -> Seen:
    if _asks(said[0]) == _answered(sending):
        return WANTED
    return Seen(Word.DONE, "that upgrade is not asked for any more")


def _answered(sending: Sending) -> tuple[int, int]:
    """Return the plan and the deadline of the upgrade that a call answers."""
    data = bytes.fromhex(sending.intent.call.data[10:])
    return _number(data[32:64]), _number(data[64:96])


def _asks(answer: bytes) -> tuple[int, int]:
    """Return the plan and the deadline of the upgrade that is asked for; plan 0 is none."""
    return _number(answer[:32]), _number(answer[32:64])


def told(sending: Sending) -> tuple[str, bytes]:
    """Return the reader and the blob of a delivery, or of a publishing."""
    data = bytes.fromhex(sending.intent.call.data[10:])
    _, reader, blob = decode(["uint256", "address", "bytes"], data)
    return str(reader), bytes(blob)


def _number(word: bytes) -> int:
    return int.from_bytes(word)


def _bytes(answer: bytes) -> bytes | None:
    try:
        (found,) = decode(["bytes"], answer)
    except (DecodingError, OverflowError):
        return None
    return bytes(found)


#: `ownerOf` is asked as every ERC-721 is asked.
_OWNER_OF: Final = selector("ownerOf(uint256)")

LEASE_LOOKS: Final[Looks] = {
    Kind.DELIVER: _asked((_DELIVERED_AT,), _delivered, gone=Word.MOOT),
    Kind.PUBLISH: _asked((_CONNECTION_OF, _OWNER_OF), _published, gone=Word.MOOT),
    Kind.CANCEL: _asked((_DELIVERED_AT,), _cancelled, gone=Word.DONE),
    Kind.UPGRADE: _asked((_UPGRADE_OF, _PLAN_OF), _upgraded, gone=Word.MOOT),
    Kind.REFUSE: _asked((_UPGRADE_OF,), _refused, gone=Word.DONE),
}
