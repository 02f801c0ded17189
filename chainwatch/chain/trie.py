"""The root of a Merkle-Patricia trie over a list: what a header commits to its receipts by.

The keys are the places in the list (RLP of 0, 1, 2 …), of which none begins another; so a branch
never holds a value, and the trie can be built at once from the sorted keys, top down. Yellow paper,
appendix D. Another value, another order or one value less is another root.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Final, TypeAlias

from chainwatch.chain import rlp
from chainwatch.chain.ethereum import keccak

_Item: TypeAlias = tuple[bytes, bytes]
"""The nibbles of a key, one in a byte, and the value under it."""

_HASHED_FROM: Final = 32
_NOTHING: Final = rlp.string(b"")


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The 32-byte root of the trie that holds each value under its place."""
    if not values:
        return keccak(_NOTHING)
    items = [(_nibbles(rlp.number(place)), value) for place, value in enumerate(values)]
    return keccak(_node(sorted(items), 0))


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _node(items: Sequence[_Item], depth: int) -> bytes:
    """The encoded node over sorted items whose keys are the same up to `depth`."""
    first, value = items[0]
    if len(items) == 1:
        return rlp.array((_path(first[depth:], leaf=True), rlp.string(value)))
    shared = _shared(first, items[-1][0], depth)
    if shared > depth:
        return rlp.array((_path(first[depth:shared], leaf=False), _child(items, shared)))
    slots = [_NOTHING] * 17
    for nibble, below in groupby(items, key=lambda item: item[0][depth]):
        slots[nibble] = _child(list(below), depth + 1)
    return rlp.array(slots)


def _shared(low: bytes, high: bytes, depth: int) -> int:
    """Up to where the lowest and the highest of sorted keys, and so all of them, are the same."""
    while low[depth] == high[depth]:
        depth += 1
    return depth


def _child(items: Sequence[_Item], depth: int) -> bytes:
    """A node as its parent holds it: itself where it is short, else its hash."""
    node = _node(items, depth)
    return node if len(node) < _HASHED_FROM else rlp.string(keccak(node))


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Nibbles packed into bytes, behind a mark for their parity and for the kind of node."""
    odd = len(nibbles) % 2
    mark = (2 if leaf else 0) + odd
    padded = bytes((mark,)) + (b"" if odd else b"\0") + nibbles
    packed = bytes(padded[i] << 4 | padded[i + 1] for i in range(0, len(padded), 2))
    return rlp.string(packed)
