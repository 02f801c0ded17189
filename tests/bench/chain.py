"""`make bench-chain`: how fast a chain is read, on one anvil in one run.

`--json` ends with one object on the last line; `--only NAME` (again and again) measures a part.
A figure is the median of its rounds. Everything is read into an empty database on a disk, with
synchronous=FULL, and wired as in production.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from chainwatch.chain.settings import SourceSettings
from chainwatch.runtime import garbage
from tests.bench import chain_latency, chain_memory, chain_plain, chain_reorg
from tests.bench.chain_reading import reader
from tests.bench.chain_seed import GAP, LOGS, Crier, crier
from tests.bench.report import Figure, Section, machine, percentile
from tests.bench.rig import quiet, source_at
from tests.support.anvil import Anvil, running

ROUNDS: Final = 5
DENSE_BLOCKS: Final = 1000
PLAIN_BLOCKS: Final = 250
MEMORY_BLOCKS: Final = 5000
SPARSE_BLOCKS: Final = 25_000
SAMPLES: Final = 2000
REORG: Final = 60
MS: Final = 1000
#: Blocks above finality on this chain, mined so that all that is measured lies below.
_ABOVE: Final = 4

Told: TypeAlias = Mapping[str, float | Mapping[str, float]]
"""What a part adds to the object of `--json`."""


@dataclass(slots=True)
class Bench:
    """The chain, and what was made on it so far: each part adds what it needs."""

    anvil: Anvil
    blocks: int = DENSE_BLOCKS
    rounds: int = ROUNDS
    history: "History | None" = None

    def source(self, contract: str, start: int) -> SourceSettings:
        """Return how a contract is read from block `start`: as by default, over HTTP."""
        plain = source_at(self.anvil, contract, ws=False)
        return replace(plain, source=replace(plain.source, start_block=start))

    async def dense(self) -> "History":
        """Return the dense history, which is made when it is first asked for."""
        if self.history is None:
            loud = await crier(self.anvil, 0)
            first = (await self.anvil.block()).number + 1
            last = await loud.full_blocks(self.blocks)
            await self.anvil.mine(_ABOVE)
            source = self.source(loud.address, first)
            self.history = History(loud, source, first, last)
        return self.history


@dataclass(frozen=True, slots=True)
class History:
    """Full blocks, `first` to `last`, by whom they were filled and how they are read."""

    crier: Crier
    source: SourceSettings
    first: int
    last: int

    @property
    def logs(self) -> int:
        """How many logs they hold."""
        return (self.last - self.first + 1) * LOGS


async def catch_up(blocks: int, rounds: int) -> Section:
    """Read so many full blocks of a chain made for it: what `make bench` tells of reading."""
    quiet()
    async with running() as anvil:
        section, _ = await measure_dense(Bench(anvil, blocks, rounds))
    return section


async def measure_dense(at: Bench) -> tuple[Section, Told]:
    """Read full blocks with the default verification, which is by bloom."""
    history = await at.dense()
    rates = [await _rate(history, history.source) for _ in range(at.rounds)]
    figure = Figure("events, durable", "events/s", rates, history.logs)
    setting = f"{_setting(history)}, verified by bloom"
    return Section("Catching up, dense", setting, (figure,)), {
        "dense_events_per_s": round(figure.value)
    }


async def measure_receipts(at: Bench) -> tuple[Section, Told]:
    """Read the same, every block proven by its receipts."""
    history = await at.dense()
    source = replace(history.source, verify="receipts")
    rates = [await _rate(history, source) for _ in range(at.rounds)]
    figure = Figure("events, durable", "events/s", rates, history.logs)
    setting = f"{_setting(history)}, each block's receipts against its root"
    return Section("The same, proven", setting, (figure,)), {
        "receipts_events_per_s": round(figure.value)
    }


async def measure_plain(at: Bench) -> tuple[Section, Told]:
    """Read the history, and the first blocks of it with a plain loop of web3.py, in turn.

    In turn, because a machine that others use too is now fast and now slow.
    """
    ours, plain, history = [], [], await at.dense()
    end = history.first + PLAIN_BLOCKS - 1
    for _ in range(ROUNDS):
        ours.append(await _rate(history, history.source))
        count, seconds = await chain_plain.measure(
            at.anvil.url, history.crier.address, history.first, end
        )
        plain.append(count / seconds)
    times = [mine / other for mine, other in zip(ours, plain, strict=True)]
    ratio = Figure("ours against it", "×", times, ROUNDS)
    return Section(
        "Against a plain loop of web3.py",
        "get_logs in ranges of 2000, process_log, sqlite3 (WAL), over the "
        f"first {PLAIN_BLOCKS} blocks of the same history; in turn with ours, {ROUNDS} times",
        (
            Figure("the plain loop", "events/s", plain, PLAIN_BLOCKS * LOGS),
            Figure("ours", "events/s", ours, history.logs),
            ratio,
        ),
    ), {"ratio_to_web3py": round(ratio.value, 1)}


async def measure_latency(at: Bench) -> tuple[Section, Told]:
    """Mine a block with one log, again and again, and watch it arrive."""
    fresh = await crier(at.anvil, 1)
    start = (await at.anvil.block()).number
    await fresh.full_blocks(1)
    source = replace(at.source(fresh.address, start), ws=(at.anvil.ws_url,))
    seen = [MS * each for each in await chain_latency.measure(source, fresh, SAMPLES)]
    p50, p99 = percentile(seen, 0.5), percentile(seen, 0.99)
    return Section(
        "Block mined → event durable, lease dirty",
        f"{SAMPLES} blocks of one log, woken over WebSocket, no confirmations",
        (Figure("p50", "ms", [p50], SAMPLES), Figure("p99", "ms", [p99], SAMPLES)),
    ), {"latency_ms": {"p50": round(p50, 1), "p99": round(p99, 1)}}


async def measure_reorg(_: Bench) -> tuple[Section, Told]:
    """Follow deep reorgs above finality, on a young chain: anvil forgets what an old one was."""
    async with running() as anvil:
        fresh = await crier(anvil, 0)
        start = (await anvil.block()).number
        source = Bench(anvil).source(fresh.address, start)
        seen = [MS * each for each in await chain_reorg.measure(source, fresh, REORG, ROUNDS)]
    return Section(
        "Following a reorg",
        f"{REORG} blocks of one log each, replaced by as many others",
        (Figure("from the first look to the last row", "ms", seen, ROUNDS),),
    ), {"reorg_ms": round(percentile(seen, 0.5))}


async def measure_memory(at: Bench) -> tuple[Section, Told]:
    """Make the dense history five times as long, and read all of it in a process of its own."""
    history = await at.dense()
    last = await history.crier.full_blocks(MEMORY_BLOCKS - DENSE_BLOCKS)
    await at.anvil.mine(_ABOVE)
    held = await chain_memory.measure(history.source, history.first, last)
    return Section(
        "Memory",
        f"{held.events} events in a process of its own",
        (
            Figure("resident before the first block", "MB", [held.before], 1),
            *(
                Figure(f"resident after quarter {number}", "MB", [each], 1)
                for number, each in enumerate(held.quarters, 1)
            ),
            Figure("peak", "MB", [held.peak], held.events),
        ),
    ), {"rss_mb": round(held.peak)}


async def measure_sparse(at: Bench) -> tuple[Section, Told]:
    """Read many blocks with hardly an event."""
    lonely = await crier(at.anvil, 2)
    first = (await at.anvil.block()).number + 1
    await lonely.full_blocks(1)
    last = await lonely.sparse_blocks(SPARSE_BLOCKS)
    await at.anvil.mine(_ABOVE)
    rates = []
    for _ in range(ROUNDS):
        async with reader(at.source(lonely.address, first)) as reading:
            rates.append((last - first + 1) / await reading.to(last))
            expected = LOGS + SPARSE_BLOCKS // GAP
            _check(await reading.events(), expected)
    figure = Figure("blocks", "blocks/s", rates, last - first + 1)
    return Section(
        "Catching up, sparse", f"{SPARSE_BLOCKS} blocks, a log in every {GAP}th", (figure,)
    ), {"sparse_blocks_per_s": round(figure.value)}


PARTS: Final[Mapping[str, Callable[[Bench], Awaitable[tuple[Section, Told]]]]] = {
    "latency": measure_latency,
    "reorg": measure_reorg,
    "dense": measure_dense,
    "receipts": measure_receipts,
    "plain": measure_plain,
    "memory": measure_memory,
    "sparse": measure_sparse,
}


async def _rate(history: History, source: SourceSettings) -> float:
    """Read the dense history once; returns events per second."""
    async with reader(source) as reading:
        seconds = await reading.to(history.last)
        _check(await reading.events(), history.logs)
    return history.logs / seconds


def _setting(history: History) -> str:
    return f"{history.logs} events of ours, {LOGS} in a block"


def _check(stored: int, expected: int) -> None:
    if stored != expected:
        raise AssertionError(f"{stored} events are stored, but the chain has {expected}")


async def _measure(names: Sequence[str]) -> Mapping[str, float | Mapping[str, float]]:
    quiet()
    garbage.settle()
    told: dict[str, float | Mapping[str, float]] = {}
    async with running() as anvil:
        at = Bench(anvil)
        for name in names:
            section, said = await PARTS[name](at)
            _say(*section.lines(), "")
            told |= said
    return told


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="make bench-chain", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part")
    wanted = parser.parse_args(arguments)
    began = time.monotonic()
    _say(f"On {machine()}", "")
    told = asyncio.run(_measure(wanted.only or list(PARTS)))
    _say(f"{time.monotonic() - began:.0f} s in all")
    if wanted.json:
        _say(json.dumps(told))


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
