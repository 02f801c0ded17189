"""Where the stored chain and a node's chain part, found by hash, from the top down.

Three findings: a common ancestor (everything above is to be taken back), no common block at all
(everything is), or a contradiction of what was final, which is no reorg but a halt: nothing is
taken back, and somebody has to look. Only what a node itself calls final can contradict what we
do: one that is stuck on a fork of the past is not believed, and has halted nothing. A node whose
head is below our cursor but on our chain has said nothing against us: it is behind.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from chainwatch.chain import headers
from chainwatch.chain.rpc import Rpc
from chainwatch.chain.tip import Tip
from chainwatch.domain.batches import SourceState
from chainwatch.domain.events import Block, Logged
from chainwatch.errors import NotAChain, RpcUnavailable, SourceHalted

_AT_ONCE: Final = 32


class Behind(RpcUnavailable):
    """The node has not come as far as we have, and says nothing against us as far as it has.

    `past_final` tells whether it holds what we call final, and so confirms it.
    """

    def __init__(self, message: str, *, past_final: bool) -> None:
        super().__init__(message)
        self.past_final = past_final


class KnownBlocks(Protocol):
    """What is stored for one source."""

    async def block(self, number: int) -> Block | None:
        """The stored block of that number, if it was kept."""

    async def said(self, first: int, last: int) -> Sequence[Logged]:
        """The stored events of these blocks, in the order of the chain."""


async def ancestor(
    rpc: Rpc, known: KnownBlocks, state: SourceState, tip: Tip, start_block: int
) -> Block | None:
    """The highest stored block that the node has too; None when there is none down to the start.

    Raises `SourceHalted` when the node's final blocks contradict ours, `NotAChain` when it is on
    another chain without calling that final, `Behind` when its head is a stored block or lies
    below the final one.
    """
    if state.cursor is None:
        return None
    head = tip.head.block.number
    top = min(state.cursor.number, head)
    floor = state.final.number if state.final is not None else start_block
    if top < floor:
        raise Behind(
            f"{rpc.name} is only at block {head}, below the final block {floor}", past_final=False
        )
    for high in range(top, floor - 1, -_AT_ONCE):
        numbers = range(high, max(floor, high - _AT_ONCE + 1) - 1, -1)
        for header in await headers.fetch(rpc, numbers):
            mine = await _stored(known, state, header.block.number)
            if mine == header.block:
                return _no_head(rpc, mine, head)
            if state.final is not None and header.block.number == floor:
                raise _contradiction(rpc, state.final, header.block, tip.final_number)
    return None


def _no_head(rpc: Rpc, common: Block, head: int) -> Block:
    """The common block, unless it is the node's head: then nothing speaks against ours."""
    if common.number == head:
        raise Behind(f"{rpc.name} went back to block {head} of our chain", past_final=True)
    return common


async def _stored(known: KnownBlocks, state: SourceState, number: int) -> Block | None:
    for block in (state.cursor, state.final):
        if block is not None and block.number == number:
            return block
    return await known.block(number)


def _contradiction(
    rpc: Rpc, mine: Block, theirs: Block, their_final: int
) -> SourceHalted | NotAChain:
    found = f"block {mine.number} was final as {mine.hash}, and {rpc.name} now says {theirs.hash}"
    if mine.hash == theirs.hash:
        found = f"{found}, of time {theirs.timestamp} and not {mine.timestamp}"
    if their_final < mine.number:
        return NotAChain(f"{found}, which it does not call final itself")
    return SourceHalted(f"{found}; compare both with a node that you trust")
