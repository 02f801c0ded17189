"""A lease as the fold of what the chain said about it.

`fold` is pure and total: any order-preserving list of events gives one state, and folding a list
again gives the same. Access follows the owner only. What the fold must never do is compute an
expiry: it takes the last absolute one. That of a lease which is not delivered yet is the end of its
delivery time: until then it counts as paid, and after it there is nothing but a refund. A token
minted again (after a burn, or after a reorg) is another lease with another nonce. Contracts differ
in whether they say the expiry before or after the mint of the same transaction; `mints_first` makes
that one case.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from chainwatch.domain.events import (
    ZERO_ADDRESS,
    ActionRequested,
    ConnectionPublished,
    CredentialLinked,
    CredentialMoved,
    Delivered,
    ExpiryUpdated,
    KeysChanged,
    LeaseEvent,
    LeaseMinted,
    Logged,
    PlanChanged,
    PlanDefined,
    PlanEvent,
    PlanTerms,
    Subscribed,
    Transferred,
    UpgradeUpdated,
)


@dataclass(frozen=True, slots=True, order=True)
class LeaseId:
    """A lease's public name: its CAIP-19 asset id."""

    chain_id: int
    contract: str
    token: int

    def __str__(self) -> str:
        return f"{lease_ids(self.chain_id, self.contract)}{self.token}"

    @classmethod
    def parse(cls, text: str) -> "LeaseId":
        """Read `eip155:CHAIN/erc721:0x…/TOKEN`. Raises ValueError with what is wrong."""
        try:
            chain, asset, token = text.split("/")
            namespace, chain_id = chain.split(":")
            standard, contract = asset.split(":")
            if (namespace, standard) != ("eip155", "erc721"):
                raise ValueError
            return cls(int(chain_id), contract.lower(), int(token))
        except ValueError:
            raise ValueError(
                f"{text!r} is not a lease id; write eip155:CHAIN/erc721:0xCONTRACT/TOKEN"
            ) from None


def lease_ids(chain_id: int, contract: str) -> str:
    """Return what the ids of all leases of a contract begin with; the token follows."""
    return f"eip155:{chain_id}/erc721:{contract.lower()}/"


class Lease(Struct, frozen=True, gc=False):
    """A lease at some block. `expires_at` is chain seconds; `plan` is None until the chain said.

    `generation` counts changes of owner since the mint. `burnt` leases have no owner any more.
    `delivered_at` is 0 before the delivery, and where a contract knows no deliveries.
    """

    token: int
    owner: str
    nonce: str
    generation: int = 0
    plan: int | None = None
    expires_at: int = 0
    ssh_key: str = ""
    encryption_key: str = ""
    burnt: bool = False
    delivered_at: int = 0


class Plan(Struct, frozen=True, gc=False):
    """What is sold under a plan's number: the hardware, the grace, and today's terms."""

    id: int
    name: str = ""
    kind: int = 0
    cores: int = 0
    memory_mib: int = 0
    disk_gib: int = 0
    grace: int = 0
    payment_token: str = ZERO_ADDRESS
    price_per_second: int = 0
    cap: int = 0
    on_sale: bool = False
    defined: bool = False


class Phase(StrEnum):
    """Where a lease stands in its life at some chain time."""

    ACTIVE = "active"
    EXPIRED = "expired"
    BURNT = "burnt"


def nonce_of(tx_hash: str, token: int) -> str:
    """Return the nonce of what `tx_hash` created: 32 hex digits, the same in whatever block."""
    seed = bytes.fromhex(tx_hash.removeprefix("0x")) + token.to_bytes(32, "big")
    return hashlib.sha256(seed).hexdigest()[:32]


