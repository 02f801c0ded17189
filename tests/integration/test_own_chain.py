"""The chain that the other tests stand on: ours alone, forked at will, and gone afterwards."""

import asyncio
import os
import select
import sys
from pathlib import Path

import pytest

from tests.support.anvil import CHAIN_ID, mined, running


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_two_chains_at_once_are_two_chains() -> None:
    async with running() as one, running() as two:
        await one.mine(3)
        assert one.url != two.url
        assert (await two.block()).number == 0
        assert await two.rpc("eth_chainId") == hex(CHAIN_ID)


async def test_a_chain_is_gone_after_its_block_even_if_that_fails() -> None:
    pids: list[int] = []

    async def fail_inside() -> None:
        async with running() as chain:
            pids.append(chain.pid)
            assert is_alive(chain.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    assert [is_alive(pid) for pid in pids] == [False]


async def test_a_chain_leaves_nothing_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More blocks than are kept in memory, whose states it writes down."""
    home, states = tmp_path / "home", tmp_path / "states"
    home.mkdir()
    states.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(states))
    async with running() as chain:
        await chain.mine(1100)
        assert any(states.rglob("*.json"))
    assert [*states.iterdir(), *home.iterdir()] == []


KILLED = """
import asyncio, sys
from chainwatch.demo.anvil import running
async def main():
    async with running() as chain:
        print(chain.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_a_chain_does_not_outlive_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        chain = os.pidfd_open(int(await parent.stdout.readline()))
    finally:
        parent.kill()
        await parent.communicate()
    try:
        ended, _, _ = await asyncio.to_thread(select.select, [chain], [], [], 10)
        assert ended == [chain]
    finally:
        os.close(chain)


async def test_finality_follows_two_blocks_behind_the_head() -> None:
    async with running() as chain:
        await chain.mine(5)
        assert (await chain.block("finalized")).number == 3


async def test_time_moves_exactly_as_far_as_asked() -> None:
    async with running() as chain:
        start = await chain.block()
        assert (await chain.advance(86_400)).timestamp == start.timestamp + 86_400


async def test_a_reorg_replaces_blocks_and_forgets_what_was_in_them() -> None:
    async with running() as chain:
        rich, other, *_ = await chain.accounts()
        await chain.mine(2)
        sent = await mined(chain, {"from": rich, "to": other, "value": "0x1"})
        before = [await chain.block(number) for number in range(4)]
        await chain.reorg(2, [({"from": rich, "to": other, "value": "0x2"}, 0)])
        after = [await chain.block(number) for number in range(4)]
        assert after[:2] == before[:2]
        assert {block.hash for block in after[2:]}.isdisjoint(block.hash for block in before)
        assert await chain.rpc("eth_getTransactionReceipt", sent) is None


async def test_a_snapshot_brings_the_chain_back_once() -> None:
    async with running() as chain:
        snapshot = await chain.snapshot()
        await chain.mine(4)
        await chain.revert(snapshot)
        assert (await chain.block()).number == 0
        with pytest.raises(RuntimeError, match="knows no snapshot"):
            await chain.revert(snapshot)


async def test_an_unknown_method_is_an_error_with_the_nodes_own_words() -> None:
    async with running() as chain:
        with pytest.raises(RuntimeError, match="Method not found"):
            await chain.rpc("chainwatch_nothing")
        with pytest.raises(LookupError, match="no block 7"):
            await chain.block(7)
