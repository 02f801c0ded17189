"""Why a contract refuses, in sentences that say what to do.

Each custom error of the lease contract has one (a test holds the table against the ABI). What is
not in the table is told by name and values, or in the node's own words, which are bounded.

A node that refuses a transaction itself is another matter: few of its words say that it never took
it.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from chainwatch import artifacts
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.wallet.interface import Function, entries, said_by
from chainwatch.errors import OperatorError

_MOST: Final = 200

Sentence = Callable[..., str]


def _when(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return "a time beyond all calendars"


def _fixed(text: str) -> Sentence:
    return lambda *_: text


_PLANS: Final[Mapping[str, Sentence]] = {
    "UnknownPlan": lambda plan: f"there is no plan {plan}: `plans` lists what is sold",
    "UnknownKind": lambda kind: f"a plan is a vm or a container, and not of kind {kind}",
    "EmptyMachine": _fixed("a plan needs at least one core, some memory and some disk"),
    "NameIsEmpty": _fixed("a plan needs a name"),
    "PriceIsZero": _fixed("a price is never zero: name one that is at least 1 unit a second"),
    "GraceTooLong": lambda grace, most: f"a grace of {grace} s is longer than {most} s",
    "DeliveryTimeNotAllowed": lambda time: (
        f"a delivery time of {time} s is not allowed: 5 minutes to 30 days"
    ),
    "EndFeeTooHigh": lambda fee, most: (
        f"a fee of {fee} hundredths of a percent is more than {most}"
    ),
    "NotAToken": lambda token: (
        f"{token} is no token that this plan can be paid in: name the address of an ERC-20 "
        "contract on this chain; a plan in the chain's coin takes no permit"
    ),
    "TooLong": lambda length, most: f"a text of {length} bytes is too long: {most} at most",
    "NotPrintable": lambda place: (
        f"the text has a byte at place {place} that is not printable ASCII"
    ),
    "SalesArePaused": _fixed("the operator has paused sales: try later; renewals go on"),
    "NotOnSale": lambda plan: f"plan {plan} is not on sale: `plans` lists what is",
    "SoldOut": lambda plan, cap: f"plan {plan} is sold out: all {cap} of it are taken",
}
_PAYMENT: Final[Mapping[str, Sentence]] = {
    "DeadlinePassed": lambda deadline, _: (
        f"the transaction was to be mined before {_when(deadline)}: try again"
    ),
    "PriceAboveMaximum": lambda amount, most: (
        f"it costs {amount} now, more than the {most} that were agreed to: look at the price again"
    ),
    "DurationTooShort": lambda duration, least: (
        f"{duration} s are too short: buy at least {least} s at a time"
    ),
    "BeyondHorizon": lambda _, latest: (
        f"it would be paid for beyond {_when(latest)}, which is too far: ask for less time"
    ),
    "NotEnoughSent": lambda sent, amount: (
        f"{sent} wei were sent and it costs {amount}: the price has changed, try again"
    ),
    "NativeCoinNotTaken": _fixed("this plan is paid in a token, and takes no coin"),
    "TokenTookFee": lambda got, amount: (
        f"the token kept a fee: {got} of {amount} arrived; it can't be used for paying here"
    ),
    "NotOwed": lambda owed, amount: f"only {owed} can be taken out, not {amount}",
    "SafeERC20FailedOperation": lambda token: (
        f"the token {token} did not pay: is there enough of it, and is it approved?"
    ),
    "InsufficientBalance": lambda has, needs: f"the contract has {has} and would need {needs}",
    "FailedCall": _fixed("the receiver does not take the coin: name another address"),
    "ReentrancyGuardReentrantCall": _fixed("a token calls back while it is paid: don't use it"),
}
_LEASES: Final[Mapping[str, Sentence]] = {
    "ERC721NonexistentToken": lambda token: (
        f"there is no lease {token}: it was never sold, or is given back or burned"
    ),
    "NotLeaseOwner": lambda token, caller: (
        f"only the owner of lease {token} may do that, and {caller} is not its owner"
    ),
    "RenewalDeclined": lambda token: (
        f"the owner of lease {token} wants no renewals: `allow-renewal` undoes that"
    ),
    "LeaseClosed": lambda token: f"the operator ended lease {token} for good: buy a new one",
    "GraceIsOver": lambda token, end: (
        f"lease {token} could be renewed until {_when(end)}: buy a new one"
    ),
    "AlreadyExpired": lambda token, at: f"lease {token} expired at {_when(at)}",
    "NotExpired": lambda token, at: f"lease {token} runs until {_when(at)}: `end` it first",
    "AlreadyDelivered": lambda token, at: (
        f"lease {token} was delivered at {_when(at)}: `end` gives the unused rest back"
    ),
    "NotDelivered": lambda token: (
        f"lease {token} is not delivered yet: wait, or `refund` it once its delivery is overdue"
    ),
    "DeliveryOverdue": lambda token, at: (
        f"lease {token} was to be delivered by {_when(at)}: `refund` gives all of it back"
    ),
    "DeliveryNotOverdue": lambda token, at: (
        f"lease {token} may still be delivered until {_when(at)}: wait for that"
    ),
    "UnknownAction": lambda kind: f"there is no action {kind}",
    "NotAnUpgrade": lambda old, new: (
        f"plan {new} is no upgrade of plan {old}: it must be on sale, of the same kind and money, "
        "and have no less of anything"
    ),
    "UpgradePending": lambda token: (
        f"an upgrade of lease {token} is already asked for: wait until it is done"
    ),
    "NoUpgrade": lambda token: f"no upgrade of lease {token} is asked for",
}
_NFT: Final[Mapping[str, Sentence]] = {
    "AccessControlUnauthorizedAccount": lambda account, role: (
        f"{account} has not the role for that ({role_name(role)}): use another keystore, or let "
        "the admin grant it with `chainwatch contract role grant`"
    ),
    "AccessControlBadConfirmation": _fixed("a role is renounced by its holder alone"),
    "ERC721IncorrectOwner": lambda _, token, owner: f"lease {token} belongs to {owner}",
    "ERC721InsufficientApproval": lambda operator, token: (
        f"{operator} may not transfer lease {token}: only its owner, and whom he approved, may"
    ),
    "ERC721InvalidReceiver": lambda receiver: (
        f"{receiver} can't take a lease: it is no account, and no contract that takes NFTs"
    ),
    "ERC721InvalidApprover": lambda account: f"{account} may approve nobody here",
    "ERC721InvalidOperator": lambda account: f"{account} can't be approved",
    "ERC721InvalidOwner": lambda account: f"{account} can't own a lease",
    "ERC721InvalidSender": lambda account: f"{account} can't send a lease",
}
SENTENCES: Final[Mapping[str, Sentence]] = {**_PLANS, **_PAYMENT, **_LEASES, **_NFT}
_ROLES: Final = ("PROVISIONER_ROLE", "TREASURER_ROLE")

#: How nodes refuse a transaction for what it is, before they would take it. What they say of one
#: that they may have is not here: "replacement transaction underpriced" is about its nonce, and
#: Besu and Nethermind find the balance too low ("Upfront cost exceeds account balance",
#: "InsufficientFunds") before they see that the nonce is used, and so of what was mined, too.
_NEVER_TAKEN: Final = re.compile(
    r"\b(?:"
    r"insufficient funds|intrinsic gas (?:too low|too high|exceeds gas limit)|"
    r"exceeds block gas limit|invalid sender|invalid (?:transaction )?signature|"
    r"invalid transaction v, r, s values|"
    r"(?:invalid|wrong) chain ?id|transaction type not supported|"
    r"(?:unknown|unsupported|invalid) transaction type|oversized data|max initcode size exceeded|"
    r"(?<!replacement )transaction underpriced|gas price below configured minimum|"
    r"max fee per gas less than block base fee|exceeds the configured cap"
    r")",
    re.IGNORECASE,
)


def role_name(role: bytes) -> str:
    """Return the name of a role of ours, or its number."""
    from chainwatch.chain.ethereum import keccak

    if not any(role):
        return "admin"
    known = {keccak(name.encode()): name.removesuffix("_ROLE").lower() for name in _ROLES}
    return known.get(role, role.hex())


def sentence(name: str, values: tuple[object, ...]) -> str:
    """Say why the contract refused, by its custom error."""
    if name in SENTENCES:
        return SENTENCES[name](*values)
    return f"the contract refuses: {name}{values!r:.{_MOST}}"


def lease_errors() -> dict[str, Function]:
    """The custom errors of the lease contract."""
    return entries(artifacts.load("Lease").abi, "error")


def never_taken(refusal: RpcError) -> bool:
    """Whether a node that refuses a transaction says so of one that it did not take before."""
    return _NEVER_TAKEN.search(refusal.message) is not None and not refusal.there


def refused(error: RpcError) -> OperatorError:
    """Return what to tell a person of a node's refusal to carry out a call."""
    try:
        data = bytes.fromhex(error.data.removeprefix("0x"))
    except ValueError:
        data = b""
    known = said_by(lease_errors(), data) if data else None
    if known is not None:
        return OperatorError(sentence(*known))
    if "insufficient funds" in error.message.lower():
        return OperatorError("the account has not enough of the chain's coin for it: send it some")
    return OperatorError(f"it would fail: {error.message[:_MOST]}")
