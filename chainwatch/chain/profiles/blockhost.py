"""Hosting subscriptions whose owners hold a credential: `BlockhostSubscriptions` and its NFT.

Two contracts are one source. The first sells subscriptions, which are the leases; a subscription is
no token, and its subscriber owns it until a credential (`AccessCredentialNFT`) is minted for it,
from when on whoever holds that does. The machine comes first: the daemon mints the credential, with
the lease's name in what it carries, and from there the link is read (`chain/bonds.py`). What is
sold stands in the configuration: plans here say a name and a price.

A cancelled subscription has ended: its expiry is taken as 0, in events as in the contract's state.
`getSubscription` answers zeros for what was never created.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError

from chainwatch.chain.decode import (
    LAST_SECOND,
    WORD,
    Decoded,
    Decoder,
    Malformed,
    address,
    expect,
    expect_words,
    word,
)
from chainwatch.chain.profiles.erc721 import NONEXISTENT, NONEXISTENT_ELSEWHERE, Erc721Profile
from chainwatch.chain.profiles.signatures import selector, topic
from chainwatch.chain.wire import RawLog
from chainwatch.domain.batches import Source
from chainwatch.domain.events import CredentialMoved, ExpiryUpdated, Subscribed
from chainwatch.domain.lease import LeaseId
from chainwatch.errors import NotAChain

TRANSFER: Final = topic("Transfer(address,address,uint256)")
CARRIED: Final = selector("getUserEncrypted(uint256)")
SUBSCRIPTION: Final = selector("getSubscription(uint256)")
_MINT: Final = selector("mint(address,bytes)")

_NOBODY: Final = bytes(WORD)
_WORDS: Final = 5
"""What `getSubscription` answers: plan, subscriber, expiry, whether active, whether cancelled."""

_BOND: Final = re.compile(rb"chainwatch eip155:(\d{1,20})/erc721:(0x[0-9a-f]{40})/(\d{1,78})")


def mint_call(lease: LeaseId, recipient: str) -> str:
    """The call data (0x hex) that mints the credential of a lease."""
    bond = f"chainwatch {lease}".encode()
    return f"{_MINT}{abi_encode(['address', 'bytes'], [recipient, bond]).hex()}"


def recipient_in(data: str) -> int:
    """The address, as a number, to which such a call mints."""
    return int(data[len(_MINT) : len(_MINT) + 2 * WORD], 16)


def lease_in(answer: bytes, chain_id: int, contract: str) -> int | None:
    """The lease that an answer to `getUserEncrypted` names; None for anything else it may say."""
    try:
        (carried,) = abi_decode(["bytes"], answer)
    except (DecodingError, OverflowError):
        return None
    found = _BOND.fullmatch(bytes(carried))
    if found is None or (int(found[1]), found[2].decode()) != (chain_id, contract.lower()):
        return None
    token = int(found[3])
    return token if token < 2**256 else None


def minted(log: RawLog) -> bool:
    """Whether a well-formed transfer of a credential is its mint."""
    if len(log.topics) != 4 or any(len(each) != WORD for each in log.topics) or log.data:
        return False
    return log.topics[1] == _NOBODY and log.topics[2][:12] == bytes(12)


def subscription(answer: bytes) -> tuple[int, int, bool]:
    """The subscriber, the expiry and whether it is cancelled, as `getSubscription` tells them."""
    if len(answer) != _WORDS * WORD:
        raise NotAChain(f"a subscription was told in {len(answer)} bytes, not {_WORDS * WORD}")
    return word(answer, 1), word(answer, 2), bool(word(answer, 4))


def _created(log: RawLog) -> Decoded:
    if len(log.topics) != 4:
        raise Malformed(f"expected 4 topics, got {len(log.topics)}")
    expect_words(log)
    try:
        abi_decode(["uint256", "uint256", "address", "bytes"], log.data)
    except (DecodingError, OverflowError) as wrong:
        raise Malformed(f"its data is no subscription: {wrong!s:.120}") from wrong
    _, token, plan, subscriber = log.topics
    return Decoded(
        Subscribed(
            token=int.from_bytes(token),
            subscriber=address(subscriber),
            plan=int.from_bytes(plan),
            expires_at=min(word(log.data, 0), LAST_SECOND),
        )
    )


def _extended(log: RawLog) -> Decoded:
    expect(log, topics=4, words=3)
    ends = min(word(log.data, 0), LAST_SECOND)
    return Decoded(ExpiryUpdated(int.from_bytes(log.topics[1]), ends))


def _cancelled(log: RawLog) -> Decoded:
    expect(log, topics=4, words=0)
    return Decoded(ExpiryUpdated(int.from_bytes(log.topics[1]), 0))


def _moved(log: RawLog) -> Decoded:
    expect(log, topics=4, words=0)
    _, sender, recipient, credential = log.topics
    moved = CredentialMoved(int.from_bytes(credential), address(sender), address(recipient))
    return Decoded(moved)


_OF_SUBSCRIPTIONS: Final[dict[bytes, Decoder]] = {
    topic("SubscriptionCreated(uint256,uint256,address,uint256,uint256,address,bytes)"): _created,
    topic("SubscriptionExtended(uint256,uint256,address,uint256,uint256,address)"): _extended,
    topic("SubscriptionCancelled(uint256,uint256,address)"): _cancelled,
}
_OF_CREDENTIALS: Final[dict[bytes, Decoder]] = {TRANSFER: _moved}
_IGNORED: Final = (
    "PlanCreated(uint256,string,uint256)",
    "PlanUpdated(uint256,string,uint256,bool)",
    "CredentialMinted(uint256,address)",
    "CredentialUpdated(uint256)",
    "Approval(address,address,uint256)",
    "ApprovalForAll(address,address,bool)",
)


def _said_by(contract: str, decoder: Decoder) -> Callable[[RawLog], Decoded]:
    """The decoder for logs of one of the two contracts only."""

    def checked(log: RawLog) -> Decoded:
        if log.address != contract:
            raise Malformed("it is the other contract of the source that says such things")
        return decoder(log)

    return checked


@dataclass(frozen=True, slots=True)
class BlockhostProfile(Erc721Profile):
    """Reads both contracts; `absent` is what the second one says of a credential."""

    def owner_call(self, token: int) -> str:
        return f"{SUBSCRIPTION}{token:064x}"

    def expiry_call(self, token: int) -> str:
        return f"{SUBSCRIPTION}{token:064x}"

    def owner_in(self, answer: bytes) -> int:
        subscriber, _, _ = subscription(answer)
        return subscriber

    def expiry_in(self, answer: bytes) -> int:
        _, expires_at, cancelled = subscription(answer)
        return 0 if cancelled else expires_at

    def at(self, source: Source) -> "BlockhostProfile":
        both = ((source.contract, _OF_SUBSCRIPTIONS), (source.credential, _OF_CREDENTIALS))
        decoders = {
            signature: _said_by(contract.lower(), decoder)
            for contract, table in both
            for signature, decoder in table.items()
        }
        return replace(self, decoders=decoders)

    @property
    def credentials(self) -> bool:
        return True

    @property
    def plan_numbers(self) -> bool:
        return True


PROFILE: Final = BlockhostProfile(
    name="blockhost",
    decoders={**_OF_SUBSCRIPTIONS, **_OF_CREDENTIALS},
    ignored=frozenset(map(topic, _IGNORED)),
    absent=(NONEXISTENT, *NONEXISTENT_ELSEWHERE),
    plans_on_chain=False,
    expiry_needs_token=False,
    contiguous=False,
    tells_all=False,
    expiry_bits=256,
    zero_is_nobody=True,
)
