"""Whether a header's bloom admits logs of our contract.

A bloom never misses a log that was there: a hit with an empty answer is a reason for doubt, and no
hit with a log in the answer is a contradiction. It may also hit by chance, the more so the fuller
the block, so a hit is never proof. Some chains break it altogether; there it must not be asked.
"""

from collections.abc import Iterable

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.wire import Contracts, each_of


def bits_of(value: bytes) -> int:
    """The three bits that `value` sets (yellow paper, 4.3.1): the low 11 of three 16-bit pairs."""
    digest = keccak(value)
    mask = 0
    for start in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[start : start + 2]) & 2047)
    return mask


class Watch:
    """The blooms of a source's addresses together with any of its topics."""

    def __init__(self, contract: Contracts, topics: Iterable[bytes]) -> None:
        self._addresses = tuple(
            bits_of(bytes.fromhex(each.removeprefix("0x"))) for each in each_of(contract)
        )
        said = tuple(map(bits_of, topics))
        self._masks = tuple(address | topic for address in self._addresses for topic in said)

    def admits(self, bloom: int) -> bool:
        """Whether a block with this bloom may hold a log that we understand."""
        return any(bloom & mask == mask for mask in self._masks)

    def denies(self, bloom: int) -> bool:
        """Whether a block with this bloom holds no log of our contract, of whatever kind."""
        return all(bloom & address != address for address in self._addresses)
