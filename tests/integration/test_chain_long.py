"""Ten million empty blocks leave nothing behind: no rows, no bytes, no memory, no longer start.

The node is a stand-in that makes each header when it is asked for it; all else is real. It is asked
for wide ranges, as an operator of a quiet contract would have it, so that the test takes seconds.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from chainwatch.app import Adapters, opened, wire
from chainwatch.chain.rpc import Call, Rpc, RpcError
from chainwatch.chain.standing import Health
from chainwatch.control.ingest import Ingest
from chainwatch.store.database import Database
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from tests.support.realm import ClusterClock, config

BLOCKS: Final = 10_000_000
RANGE: Final = 20_000
MIB: Final = 2**20
_NOTHING: Final = "0x" + "00" * 256
_NO_RECEIPTS: Final = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@dataclass(slots=True)
class QuietNode:
    """A chain on which nothing happens; its last 64 blocks are not final."""

    head: int
    name: str = "quiet"
    asked: int = 0

    async def call(self, method: str, *params: object) -> object:
        (answer,) = await self.batch([(method, params)])
        return answer

    async def batch(self, calls: Sequence[Call]) -> list[object | RpcError]:
        self.asked += len(calls)
        return [self._answer(method, params) for method, params in calls]

    def _answer(self, method: str, params: Sequence[object]) -> object:
        match method, params:
            case "eth_syncing", _:
                return False
            case "eth_chainId", _:
                return hex(31337)
            case "eth_getBlockByNumber", ("latest", _):
                return _header(self.head)
            case "eth_getBlockByNumber", ("finalized", _):
                return _header(self.head - 64)
            case "eth_getBlockByNumber", (str(number), _):
                return _header(int(number, 16))
            case "eth_getLogs", _:
                return []
        raise AssertionError(f"nobody should ask {method} of a chain without events")

    def saw_head(self, number: int) -> None:
        assert number == self.head

    def still_for(self) -> float:
        return 0.0

    def distrust(self, why: str) -> None:
        raise AssertionError(f"it is honest: {why}")

    quarantine = distrust

    def ranked(self) -> Sequence[Rpc]:
        return [self]

    def health(self) -> Sequence[Health]:
        return []


def _header(number: int) -> dict[str, str]:
    return {
        "number": hex(number),
        "hash": f"0x{number + 1:064x}",
        "parentHash": f"0x{number:064x}",
        "timestamp": hex(1_700_000_000 + 2 * number),
        "logsBloom": _NOTHING,
        "receiptsRoot": _NO_RECEIPTS,
    }


@asynccontextmanager
async def reading(folder: Path, node: QuietNode) -> AsyncIterator[tuple[Ingest, Database]]:
    plain = config(folder)
    settings = replace(plain.sources[0], max_range=RANGE)
    cluster = Cluster()
    async with opened(plain, folder / "chainwatch.db", create=True) as db:
        ways = Adapters({settings.source.name: node}, DirectApi(cluster))
        chosen = replace(plain, sources=(settings,))
        (ingest,) = wire(chosen, ways, db, ClusterClock(cluster), lambda: None).supervisor.ingests
        yield ingest, db


async def read_to(ingest: Ingest, block: int) -> None:
    while (cursor := (await ingest.journal.state(ingest.name)).cursor) is None or (
        cursor.number < block
    ):
        assert await ingest.attempt()
        assert ingest.status.trouble is None


async def rows(db: Database) -> int:
    tables = ("block", "event", "lease", "work", "alarm", "audit")
    async with db.reading() as read:
        counts = [await read.one(f"SELECT count(*) AS n FROM {table}") for table in tables]
    return sum(int(count["n"]) for count in counts if count is not None)


async def pages(db: Database) -> int:
    async with db.reading() as read:
        found = await read.one("SELECT page_count AS n FROM pragma_page_count")
    assert found is not None
    return int(found["n"])


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def test_ten_million_empty_blocks_leave_nothing_behind(tmp_path: Path) -> None:
    node, process = QuietNode(BLOCKS), psutil.Process()
    async with reading(tmp_path, node) as (ingest, db):
        await read_to(ingest, BLOCKS // 5)
        few, small, memory = await rows(db), await pages(db), process.memory_info().rss
        await read_to(ingest, BLOCKS - 100)
        assert await rows(db) <= few
        assert await pages(db) <= small
        assert size(tmp_path) < 8 * MIB
        assert process.memory_info().rss < memory + 8 * MIB
        while await ingest.attempt():
            pass
        state = await ingest.journal.state(ingest.name)
        assert state.cursor is not None
        assert state.cursor.number == BLOCKS - ingest.status.settings.confirmations
        assert await rows(db) < 100
    node.asked = 0
    async with reading(tmp_path, node) as (ingest, _):
        assert not await ingest.attempt()
        assert node.asked < 10
