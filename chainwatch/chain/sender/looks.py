"""How an effect is looked up on the chain before anything is sent: questions, and what they mean.

A look is data: calls of views, and a pure judgement of their answers. So it can be asked at any
block (`latest` before something is sent, the final one before it is given up) by whoever has a
node. What every contract knows is here; `lease_looks` has the looks of our own contract, and
`credential_calls` those of credentials. How it fails: a kind of effect for which there is no look
is never sent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias

from chainwatch.chain.decode import Profile
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Kind, Sending


class Word(Enum):
    """What a look says: the effect is still wanted, is there, can't be wanted any more; or nothing.

    `UNKNOWN` is for the gateway to say, of what the node does not tell.
    """

    WANTED = auto()
    DONE = auto()
    MOOT = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found; `why` completes "it is not sent: …"."""

    word: Word
    why: str = ""


#: Characters of what a node or a contract says that are kept.
_LONGEST: Final = 200

WANTED: Final = Seen(Word.WANTED)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The contract's own refusal: the revert's data (0x hex), and the node's words about it."""

    data: str
    said: str = ""


Answer: TypeAlias = bytes | Refusal


@dataclass(frozen=True, slots=True)
class Look:
    """Views to call, each (contract, data), and what their answers mean."""

    calls: tuple[tuple[str, str], ...]
    judge: Callable[[Sequence[Answer]], Seen]


Looks: TypeAlias = Mapping[Kind, Callable[[Sending], Look]]


def plain(text: str) -> str:
    """Return what a node or a contract says as one short line that can be shown."""
    return "".join(sign if sign.isprintable() else "·" for sign in text[:_LONGEST])


#: A nonce that holds up others is always worth filling.
NOTHING_TO_SEE: Final = Look((), lambda _: WANTED)


def looks_of(profile: Profile) -> Looks:
    """Return what can be looked up in a contract of `profile`."""

    def gone(sending: Sending) -> Look:
        token = LeaseId.parse(sending.intent.lease).token

        def judge(answers: Sequence[Answer]) -> Seen:
            (owner,) = answers
            if isinstance(owner, Refusal) and profile.says_no_such_token(owner.data, token):
                return Seen(Word.DONE, "the lease is burnt")
            return WANTED

        return Look(((sending.intent.call.to, profile.owner_call(token)),), judge)

    return {Kind.BURN: gone}
