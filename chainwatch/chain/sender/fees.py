"""What a unit of gas is worth offering, now and when a transaction is stuck; pure.

An offer covers a base fee twice as high as now, since it may rise for some blocks before anybody
takes it. What replaces a pending transaction has to offer an eighth more in both of its parts:
nodes want a tenth, and round. Nothing is ever offered beyond the ceiling, and at first no more than
half of it, so that there is room to replace what gets stuck. Where the chain asks more, the answer
is a sentence and not an offer. What a node suggests as a tip never stops anything: one odd
transaction can make it any number.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.domain.sendings import Offer

GWEI: Final = 10**9
#: A replacement offers this many eighths of what it replaces.
_EIGHTHS: Final = 9
#: What writing a word that was empty costs (EIP-2929), and two of them and half as much again.
_WORD: Final = 22_100
_TWO_WORDS: Final = 66_300


@dataclass(frozen=True, slots=True)
class Market:
    """What the chain asks now, in wei: `base` is None where it knows one price only (`price`)."""

    base: int | None
    price: int

    @property
    def asks(self) -> int:
        """The least that gets into a block."""
        return self.price if self.base is None else self.base


@dataclass(frozen=True, slots=True)
class TooDear:
    """Why nothing is offered."""

    why: str


def offer(market: Market, ceiling: int) -> Offer | TooDear:
    """Return what is offered for a new transaction."""
    limit = ceiling // 2
    if market.asks > limit:
        return TooDear(
            f"the chain asks {gwei(market.asks)} gwei for a unit of gas, and nothing is begun "
            f"above {gwei(limit)}, half of most_fee_gwei: it waits until that falls"
        )
    return _fair(market, limit)


def raised(old: Offer, market: Market, ceiling: int) -> Offer | TooDear:
    """Return what replaces `old`: an eighth more at least, and what the chain asks now."""
    if market.asks > ceiling:
        return TooDear(
            f"the chain asks {gwei(market.asks)} gwei for a unit of gas, more than most_fee_gwei "
            f"({gwei(ceiling)}): what is under way waits until that falls"
        )
    new = _fair(market, ceiling)
    cap = max(new.cap, _more(old.cap))
    if cap > ceiling:
        return TooDear(
            f"{gwei(old.cap)} gwei is offered for a unit of gas, and an eighth more would be above "
            f"most_fee_gwei ({gwei(ceiling)}): what is under way waits"
        )
    if old.tip is None:
        return Offer(cap, None)
    return Offer(cap, min(cap, max(new.tip or 0, _more(old.tip))))


def gas_limit(simulated: int, told: int = 0) -> int:
    """Return the gas that a call may take of which a simulation took `simulated`.

    The state may be another when it is mined: a second later something more was earned, and words
    are written that were empty. All that the call tells (`told` bytes) may be written too: whether
    a connection is kept depends on who owns the lease at that moment, and an owner who could choose
    it would have a delivery run out of gas. What is not used is not paid.
    """
    return simulated + simulated // 4 + _TWO_WORDS + -(-told // 32) * _WORD


def _fair(market: Market, limit: int) -> Offer:
    """Return what is offered within a limit that is not below what the chain asks."""
    if market.base is None:
        return Offer(market.price, None)
    tip = min(market.price, limit - market.base)
    return Offer(min(2 * market.base + tip, limit), tip)


def gwei(wei: int) -> str:
    """Write a price for people."""
    whole, rest = divmod(wei, GWEI)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")


def coins(wei: int) -> str:
    """Write an amount of the chain's coin for people."""
    whole, rest = divmod(max(0, wei), 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def _more(wei: int) -> int:
    return max(wei + 1, -(-wei * _EIGHTHS // 8))
