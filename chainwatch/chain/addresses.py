"""Contract addresses as people write them.

An address in mixed case carries a checksum (EIP-55) that catches a slip of the keyboard; one in a
single case carries none. Inside, addresses are lower case throughout.
"""

import re
from typing import Final

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


def parse_address(text: str) -> str:
    """Return an address in lower case. Raises ValueError with what is wrong with `text`."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError("is not an address: 0x and 40 hexadecimal digits are expected")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()):
        from web3 import Web3  # a second of start-up that an address without checksum need not pay

        if not Web3.is_checksum_address(text):
            raise ValueError("has a wrong checksum (EIP-55): a character or its case is mistyped")
    return text.lower()
