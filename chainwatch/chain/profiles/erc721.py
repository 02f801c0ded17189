"""What every ERC-721 whose tokens expire (ERC-5643) says in the same words.

Transfers, expiries, the two questions at `latest` and the ways to say that there is no such token
are the same for all of them; a profile adds what else its contract says. What reverts in words that
are not listed here is no answer, and stops whatever was about to happen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from eth_abi.abi import encode as abi_encode

from chainwatch.chain.decode import Decoded, Decoder, address, expect, one_word, seconds, word
from chainwatch.chain.profiles.signatures import owner_of, selector, topic
from chainwatch.chain.wire import RawLog
from chainwatch.domain.batches import Source
from chainwatch.domain.events import ExpiryUpdated, Transferred


def transferred(log: RawLog) -> Decoded:
    expect(log, topics=4, words=0)
    _, sender, recipient, token = log.topics
    return Decoded(Transferred(int.from_bytes(token), address(sender), address(recipient)))


def _expiry_updated(log: RawLog) -> Decoded:
    expect(log, topics=2, words=1)
    return Decoded(ExpiryUpdated(int.from_bytes(log.topics[1]), seconds(word(log.data, 0))))


def _reverted(text: str) -> str:
    """The revert data of `require(…, text)`."""
    return selector("Error(string)") + abi_encode(["string"], [text]).hex()


DECODERS: Final[Mapping[str, Decoder]] = {
    "Transfer(address,address,uint256)": transferred,
    "SubscriptionUpdate(uint256,uint64)": _expiry_updated,
}

IGNORED: Final = (
    "Approval(address,address,uint256)",
    "ApprovalForAll(address,address,bool)",
)

NONEXISTENT: Final = selector("ERC721NonexistentToken(uint256)") + "{token:064x}"
"""ERC-6093: OpenZeppelin from 5.0 on."""

NONEXISTENT_ELSEWHERE: Final = (
    _reverted("ERC721: invalid token ID"),  # OpenZeppelin 4.7 to 4.9
    _reverted("ERC721: owner query for nonexistent token"),  # OpenZeppelin before
    _reverted("NOT_MINTED"),  # solmate
    selector("OwnerQueryForNonexistentToken()"),  # ERC721A
    selector("TokenDoesNotExist()"),  # solady
)

_EXPIRES_AT: Final = "expiresAt(uint256)"


@dataclass(frozen=True, slots=True)
class Erc721Profile:
    """Reads the logs of one kind of ERC-721.

    `absent` are the texts of revert data that say that there is no such token, with its id where
    `{token:064x}` stands; `expiry_function` is the signature of what tells an expiry. For the rest
    see `Profile`.
    """

    name: str
    decoders: Mapping[bytes, Decoder]
    ignored: frozenset[bytes]
    absent: tuple[str, ...]
    plans_on_chain: bool
    expiry_needs_token: bool
    contiguous: bool
    tells_all: bool
    silent: Mapping[bytes, Callable[[RawLog], int | None]] = field(default_factory=dict)
    expiry_function: str = _EXPIRES_AT
    expiry_bits: int = 64
    zero_is_nobody: bool = False
    delivers: bool = False

    @property
    def topics(self) -> frozenset[bytes]:
        return frozenset((*self.decoders, *self.silent))

    def owner_call(self, token: int) -> str:
        return owner_of(token)

    def expiry_call(self, token: int) -> str:
        return f"{selector(self.expiry_function)}{token:064x}"

    def owner_in(self, answer: bytes) -> int:
        return one_word(answer)

    def expiry_in(self, answer: bytes) -> int:
        return one_word(answer)

    def at(self, source: Source) -> "Erc721Profile":
        del source
        return self

    @property
    def credentials(self) -> bool:
        return False

    @property
    def plan_numbers(self) -> bool:
        return False

    def says_no_such_token(self, revert_data: str, token: int) -> bool:
        return revert_data.lower() in (text.format(token=token) for text in self.absent)

    def ignoring(self, topics: frozenset[bytes]) -> "Erc721Profile":
        return replace(self, ignored=self.ignored | topics)


def decoders(more: Mapping[str, Decoder]) -> Mapping[bytes, Decoder]:
    """The common decoders and `more`, by the topics of their signatures."""
    return {topic(signature): decoder for signature, decoder in {**DECODERS, **more}.items()}


def ignored(*more: str) -> frozenset[bytes]:
    """The topics of the common events without meaning for us, and of `more`."""
    return frozenset(map(topic, (*IGNORED, *more)))
