"""What nodes say, read strictly: headers, logs and quantities out of raw JSON.

Everything a node says is checked for shape here and nowhere else; what does not fit is `NotAChain`,
a reason to ask again or to ask somebody else, never a crash and never a guess. Hashes and addresses
are compared in lower case.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter, lt
from typing import Final, TypeAlias, TypeVar

from msgspec import Struct

from chainwatch.domain.events import END_OF_BLOCK, Block
from chainwatch.errors import NotAChain

_T = TypeVar("_T")

_HASH_LENGTH: Final = 66
_BLOOM_LENGTH: Final = 514
_STORABLE: Final = 2**63
"""One more than the largest integer of the store; no honest number, time or index comes near."""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header as far as we use it.

    `bloom` is its 2048 bits as an integer; `receipts_root` what it commits to its receipts by.
    """

    block: Block
    bloom: int
    receipts_root: str


class RawLog(Struct, frozen=True, gc=False):
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


def _log_index(value: object) -> int:
    number = quantity(value)
    if number >= END_OF_BLOCK:
        raise _strange("a believable log index", value)
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
            "receiptsRoot": receipts_root,
        } if len(bloom) == _BLOOM_LENGTH:
            block = Block(count(number), block_hash(digest), block_hash(parent), count(timestamp))
            return Header(block, int.from_bytes(raw_bytes(bloom)), block_hash(receipts_root))
    raise _strange("a block", value)


class _Readings(dict[str, _T]):
    """What texts mean, each read once: the logs of an answer repeat most of theirs."""

    def __init__(self, read: Callable[[object], _T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> _T:
        meaning = self[text] = self._read(text)
        return meaning


_PARTS: Final = itemgetter(
    "address", "blockNumber", "blockHash", "logIndex", "transactionHash", "topics", "data"
)


class _Logs:
    """Reads the log objects of one answer; each kind of text has readings of its own."""

    def __init__(self) -> None:
        self._addresses = _Readings(_address).__getitem__
        self._numbers = _Readings(count).__getitem__
        self._indices = _Readings(_log_index).__getitem__
        self._hashes = _Readings(block_hash).__getitem__
        self._bytes = _Readings(raw_bytes).__getitem__

    def read(self, value: object) -> RawLog:
        """A log out of a log object; raises `NotAChain`."""
        if not isinstance(value, dict) or value.get("removed"):
            raise _strange("a log", value)
        try:
            address, number, block_hash, index, tx_hash, topics, data = _PARTS(value)
            if not isinstance(topics, list):
                raise _strange("a list of topics", topics)
            return RawLog(
                self._addresses(address),
                self._numbers(number),
                self._hashes(block_hash),
                self._indices(index),
                self._hashes(tx_hash),
                tuple(map(self._bytes, topics)),
                self._bytes(data),
            )
        except (KeyError, TypeError):  # a part is missing, or is an array or an object
            raise _strange("a log", value) from None


Contracts: TypeAlias = str | tuple[str, ...]
"""One address in lower case or several, as `eth_getLogs` takes them too."""


def each_of(contracts: Contracts) -> tuple[str, ...]:
    """The addresses."""
    return (contracts,) if isinstance(contracts, str) else contracts


def raw_logs(values: object, contract: Contracts) -> list[RawLog]:
    """The logs of `contract` in the order of the chain, each once; raises `NotAChain`.

    An answer that holds another address' logs, or two logs in one place, is not an answer.
    """
    if not isinstance(values, list):
        raise _strange("a list of logs", values)
    answer = _Logs()
    logs = list(map(answer.read, values))
    ours = each_of(contract)
    for log in logs:
        if log.address not in ours:
            raise NotAChain(f"asked for logs of {contract}, got one of {log.address:.60}")
    places = [(log.block, log.log_index) for log in logs]
    if all(map(lt, places, islice(places, 1, None))):
        return logs
    return _in_order(logs)


def _in_order(logs: Iterable[RawLog]) -> list[RawLog]:
    placed: dict[tuple[int, int], RawLog] = {}
    for log in logs:
        if placed.setdefault((log.block, log.log_index), log) != log:
            raise NotAChain(f"block {log.block} has two logs at index {log.log_index}")
    return [placed[place] for place in sorted(placed)]


def _address(value: object) -> str:
    if isinstance(value, str):
        return value.lower()
    raise _strange("an address", value)


def _strange(wanted: str, value: object) -> NotAChain:
    return NotAChain(f"the node's answer has no {wanted} where one must be: {value!r:.120}")
