"""The receipts of a block, believed only where they add up to what its header commits to.

A header holds the root of a trie over all receipts of its block, and a receipt holds its logs, in
their order. So receipts whose root is the header's are all of them: no log is missing, none is
invented, none stands elsewhere. This settles what a bloom can only hint at. A receipt is encoded as
EIP-2718 has it: the old form bare, every other one behind its type's byte. What the root says
nothing of is the transaction's hash, which is the node's word. Failure mode: a chain that puts more
into its receipts than we know of is never proven, which stops the reading and invents nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, TypeAlias

from chainwatch.chain import rlp
from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.tip import NOT_OFFERED
from chainwatch.chain.trie import ordered_root
from chainwatch.chain.wire import (
    Contracts,
    Header,
    RawLog,
    block_hash,
    each_of,
    quantity,
    raw_bytes,
)
from chainwatch.errors import NotAChain

AT_ONCE: Final = 4
"""Blocks whose receipts are asked for in one request: those of a full block take megabytes."""

_DEPOSIT: Final = 0x7E
"""OP Stack deposits: since its Canyon upgrade two more fields are part of what is hashed."""

_LEGACY: Final = 0
_LAST_TYPE: Final = 0x7F

_Said: TypeAlias = tuple[bytes, tuple[bytes, ...], bytes]
"""A log as a receipt holds it: address, topics, data."""


async def proven(
    rpc: Rpc, contract: Contracts, blocks: Sequence[Header]
) -> AsyncIterator[tuple[Header, list[RawLog]]]:
    """Each block with all logs of `contract` in it, in order, a few blocks' receipts at a time.

    Raises `NotAChain` for receipts that are not the block's, or cannot be had from this endpoint.
    """
    for start in range(0, len(blocks), AT_ONCE):
        part = blocks[start : start + AT_ONCE]
        answers = await rpc.batch([("eth_getBlockReceipts", (h.block.hash,)) for h in part])
        for header, answer in zip(part, answers, strict=True):
            if not isinstance(answer, RpcError):
                told: object = answer
            elif answer.code in NOT_OFFERED:
                told = await _one_by_one(rpc, header)
            else:
                raise _cannot_tell(rpc, header, answer)
            yield header, logs_in(told, header, contract)


async def _one_by_one(rpc: Rpc, header: Header) -> list[object]:
    """A block's receipts from an endpoint that tells them for one transaction at a time only."""
    try:
        block = await rpc.call("eth_getBlockByHash", header.block.hash, False)
    except RpcError as refused:
        raise _cannot_tell(rpc, header, refused) from refused
    hashes = block.get("transactions") if isinstance(block, dict) else None
    if not isinstance(hashes, list):
        raise NotAChain(f"{rpc.name} does not tell the transactions of {header.block.number}")
    told = await rpc.batch([("eth_getTransactionReceipt", (block_hash(each),)) for each in hashes])
    for answer in told:
        if isinstance(answer, RpcError):
            raise _cannot_tell(rpc, header, answer)
    return told


def logs_in(receipts: object, header: Header, contract: Contracts) -> list[RawLog]:
    """The logs of `contract` in a block's receipts; raises `NotAChain` unless they are proven."""
    if not isinstance(receipts, list):
        raise NotAChain(f"block {header.block.number} has no receipts: {receipts!r:.60}")
    ours = {bytes.fromhex(each.removeprefix("0x")): each for each in each_of(contract)}
    block = header.block
    found: list[RawLog] = []
    encoded: list[bytes] = []
    place = 0
    for receipt in receipts:
        said = _said_in(receipt)
        encoded.append(_encoded(receipt, said))
        for address, topics, data in said:
            if address in ours:
                tx_hash = block_hash(receipt.get("transactionHash"))
                at = (block.number, block.hash, place, tx_hash)
                found.append(RawLog(ours[address], *at, topics, data))
            place += 1
    _check_root(encoded, header)
    return found


def _check_root(encoded: Sequence[bytes], header: Header) -> None:
    root = f"0x{ordered_root(encoded).hex()}"
    if root != header.receipts_root:
        raise NotAChain(
            f"the receipts of block {header.block.number} add up to {root}, "
            f"but its header says {header.receipts_root}"
        )


def _said_in(receipt: object) -> list[_Said]:
    match receipt:
        case {"logs": list(logs)}:
            return [_said(log) for log in logs]
    raise NotAChain(f"a receipt has no logs: {receipt!r:.60}")


def _said(log: object) -> _Said:
    match log:
        case {"address": address, "topics": list(topics), "data": data}:
            return (
                raw_bytes(address),
                tuple([raw_bytes(topic) for topic in topics]),
                raw_bytes(data),
            )
    raise NotAChain(f"a receipt has no log where one must be: {log!r:.60}")


def _encoded(receipt: Mapping[str, object], said: Sequence[_Said]) -> bytes:
    kind = quantity(receipt.get("type") or "0x0")
    if kind > _LAST_TYPE:
        raise NotAChain(f"a receipt is of type {kind}, beyond all types (EIP-2718)")
    fields = [
        _outcome(receipt),
        rlp.number(quantity(receipt.get("cumulativeGasUsed"))),
        rlp.string(raw_bytes(receipt.get("logsBloom"))),
        rlp.array([_encoded_log(*log) for log in said]),
    ]
    if kind == _DEPOSIT and receipt.get("depositReceiptVersion") is not None:
        fields += [
            rlp.number(quantity(receipt.get(name)))
            for name in ("depositNonce", "depositReceiptVersion")
        ]
    body = rlp.array(fields)
    return body if kind == _LEGACY else bytes((kind,)) + body


def _outcome(receipt: Mapping[str, object]) -> bytes:
    """Whether it succeeded, or the state's root in a block from before Byzantium (EIP-658)."""
    status = receipt.get("status")
    if status is not None:
        return rlp.number(quantity(status))
    return rlp.string(raw_bytes(receipt.get("root")))


def _encoded_log(address: bytes, topics: tuple[bytes, ...], data: bytes) -> bytes:
    said = rlp.array([rlp.string(topic) for topic in topics])
    return rlp.array((rlp.string(address), said, rlp.string(data)))


def _cannot_tell(rpc: Rpc, header: Header, refused: RpcError) -> NotAChain:
    advice = (
        "; it offers neither eth_getBlockReceipts nor what would do instead: use another endpoint, "
        "or verify less"
        if refused.code in NOT_OFFERED
        else ""
    )
    return NotAChain(
        f"{rpc.name} does not give the receipts of block {header.block.number} that would settle "
        f"which logs it holds ({refused.message}){advice}"
    )
