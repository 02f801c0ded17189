"""A lock of Unlock Protocol, `PublicLock` version 15: its keys are the leases.

What is sold stands in the configuration, for a lock knows no plans of ours, and no SSH keys either.
Not every event that changes an expiry carries it: a purchase, a key that is granted and one that is
shared say a `Transfer` from nobody and no more, and a key whose whole time is given away says
`ExpireKey` without a time. There the lock is asked (`chain/unsaid.py`). All else is absolute:
`KeyExtended` (a purchase of several periods, an extension, a renewal) and `ExpirationChanged` (a
cancellation, which comes with it, a merge, a transfer less its fee, the manager's own hand).

A lock answers the zero address for a key that does not exist, or was burnt. A burnt key keeps its
time, and its manager can take it back: then it is minted again, as another lease. Ids count on, but
a lock stands behind a proxy whose code its manager may change, so its silence proves nothing.
"""

from typing import Final

from chainwatch.chain.decode import LAST_SECOND, Decoded, expect, word
from chainwatch.chain.profiles.erc721 import Erc721Profile, transferred
from chainwatch.chain.profiles.signatures import topic
from chainwatch.chain.wire import RawLog
from chainwatch.domain.events import ExpiryUpdated

_NOBODY: Final = bytes(32)

_IGNORED: Final = (
    "Approval(address,address,uint256)",
    "CancelKey(uint256,address,address,uint256)",
    "EventHooksUpdated(address,address,address,address,address,address,address,address)",
    "GasRefundValueChanged(uint256)",
    "GasRefunded(address,uint256,address)",
    "Initialized(uint8)",
    "KeyGranterAdded(address)",
    "KeyGranterRemoved(address)",
    "KeyManagerChanged(uint256,address)",
    "KeysMigrated(uint256)",
    "LockConfig(uint256,uint256,uint256)",
    "LockManagerAdded(address)",
    "LockManagerRemoved(address)",
    "LockMetadata(string,string,string)",
    "OwnershipTransferred(address,address)",
    "PaymentReceipt(uint256[],uint256,uint256,address,address,uint256)",
    "PricingChanged(uint256,uint256,address,address)",
    "ReferrerFee(address,uint256)",
    "ReferrerPaid(address,address,uint256)",
    "RefundPenaltyChanged(uint256,uint256)",
    "RoleAdminChanged(bytes32,bytes32,bytes32)",
    "RoleGranted(bytes32,address,address)",
    "RoleRevoked(bytes32,address,address)",
    "TransferFeeChanged(uint256)",
    "UnlockCallFailed(address,address)",
    "Withdrawal(address,address,address,uint256)",
)


def _extended(log: RawLog) -> Decoded:
    expect(log, topics=2, words=1)
    return _ends(log, word(log.data, 0))


def _changed(log: RawLog) -> Decoded:
    expect(log, topics=2, words=2)
    return _ends(log, word(log.data, 1))


def _ends(log: RawLog, timestamp: int) -> Decoded:
    """A key that never ends has the largest uint256 as its time."""
    return Decoded(ExpiryUpdated(int.from_bytes(log.topics[1]), min(timestamp, LAST_SECOND)))


def _made(log: RawLog) -> int | None:
    """The token that a transfer makes."""
    expect(log, topics=4, words=0)
    _, sender, _, token = log.topics
    return int.from_bytes(token) if sender == _NOBODY else None


def _expired(log: RawLog) -> int:
    expect(log, topics=2, words=0)
    return int.from_bytes(log.topics[1])


PROFILE: Final = Erc721Profile(
    name="unlock",
    decoders={
        topic("Transfer(address,address,uint256)"): transferred,
        topic("KeyExtended(uint256,uint256)"): _extended,
        topic("ExpirationChanged(uint256,uint256,uint256)"): _changed,
    },
    silent={
        topic("Transfer(address,address,uint256)"): _made,
        topic("ExpireKey(uint256)"): _expired,
    },
    ignored=frozenset(map(topic, _IGNORED)),
    absent=(),
    plans_on_chain=False,
    expiry_needs_token=False,
    contiguous=False,
    tells_all=False,
    expiry_function="keyExpirationTimestampFor(uint256)",
    expiry_bits=256,
    zero_is_nobody=True,
)
