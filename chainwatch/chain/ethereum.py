"""The door through which web3 enters the daemon, with what it changes put back.

Importing web3 raises the interpreter's recursion limit a hundredfold (a library of elliptic curves
beneath it does that). With the C stack that a process has, deeply nested JSON from anybody then
ends it with a segmentation fault instead of a `RecursionError`. Whatever of chain/ the daemon loads
imports web3 through here, and the limit is Python's own again before anything is read.
"""

import sys

from eth_account import Account
from eth_account.messages import encode_typed_data
from web3 import AsyncHTTPProvider, Web3

sys.setrecursionlimit(1000)

__all__ = ["Account", "AsyncHTTPProvider", "encode_typed_data", "keccak"]


def keccak(value: bytes) -> bytes:
    """The Keccak-256 hash of some bytes."""
    return bytes(Web3.keccak(value))
