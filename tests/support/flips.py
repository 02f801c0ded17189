"""Blocks that a reorg takes away and another gives back, with all that stood in them.

A chain that changes its mind twice, or builds its blocks anew at the same times, has the same
transactions again, and in blocks of the same times a contract says the same of them.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from tests.support.anvil import Anvil

#: Blocks above the final one.
DEEPEST: Final = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """A block's time, and the transactions in it, as they were sent."""

    time: int
    raws: tuple[str, ...] = ()


async def flip(
    anvil: Anvil, depth: int, look: Callable[[], Awaitable[object]], *, later: int = 0
) -> None:
    """Take the last blocks away, have the daemon `look`, and give them back.

    They come back `later` by so many seconds. Where the chain has gone on meanwhile, because the
    daemon was dead, they come on top: nothing that is final is taken back. Nothing is mined by
    itself.
    """
    base = (await anvil.block()).number - depth
    taken = [await _taken(anvil, base + 1 + place) for place in range(depth)]
    await _build(anvil, base, [Taken(each.time) for each in taken])
    await look()
    await _build(anvil, base, [replace(each, time=each.time + later) for each in taken])


async def _taken(anvil: Anvil, number: int) -> Taken:
    block = await anvil.block(number)
    raws = [str(await anvil.rpc("eth_getRawTransactionByHash", tx)) for tx in block.transactions]
    return Taken(block.timestamp, tuple(raws))


async def _build(anvil: Anvil, base: int, blocks: Sequence[Taken]) -> None:
    """Put these blocks on block `base`; what waits goes on waiting, unless it stands in them."""
    head, waiting = await anvil.block(), await _waiting(anvil)
    if head.number - base <= DEEPEST:
        await anvil.rpc("anvil_rollback", head.number - base)
        head = await anvil.block()
    await anvil.rpc("anvil_dropAllTransactions")
    for each in blocks:
        await _send(anvil, each.raws)
        head = await anvil.advance_to(max(each.time, head.timestamp))
    await _send(anvil, waiting)


async def _waiting(anvil: Anvil) -> list[str]:
    pool = await anvil.rpc("txpool_content")
    assert isinstance(pool, dict)
    found = [tx for part in pool.values() for txs in part.values() for tx in txs.values()]
    found.sort(key=lambda tx: int(tx["nonce"], 16))
    return [str(await anvil.rpc("eth_getRawTransactionByHash", tx["hash"])) for tx in found]


async def _send(anvil: Anvil, raws: Sequence[str]) -> None:
    for raw in raws:
        with suppress(RuntimeError):  # its nonce may be used by now
            await anvil.rpc("eth_sendRawTransaction", raw)
