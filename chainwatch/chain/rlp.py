"""Ethereum's serialization of nested byte strings, as far as it is written: encoding.

Items are encoded from the inside out, so that a part that is encoded already (a node of a trie
within another one) is put in as it stands. Yellow paper, appendix B. There is one encoding for
every value; a number with leading zeros would be another one, and so another hash.
"""

from collections.abc import Iterable

_STRING = 0x80
_LIST = 0xC0
_SHORT = 55


def string(value: bytes) -> bytes:
    """A byte string; one byte below 0x80 stands for itself."""
    if len(value) == 1 and value[0] < _STRING:
        return value
    return _prefix(_STRING, len(value)) + value


def number(value: int) -> bytes:
    """A number of at least 0, in as few bytes as it needs."""
    return string(value.to_bytes((value.bit_length() + 7) // 8))


def array(encoded: Iterable[bytes]) -> bytes:
    """A list of items that are encoded already."""
    payload = b"".join(encoded)
    return _prefix(_LIST, len(payload)) + payload


def _prefix(kind: int, length: int) -> bytes:
    if length <= _SHORT:
        return bytes((kind + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((kind + _SHORT + len(size),)) + size
