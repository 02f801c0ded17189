"""Logs of the watched contract from one endpoint: by range below finality, by block hash above it.

A range on a node that lags, or that lost an index, is answered by an empty list and no error. So a
range is asked together with the header of its end, in one request, and near the head logs are asked
by block hash, which an ignorant node cannot answer. What came is then held against the headers
(`chain/proof.py`).
"""

from collections.abc import Sequence

from chainwatch.chain import headers
from chainwatch.chain.ranges import Span, is_rate_limit
from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.transport import RateLimited
from chainwatch.chain.wire import Contracts, Header, RawLog, raw_logs
from chainwatch.errors import NotAChain, RpcUnavailable


async def in_range(
    rpc: Rpc, contract: Contracts, first: int, last: int, span: Span
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
        except RateLimited:
            raise  # less would not help
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


async def of_blocks(rpc: Rpc, contract: Contracts, blocks: Sequence[Header]) -> list[RawLog]:
    """The logs of these blocks as the node tells them, in the order of the chain."""
    calls = [
        ("eth_getLogs", ({"address": contract, "blockHash": header.block.hash},))
        for header in blocks
    ]
    found: list[RawLog] = []
    for header, answer in zip(blocks, await rpc.batch(calls), strict=True):
        if isinstance(answer, RpcError):
            raise NotAChain(f"block {header.block.number} is gone again: {answer.message}")
        logs = raw_logs(answer, contract)
        _check_home(logs, header)
        found += logs
    return found


def _check_home(logs: Sequence[RawLog], header: Header) -> None:
    """Every log is of this very block."""
    for log in logs:
        if (log.block, log.block_hash) != (header.block.number, header.block.hash):
            raise NotAChain(
                f"a log of block {log.block} {log.block_hash} was given for "
                f"block {header.block.number} {header.block.hash}"
            )
