"""Logs of the watched contract from one endpoint: by range below finality, by block hash above it.

A range on a node that lags, or that lost an index, is answered by an empty list and no error. So a
range is asked together with the header of its end, in one request; near the head logs are asked by
block hash, which an ignorant node cannot answer; and where a header's bloom admits logs that did
not come, the block's receipts decide.
"""

from collections.abc import Sequence

from chainwatch.chain import headers
from chainwatch.chain.bloom import Watch
from chainwatch.chain.ranges import Span, is_rate_limit
from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.wire import Header, RawLog, raw_logs
from chainwatch.errors import NotAChain, RpcUnavailable


async def in_range(
    rpc: Rpc, contract: str, first: int, last: int, span: Span
) -> tuple[Header, list[RawLog]]:
    """The header of a block up to `last`, as far as we may ask, and the logs from `first` to it.

    Raises `RpcUnavailable` when even one block is refused.
    """
    while True:
        end = min(last, first + span.blocks - 1)
        asked = end - first + 1
        filters = {"address": contract, "fromBlock": hex(first), "toBlock": hex(end)}
        try:
            found, end_block = await rpc.batch(
                [("eth_getLogs", (filters,)), headers.by_number(end)]
            )
        except RpcUnavailable:
            span.halve()
            raise
        if isinstance(found, RpcError):
            _shrink(rpc, span, found, first, asked)
            continue
        end_header = headers.numbered(end_block, end)
        logs = raw_logs(found, contract)
        _check_within(logs, first, end)
        span.answered(asked, len(logs))
        return end_header, logs


def _shrink(rpc: Rpc, span: Span, refusal: RpcError, first: int, asked: int) -> None:
    limited = is_rate_limit(refusal.message)
    if limited or not span.refused(asked, refusal.message, first):
        raise RpcUnavailable(f"{rpc.name} refuses the logs of block {first}: {refusal.message}")


def _check_within(logs: Sequence[RawLog], first: int, last: int) -> None:
    for log in (logs[0], logs[-1]) if logs else ():
        if not first <= log.block <= last:
            raise NotAChain(f"asked for logs of {first}–{last}, got one of {log.block}")


async def of_blocks(
    rpc: Rpc, contract: str, blocks: Sequence[Header], watch: Watch
) -> list[RawLog]:
    """All logs of these blocks, in the order of the chain."""
    calls = [
        ("eth_getLogs", ({"address": contract, "blockHash": header.block.hash},))
        for header in blocks
    ]
    found: list[RawLog] = []
    for header, answer in zip(blocks, await rpc.batch(calls), strict=True):
        if isinstance(answer, RpcError):
            raise NotAChain(f"block {header.block.number} is gone again: {answer.message}")
        logs = raw_logs(answer, contract)
        check_home(logs, header)
        if not logs and watch.admits(header.bloom):
            await _settle_by_receipts(rpc, contract, header)
        found += logs
    return found


def check_home(logs: Sequence[RawLog], header: Header) -> None:
    """Raise `NotAChain` unless every log is of this very block."""
    for log in logs:
        if (log.block, log.block_hash) != (header.block.number, header.block.hash):
            raise NotAChain(
                f"a log of block {log.block} {log.block_hash} was given for "
                f"block {header.block.number} {header.block.hash}"
            )


async def _settle_by_receipts(rpc: Rpc, contract: str, header: Header) -> None:
    """Raise `NotAChain` if the receipts hold logs of ours: the empty answer was wrong."""
    try:
        receipts = await rpc.call("eth_getBlockReceipts", header.block.hash)
    except RpcError as refused:
        message = f"the bloom of block {header.block.number} admits logs, none came, and "
        raise NotAChain(f"{message}its receipts cannot be had: {refused.message}") from refused
    if not isinstance(receipts, list):
        raise NotAChain(f"block {header.block.number} has no receipts")
    for receipt in receipts:
        if _holds_logs_of(receipt, contract):
            raise NotAChain(f"{rpc.name} left out logs of block {header.block.number}")


def _holds_logs_of(receipt: object, contract: str) -> bool:
    match receipt:
        case {"logs": list(logs)}:
            return any(
                isinstance(log, dict) and str(log.get("address")).lower() == contract
                for log in logs
            )
    raise NotAChain("a receipt has no logs")
