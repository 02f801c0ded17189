"""The real chain that tests run against: the demo's own child process, under the tests' roof."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from hexbytes import HexBytes
from web3 import AsyncWeb3

from chainwatch.demo.anvil import CHAIN_ID, Anvil, BlockHead, running

__all__ = ["CHAIN_ID", "Anvil", "BlockHead", "all_mined", "is_mined", "mined", "running", "twin"]


async def mined(chain: Anvil, request: Mapping[str, str]) -> str:
    """Send a transaction to a chain that mines by itself, and return its hash when it is mined.

    The node answers before that.
    """
    sent = str(await chain.rpc("eth_sendTransaction", dict(request)))
    await is_mined(chain, sent)
    return sent


async def is_mined(chain: Anvil, sent: str) -> None:
    """Wait until a transaction is mined, and did what it was to do."""
    eth = AsyncWeb3(chain.provider).eth
    receipt = await eth.wait_for_transaction_receipt(HexBytes(sent), poll_latency=0.02)
    assert receipt["status"] == 1


async def all_mined(chain: Anvil) -> None:
    """Wait until a chain that mines by itself has mined all that it was given, and can pay for."""
    while True:
        pool = await chain.rpc("txpool_status")
        assert isinstance(pool, dict)
        if int(pool["pending"], 16) == 0:
            return


@asynccontextmanager
async def twin(chain: Anvil) -> AsyncIterator[Anvil]:
    """Another node with the same past, which goes its own way from here."""
    state = await chain.rpc("anvil_dumpState")
    async with running() as other:
        await other.rpc("anvil_loadState", state)
        yield other
