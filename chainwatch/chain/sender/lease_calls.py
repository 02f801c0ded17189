"""What our own contract is told by the daemon, as calls; `contracts/src/` says what each does."""

from typing import Final

from eth_abi.abi import encode

from chainwatch.chain.profiles.signatures import selector
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Call

_DELIVER: Final = selector("deliver(uint256,address,bytes)")
_PUBLISH: Final = selector("publishConnection(uint256,address,bytes)")
_CANCEL: Final = selector("cancelUndelivered(uint256)")
_BURN: Final = selector("burn(uint256)")
_UPGRADE: Final = selector("completeUpgrade(uint256,uint256,uint256)")
_REFUSE: Final = selector("refuseUpgrade(uint256,uint256,uint256)")


def deliver(lease: LeaseId, reader: str, connection: bytes) -> Call:
    """Say that the machine is there, and how `reader` gets in."""
    return _told(_DELIVER, lease, reader, connection)


def publish(lease: LeaseId, reader: str, connection: bytes) -> Call:
    """Say anew how `reader` gets in."""
    return _told(_PUBLISH, lease, reader, connection)


def cancel(lease: LeaseId) -> Call:
    """Give back all that was paid for what was not delivered."""
    return _about(_CANCEL, lease)


def burn(lease: LeaseId) -> Call:
    """Remove a lease whose grace is over."""
    return _about(_BURN, lease)


def upgrade(lease: LeaseId, plan: int, deadline: int) -> Call:
    """Say that the machine is the larger one that was asked for until then."""
    return _answering(_UPGRADE, lease, plan, deadline)


def refuse(lease: LeaseId, plan: int, deadline: int) -> Call:
    """Give back what was set aside for the upgrade that was asked for until then."""
    return _answering(_REFUSE, lease, plan, deadline)


def _about(function: str, lease: LeaseId) -> Call:
    return Call(lease.contract, f"{function}{lease.token:064x}")


def _answering(function: str, lease: LeaseId, plan: int, deadline: int) -> Call:
    return Call(lease.contract, f"{function}{lease.token:064x}{plan:064x}{deadline:064x}")


def _told(function: str, lease: LeaseId, reader: str, connection: bytes) -> Call:
    words = encode(["uint256", "address", "bytes"], [lease.token, reader, connection])
    return Call(lease.contract, f"{function}{words.hex()}")
