"""Money and time as people write them, and back; pure, and never through a float.

An amount that has more digits than its money is refused, never rounded: what is asked for is what
is paid.
"""

import re
from dataclasses import dataclass
from typing import Final

_AMOUNT: Final = re.compile(r"([0-9]{1,60})(?:\.([0-9]{1,60}))?")
_DURATION: Final = re.compile(r"([0-9]{1,12})\s*(s|min|h|d|w)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
NATIVE: Final = f"0x{0:040x}"


@dataclass(frozen=True, slots=True)
class Money:
    """A kind of money: its address (zero: the chain's coin), its name, its digits."""

    address: str = NATIVE
    symbol: str = "coin"
    decimals: int = 18

    @property
    def native(self) -> bool:
        return self.address == NATIVE

    def written(self, amount: int) -> str:
        """Write an amount in the smallest unit for people: `1.5 USDC`."""
        whole, rest = divmod(amount, 10**self.decimals)
        digits = f"{rest:0{self.decimals}d}".rstrip("0") if self.decimals else ""
        return f"{whole}{'.' if digits else ''}{digits} {self.symbol}"

    def units(self, text: str) -> int:
        """Return an amount in the smallest unit. Raises ValueError with what is wrong."""
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise ValueError("is not an amount: digits are expected, with a dot where needed")
        digits = (found[2] or "").rstrip("0")
        if len(digits) > self.decimals:
            raise ValueError(f"is finer than {self.symbol}, which has {self.decimals} decimals")
        return int(found[1] + digits.ljust(self.decimals, "0"))


def duration(text: str) -> int:
    """Return seconds from `90s`, `30min`, `12h`, `30d` or `2w`. Raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError("is not a duration: a number and s, min, h, d or w are expected, as 30d")
    return int(found[1]) * _SECONDS[found[2]]