def fold(lease: Lease | None, event: LeaseEvent, tx_hash: str) -> Lease | None:
    """Return the lease after `event` of `tx_hash`; None while the token was never minted.

    Facts that precede the mint of their token (a hostile or foreign contract) change nothing; those
    of the mint's own transaction are brought behind it by `mints_first`.
    """
    match event:
        case Transferred():
            return _transferred(lease, event, tx_hash)
        case LeaseMinted():
            return lease and _told(
                lease, event.plan, lease.expires_at, lease.ssh_key, lease.encryption_key
            )
        case ExpiryUpdated():
            return lease and _told(
                lease, lease.plan, event.expires_at, lease.ssh_key, lease.encryption_key
            )
        case KeysChanged():
            return lease and _told(
                lease, lease.plan, lease.expires_at, event.ssh_key, event.encryption_key
            )
        case Subscribed(token, subscriber, plan, expires_at):
            nonce = nonce_of(tx_hash, token)
            return Lease(token, subscriber, nonce, plan=plan, expires_at=expires_at)
        case Delivered():
            return lease and replace(lease, delivered_at=event.delivered_at)
        case PlanChanged():
            return lease and replace(lease, plan=event.plan)
        case ActionRequested() | ConnectionPublished() | CredentialLinked() | UpgradeUpdated():
            return lease
        case _:
            assert_never(event)


def _told(
    lease: Lease, plan: int | None, expires_at: int, ssh_key: str, encryption_key: str
) -> Lease:
    """Return the lease with these facts; `replace` would take twice as long, for every event."""
    return Lease(
        token=lease.token,
        owner=lease.owner,
        nonce=lease.nonce,
        generation=lease.generation,
        plan=plan,
        expires_at=expires_at,
        ssh_key=ssh_key,
        encryption_key=encryption_key,
        burnt=lease.burnt,
        delivered_at=lease.delivered_at,
    )


def _transferred(lease: Lease | None, event: Transferred, tx_hash: str) -> Lease | None:
    if event.sender == ZERO_ADDRESS:
        return Lease(event.token, event.recipient, nonce_of(tx_hash, event.token))
    if lease is None:
        return None
    return replace(
        lease,
        owner=event.recipient,
        generation=lease.generation + 1,
        ssh_key="",
        encryption_key="",
        burnt=event.recipient == ZERO_ADDRESS,
    )


def mints_first(history: Iterable[Logged]) -> Iterator[Logged]:
    """Yield `history`, and after a mint once more the expiry that its transaction said before it.

    A fact said twice changes nothing, so nothing has to be taken out of its place. `history` may be
    of many tokens; it is in the chain's order, and no transaction is cut in two.
    """
    said: dict[int, Logged] = {}
    for logged in history:
        yield logged
        event = logged.event
        if isinstance(event, ExpiryUpdated):
            said[event.token] = logged
        elif isinstance(event, Transferred):
            early = said.pop(event.token, None)
            if early and early.tx_hash == logged.tx_hash and event.sender == ZERO_ADDRESS:
                yield early


def fold_all(history: Iterable[Logged]) -> Lease | None:
    """Fold one token's events, oldest first."""
    lease: Lease | None = None
    for logged in mints_first(history):
        if not isinstance(logged.event, PlanDefined | PlanTerms | CredentialMoved):
            lease = fold(lease, logged.event, logged.tx_hash)
    return lease


def fold_plan(plan: Plan | None, event: PlanEvent) -> Plan:
    """Return the plan after `event`."""
    before = plan or Plan(event.plan)
    match event:
        case PlanDefined():
            return replace(
                before,
                name=event.name,
                kind=event.kind,
                cores=event.cores,
                memory_mib=event.memory_mib,
                disk_gib=event.disk_gib,
                grace=event.grace,
                defined=True,
            )
        case PlanTerms():
            return replace(
                before,
                payment_token=event.payment_token,
                price_per_second=event.price_per_second,
                cap=event.cap,
                on_sale=event.on_sale,
            )
        case _:
            assert_never(event)


def phase(lease: Lease, chain_time: int) -> Phase:
    """Say where a lease stands; it is active up to, not including, its last second."""
    if lease.burnt:
        return Phase.BURNT
    return Phase.ACTIVE if chain_time < lease.expires_at else Phase.EXPIRED
