"""A chain of one's own: a real anvil as a child process, and the hands on its clock.

The child takes its port from the kernel and says on its own output which one it got, so two of them
never meet and nobody talks to a stranger's chain by mistake. It is stopped when its block is left,
however that happens, and the kernel kills it should this process die first; a Ctrl-C meant for us
does not reach it. What it writes of old states to the disk goes with its block. Finality follows
two epochs behind the head, which is two blocks with one slot in an epoch; blocks are mined by
transactions or on purpose, never by themselves, so a chain that nobody touches stands still.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

from web3 import AsyncHTTPProvider, AsyncWeb3
from web3.types import RPCEndpoint

from chainwatch.errors import OperatorError

CHAIN_ID = 31337
_BINARY = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
_OPTIONS = ("--port", "0", "--order", "fifo", "--color", "never")
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class BlockHead:
    """A block as a node tells it: number, hash (0x hex) and timestamp (seconds, UTC).

    `transactions` are their hashes (0x hex).
    """

    number: int
    hash: str
    timestamp: int
    transactions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Anvil:
    """A running chain with ten rich, unlocked accounts; made by `running`."""

    pid: int
    port: int
    provider: AsyncHTTPProvider

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def rpc(self, method: str, *params: object) -> object:
        """One JSON-RPC call; RuntimeError with the node's own text when it answers an error."""
        answer = await self.provider.make_request(RPCEndpoint(method), list(params))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def accounts(self) -> list[str]:
        """Ten addresses, checksummed, each with 10,000 coins and unlocked."""
        match await self.rpc("eth_accounts"):
            case list(accounts):
                return [AsyncWeb3.to_checksum_address(account) for account in accounts]
            case answer:
                raise LookupError(f"this chain has no accounts: {answer}")

    async def block(self, tag: str | int = "latest") -> BlockHead:
        """The block at a number, or at `latest`, `safe`, `finalized`, `earliest`."""
        name = hex(tag) if isinstance(tag, int) else tag
        match await self.rpc("eth_getBlockByNumber", name, False):
            case {
                "number": str(number),
                "hash": str(digest),
                "timestamp": str(timestamp),
                "transactions": list(hashes),
            }:
                return BlockHead(
                    int(number, 16), digest, int(timestamp, 16), tuple(map(str, hashes))
                )
            case _:
                raise LookupError(f"this chain has no block {tag}")

    async def mine(self, blocks: int = 1) -> BlockHead:
        """Mines `blocks` empty blocks and gives the new head."""
        await self.rpc("anvil_mine", hex(blocks))
        return await self.block()

    async def advance(self, seconds: int) -> BlockHead:
        """Mines one block exactly `seconds` after the head's timestamp."""
        head = await self.block()
        return await self.advance_to(head.timestamp + seconds)

    async def advance_to(self, timestamp: int) -> BlockHead:
        """Mines one block at `timestamp` (seconds, UTC); chain time goes on from there."""
        await self.rpc("evm_setNextBlockTimestamp", timestamp)
        return await self.mine()

    async def snapshot(self) -> str:
        """Remembers the whole chain; give what it returns to `revert`, once."""
        return str(await self.rpc("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """The chain as it was; RuntimeError when the snapshot is unknown or used up."""
        if await self.rpc("evm_revert", snapshot) is not True:
            raise RuntimeError(f"anvil knows no snapshot {snapshot}")

    async def reorg(
        self, depth: int, transactions: Sequence[tuple[dict[str, object], int]] = ()
    ) -> BlockHead:
        """Replaces the last `depth` blocks by as many others and gives the new head.

        The transactions of the old blocks are gone. The new blocks hold `transactions`: each is a
        transaction request (hex quantities, sender unlocked) and the block to put it in, counted
        from 0, the oldest.
        """
        await self.rpc("anvil_reorg", depth, [list(pair) for pair in transactions])
        return await self.block()


class _Child(asyncio.SubprocessProtocol):
    """What anvil prints, read as it comes: the port is kept, the rest is forgotten."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.port: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._last_words: deque[bytes] = deque(maxlen=8)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - asyncio's name
        self._last_words.append(data)
        if self.port.done():
            return
        if listening := _LISTENING.search(b"".join(self._last_words)):
            self.port.set_result(int(listening[1]))

    def process_exited(self) -> None:
        self.exited.set_result(None)
        if not self.port.done():
            said = b"".join(self._last_words).decode(errors="replace").strip()
            self.port.set_exception(OperatorError(f"anvil ended before it listened: {said}"))


@asynccontextmanager
async def running(
    *, epoch: int = 1, chain_id: int = CHAIN_ID, hardfork: str | None = None
) -> AsyncIterator[Anvil]:
    """A fresh chain at block 0 with `epoch` slots in an epoch, for as long as the block lasts."""
    rules = () if hardfork is None else ("--hardfork", hardfork)
    chain = ("--chain-id", str(chain_id), "--slots-in-an-epoch", str(epoch), *rules)
    with TemporaryDirectory(prefix="chainwatch-anvil-") as states:
        async with _child((*_OPTIONS, *chain, "--cache-path", states)) as anvil:
            yield anvil


@asynccontextmanager
async def _child(options: Sequence[str]) -> AsyncIterator[Anvil]:
    loop = asyncio.get_running_loop()
    guard = ("setpriv", "--pdeathsig", "KILL")
    command = (*guard, str(_binary()), *options)
    transport, child = await loop.subprocess_exec(
        lambda: _Child(loop),
        *command,
        stdin=None,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            port = await child.port
        provider = AsyncHTTPProvider(f"http://127.0.0.1:{port}")
        try:
            yield await _fresh(Anvil(transport.get_pid(), port, provider))
        finally:
            await provider.disconnect()
    finally:
        await _stop(transport, child)


async def _fresh(anvil: Anvil) -> Anvil:
    """The same chain, once it has proved to be new: nobody has mined on it."""
    head = await anvil.block()
    if head.number != 0:
        raise OperatorError(f"the chain at {anvil.url} is not ours: it is at block {head.number}")
    return anvil


async def _stop(transport: asyncio.SubprocessTransport, child: _Child) -> None:
    """Kills it, for it has nothing to save, and waits until the kernel says that it is gone."""
    try:
        if transport.get_returncode() is None:
            transport.kill()
        await child.exited
    finally:
        transport.close()


def _binary() -> Path:
    """The anvil that `make setup` installs beside the contracts."""
    path = Path(str(resources.files("chainwatch_contracts") / _BINARY))
    if not path.is_file():
        raise OperatorError(f"anvil is not installed at {path}: run `make setup` in a checkout")
    return path
