"""What nodes say, read strictly: headers, logs and quantities out of raw JSON.

Everything a node says is checked for shape here and nowhere else; what does not fit is `NotAChain`,
a reason to ask again or to ask somebody else, never a crash and never a guess. Hashes and addresses
are compared in lower case.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain

_HASH_LENGTH: Final = 66
_BLOOM_LENGTH: Final = 514
_STORABLE: Final = 2**63
"""One more than the largest integer of the store; no honest number, time or index comes near."""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header as far as we use it: the block, and its 2048-bit bloom as an integer."""

    block: Block
    bloom: int


@dataclass(frozen=True, slots=True)
class RawLog:
    """A log as the node tells it: whose, where it was said, its topics and data as bytes."""

    address: str
    block: int
    block_hash: str
    log_index: int
    tx_hash: str
    topics: tuple[bytes, ...]
    data: bytes


def quantity(value: object) -> int:
    """A JSON-RPC quantity (0x and hex digits); raises `NotAChain`."""
    if isinstance(value, str) and value.startswith("0x") and value.isascii() and value.isalnum():
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise _strange("a number", value)


def count(value: object) -> int:
    """A block's number, time or index, which the store can hold; raises `NotAChain`."""
    number = quantity(value)
    if number >= _STORABLE:
        raise _strange("a believable number", value)
    return number


def raw_bytes(value: object) -> bytes:
    """JSON-RPC data (0x and an even number of hex digits); raises `NotAChain`."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            data = bytes.fromhex(value[2:])
        except ValueError:
            data = b""
        if 2 * len(data) + 2 == len(value):
            return data
    raise _strange("hex data", value)


def block_hash(value: object) -> str:
    """A 32-byte hash in lower case; raises `NotAChain`."""
    if isinstance(value, str) and len(value) == _HASH_LENGTH:
        raw_bytes(value)
        return value.lower()
    raise _strange("a hash", value)


def header(value: object) -> Header:
    """A header out of a block object; raises `NotAChain`, for `null` too."""
    match value:
        case {
            "number": number,
            "hash": digest,
            "parentHash": parent,
            "timestamp": timestamp,
            "logsBloom": str(bloom),
        } if len(bloom) == _BLOOM_LENGTH:
            block = Block(count(number), block_hash(digest), block_hash(parent), count(timestamp))
            return Header(block, int.from_bytes(raw_bytes(bloom)))
    raise _strange("a block", value)


def raw_log(value: object) -> RawLog:
    """A log out of a log object; raises `NotAChain`."""
    match value:
        case {
            "address": str(address),
            "blockNumber": number,
            "blockHash": digest,
            "logIndex": index,
            "transactionHash": tx_hash,
            "topics": list(topics),
            "data": data,
            **rest,
        } if not rest.get("removed"):
            return RawLog(
                address.lower(),
                count(number),
                block_hash(digest),
                count(index),
                block_hash(tx_hash),
                tuple([raw_bytes(topic) for topic in topics]),
                raw_bytes(data),
            )
    raise _strange("a log", value)


def raw_logs(values: object, contract: str) -> list[RawLog]:
    """The logs of `contract` in the order of the chain, each once; raises `NotAChain`.

    An answer that holds another address' logs, or two logs in one place, is not an answer.
    """
    if not isinstance(values, list):
        raise _strange("a list of logs", values)
    logs: dict[tuple[int, int], RawLog] = {}
    for value in values:
        log = raw_log(value)
        if log.address != contract:
            raise NotAChain(f"asked for logs of {contract}, got one of {log.address:.60}")
        if logs.setdefault((log.block, log.log_index), log) != log:
            raise NotAChain(f"block {log.block} has two logs at index {log.log_index}")
    return [logs[place] for place in sorted(logs)]


def _strange(wanted: str, value: object) -> NotAChain:
    return NotAChain(f"the node's answer has no {wanted} where one must be: {value!r:.120}")
