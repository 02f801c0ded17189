"""What is to be told of the daemon's own transactions: per chain, and one by one."""

from collections.abc import Mapping, Sequence
from typing import Final

from chainwatch.chain.sender.fees import gwei
from chainwatch.control.departures import GIVEN_UP
from chainwatch.control.readings import SenderReading, SendingReading
from chainwatch.control.sender import Sender
from chainwatch.domain.lease import LeaseId
from chainwatch.domain.sendings import Kind, Sending, State
from chainwatch.store.sendings import Sendings

#: Intents that are shown one by one.
MOST: Final = 50
#: What an intent is to bring onto the chain, of a lease.
_NAMES: Final[Mapping[Kind, str]] = {
    Kind.DELIVER: "its delivery",
    Kind.PUBLISH: "telling the way in anew",
    Kind.UPGRADE: "its upgrade",
    Kind.REFUSE: "the refusal of its upgrade",
    Kind.CANCEL: "its cancellation",
    Kind.BURN: "its burn",
    Kind.MINT: "its credential",
    Kind.FILL: "a nonce of ours",
}


async def readings(senders: Sequence[Sender], sendings: Sendings) -> tuple[SenderReading, ...]:
    """Return how each sender does, without asking its chain."""
    return tuple([await _sender(each, sendings) for each in senders])


async def _sender(sender: Sender, sendings: Sendings) -> SenderReading:
    counts = await sendings.counts(sender.chain_id)
    open_ = await sendings.open(sender.chain_id, MOST)
    view = sender.view
    return SenderReading(
        chain_id=sender.chain_id,
        address=sender.key.address,
        balance=None if view is None else str(view.balance),
        nonce=None if view is None else view.nonce,
        asks_gwei=None if view is None else gwei(view.market.asks),
        ceiling_gwei=gwei(sender.limits.ceiling),
        wanted=counts.get(State.WANTED, 0),
        under_way=counts.get(State.SIGNED, 0) + counts.get(State.BROADCAST, 0),
        mined=counts.get(State.MINED, 0),
        waits=sender.waits,
        sendings=tuple(map(reading, open_)),
    )


def reading(each: Sending) -> SendingReading:
    """Return one intent as it is shown."""
    last = each.last if each.attempts else None
    return SendingReading(
        id=each.id,
        source=each.intent.source,
        kind=each.intent.kind,
        lease=each.intent.lease,
        cause=each.intent.cause,
        state=each.state,
        nonce=each.nonce,
        tx_hash=None if last is None else last.hash,
        offers_gwei=None if last is None else gwei(last.offer.cap),
        signed=len(each.attempts),
        block=each.block,
        why=_why(each),
        wanted_at=each.wanted_at,
        done_at=each.done_at,
    )


def unsaid(senders: Sequence[Sender], sendings: Sequence[Sending]) -> str | None:
    """Say what is under way for one lease (newest first), and what was given up.

    None once all is in blocks.
    """
    left = [each for each in sendings[::-1] if each.state is State.WANTED or each.flies]
    goes_on = [_under_way(senders, each) for each in left if not each.given_up]
    return "; ".join([*goes_on[:1], *(_left_off(each) for each in left if each.given_up)]) or None


def _under_way(senders: Sequence[Sender], each: Sending) -> str:
    its = [sender for sender in senders if sender.chain_id == each.chain_id]
    trouble = [why for sender in its for why in sender.waits]
    if not its:
        trouble = ["nothing is sent on its chain: that has no table [[sender.chains]]"]
    said = dict.fromkeys([*filter(None, [reading(each).why]), *trouble])
    return f"{_NAMES[each.intent.kind]} is under way: {'; '.join(said)}"


def _left_off(each: Sending) -> str:
    token = LeaseId.parse(each.intent.lease).token
    return (
        f"{_NAMES[each.intent.kind]} was given up after {each.reverts} reverts; "
        f"`chainwatch retry {token}` has it tried again"
    )


def _why(each: Sending) -> str | None:
    """Say what it waits for, or how it ended."""
    if not each.given_up:
        return each.why or _awaited(each)
    given_up = GIVEN_UP.format(each.reverts)
    return given_up if each.why in (None, given_up) else f"{given_up} ({each.why})"


def _awaited(each: Sending) -> str | None:
    """Say what is to happen next to one of which nothing else is to be told."""
    match each.state:
        case State.WANTED:
            return "it waits to be signed"
        case State.SIGNED:
            return "it waits for a node to take it"
        case State.BROADCAST:
            return f"it waits for a block, at {gwei(each.last.offer.cap)} gwei for a unit of gas"
        case State.MINED:
            return f"it is in block {each.block}, and waits until that is final"
    return None
