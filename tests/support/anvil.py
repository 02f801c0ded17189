"""The real chain that tests run against: the demo's own child process, under the tests' roof."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chainwatch.demo.anvil import CHAIN_ID, Anvil, BlockHead, running

__all__ = ["CHAIN_ID", "Anvil", "BlockHead", "running", "twin"]


@asynccontextmanager
async def twin(chain: Anvil) -> AsyncIterator[Anvil]:
    """Another node with the same past, which goes its own way from here."""
    state = await chain.rpc("anvil_dumpState")
    async with running() as other:
        await other.rpc("anvil_loadState", state)
        yield other
