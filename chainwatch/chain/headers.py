"""Headers of one endpoint, many at a time, and whether they form a chain.

A header counts only where it was asked for: one with another number, or `null` below the node's own
head, is `NotAChain`. Neighbours must be linked by the parent's hash.
"""

from collections.abc import AsyncIterator, Iterable, Sequence

from chainwatch.chain.rpc import BATCH, Call, Rpc, RpcError
from chainwatch.chain.wire import Header, header
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain


def by_number(number: int | str) -> Call:
    """The call for a block's header by number or tag, without its transactions."""
    tag = hex(number) if isinstance(number, int) else number
    return "eth_getBlockByNumber", (tag, False)


def numbered(answer: object, number: int) -> Header:
    """The header of block `number` out of an answer; raises `NotAChain` or the node's error."""
    if isinstance(answer, RpcError):
        raise answer
    found = header(answer)
    if found.block.number != number:
        raise NotAChain(f"asked for block {number}, got {found.block.number}")
    return found


async def fetch(rpc: Rpc, numbers: Sequence[int]) -> list[Header]:
    """The headers of these blocks, in this order."""
    answers = await rpc.batch([by_number(number) for number in numbers])
    return [numbered(answer, number) for answer, number in zip(answers, numbers, strict=True)]


async def stretches(rpc: Rpc, first: int, end: Header) -> AsyncIterator[list[Header]]:
    """The headers from `first` to `end`, which is known already, as many at a time as are asked."""
    for start in range(first, end.block.number + 1, BATCH):
        last = min(start + BATCH - 1, end.block.number)
        fetched = await fetch(rpc, range(start, min(last, end.block.number - 1) + 1))
        yield [*fetched, end] if last == end.block.number else fetched


def check_links(blocks: Iterable[Block]) -> None:
    """Raise `NotAChain` unless each block links to the one before, where they are neighbours."""
    before: Block | None = None
    for block in blocks:
        if before is not None and block.number == before.number + 1:
            _check_link(before, block)
        before = block


def _check_link(before: Block, block: Block) -> None:
    if block.parent != before.hash:
        raise NotAChain(
            f"block {block.number} {block.hash} names {block.parent} as its parent, "
            f"but block {before.number} is {before.hash}"
        )
    if block.timestamp < before.timestamp:
        raise NotAChain(f"block {block.number} is older than its parent")
