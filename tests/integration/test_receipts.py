"""Receipts of a real chain add up to what its headers say, whatever is in its blocks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chainwatch.chain import headers
from chainwatch.chain.receipts import logs_in, proven
from chainwatch.chain.rpc import Rpc, RpcPool
from chainwatch.errors import NotAChain
from tests.support.anvil import Anvil, running
from tests.support.faultproxy import FaultProxy, proxy
from tests.support.faults import no_receipts
from tests.support.town import founded

KINDS: tuple[dict[str, object], ...] = (
    {"gasPrice": hex(10**11)},
    {"maxFeePerGas": hex(10**11), "maxPriorityFeePerGas": "0x1"},
    {"gasPrice": hex(10**11), "accessList": [{"address": "0x" + "aa" * 20, "storageKeys": []}]},
)


@asynccontextmanager
async def asking(anvil: Anvil | FaultProxy) -> AsyncIterator[Rpc]:
    pool = RpcPool((anvil.url,), timeout=20)
    try:
        yield pool.ranked()[0]
    finally:
        await pool.close()


async def fill(anvil: Anvil, transactions: int) -> int:
    """One block with so many transactions, of every kind in turn; its number."""
    sender, *others = await anvil.accounts()
    for number in range(transactions):
        what = {"from": sender, "to": others[number % 9], "value": hex(number), "gas": hex(30_000)}
        await anvil.rpc("eth_sendTransaction", what | KINDS[number % len(KINDS)])
    return (await anvil.mine()).number


@pytest.mark.parametrize("transactions", [0, 1, 2, 17, 130, 200])
async def test_the_receipts_of_a_block_add_up_however_many_there_are(transactions: int) -> None:
    async with running() as anvil, asking(anvil) as rpc:
        await anvil.rpc("evm_setAutomine", False)
        number = await fill(anvil, transactions)
        header = (await headers.fetch(rpc, [number]))[0]
        receipts = await rpc.call("eth_getBlockReceipts", header.block.hash)
        assert isinstance(receipts, list)
        assert len(receipts) == transactions
        kinds = {receipt["type"] for receipt in receipts}
        assert kinds == {"0x0", "0x1", "0x2"} if transactions > 2 else len(kinds) == transactions
        assert logs_in(receipts, header, "0x" + "aa" * 20) == []


async def test_the_logs_of_a_real_contract_are_proven_as_the_node_tells_them() -> None:
    async with founded() as town, asking(town.anvil) as rpc:
        for _ in range(3):
            await town.shop.mint(1, town.alice)
        await town.anvil.rpc("evm_setAutomine", False)
        await fill(town.anvil, 3)
        contract = town.shop.address.lower()
        head = (await town.anvil.block()).number
        for header in await headers.fetch(rpc, range(head + 1)):
            receipts = await rpc.call("eth_getBlockReceipts", header.block.hash)
            filters = {"address": contract, "blockHash": header.block.hash}
            told = await rpc.call("eth_getLogs", filters)
            assert isinstance(told, list)
            proven = logs_in(receipts, header, contract)
            assert [hex(log.log_index) for log in proven] == [log["logIndex"] for log in told]
            assert [log.tx_hash for log in proven] == [log["transactionHash"] for log in told]
            assert [f"0x{log.data.hex()}" for log in proven] == [log["data"] for log in told]
            assert [[f"0x{t.hex()}" for t in log.topics] for log in proven] == [
                log["topics"] for log in told
            ]


async def test_receipts_that_are_told_one_at_a_time_prove_as_much() -> None:
    async with founded() as town, proxy(town.anvil.url) as spoiler, asking(spoiler) as rpc:
        await town.anvil.rpc("evm_setAutomine", False)
        await fill(town.anvil, 3)
        contract = town.shop.address.lower()
        blocks = await headers.fetch(rpc, range((await town.anvil.block()).number + 1))
        whole = [told async for told in proven(rpc, contract, blocks)]
        spoiler.arm(no_receipts(singly=True))
        assert [told async for told in proven(rpc, contract, blocks)] == whole
        assert any(logs for _, logs in whole)
        spoiler.arm(no_receipts())
        with pytest.raises(NotAChain, match="use another endpoint"):
            _ = [told async for told in proven(rpc, contract, blocks)]
