"""Events and functions by their signatures: what a log's first topic, or a call, begins with.

A signature is a name and the full types in brackets, without blanks: `Transfer(address,address,
uint256)`. One that is written otherwise has another hash, and would silence or find nothing without
anybody noticing; so what people write is checked to the letter.
"""

import re
from typing import Final

from eth_abi.abi import is_encodable_type
from eth_abi.exceptions import ParseError

from chainwatch.chain.ethereum import keccak

_SHORTENED: Final = re.compile(r"\b(u?int)\b")
_SHAPE: Final = re.compile(r"([A-Za-z_$][A-Za-z0-9_$]*)(\(.*\))")


def topic(signature: str) -> bytes:
    """The first topic of the logs of an event."""
    return keccak(signature.encode())


def selector(signature: str) -> str:
    """The four bytes (0x hex) that a call of a function, or a custom error, begins with."""
    return f"0x{keccak(signature.encode())[:4].hex()}"


def parse_event(text: str) -> bytes:
    """The first topic of an event as a person writes it. Raises ValueError with what is wrong."""
    shape = _SHAPE.fullmatch(text)
    if shape is None or not _are_types(shape[2]):
        raise ValueError(
            "is not the signature of an event: a name and its types in brackets, without blanks, "
            "argument names or `indexed`"
        )
    if _SHORTENED.search(shape[2]):
        raise ValueError(f"shortens a type; write {_SHORTENED.sub(_in_full, text)}")
    return topic(text)


def _are_types(listed: str) -> bool:
    """Whether it is a list of types; one without any is a list too, but no type of its own."""
    try:
        return listed == "()" or is_encodable_type(listed)
    except (ParseError, ValueError):
        return False


def _in_full(short: re.Match[str]) -> str:
    return f"{short[0]}256"


_OWNER_OF: Final = selector("ownerOf(uint256)")


def owner_of(token: int) -> str:
    """The call (0x hex) that asks any ERC-721 for a token's owner."""
    return f"{_OWNER_OF}{token:064x}"
