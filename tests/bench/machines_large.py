"""Ten thousand machines: how long a resync takes, and what the daemon holds in memory.

The daemon runs in a process of its own, as it does in production: the cluster and the chain are in
another one. It looks at every machine once, as it does at its start; then it is told to sweep, and
has done so when nothing is due any more.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chainwatch.app import adapters, opened, wire
from chainwatch.config import Config
from chainwatch.control.resync import ROUNDS
from chainwatch.credentials import Secret
from chainwatch.runtime import garbage
from chainwatch.runtime.clock import SystemClock
from chainwatch.store.workqueue import WorkQueue
from tests.bench import skipping
from tests.bench.fleet import Fleet, Shown, read, settle, world
from tests.bench.machines_away import Standing, Where, away
from tests.bench.report import Figure, Section
from tests.bench.rig import at_work, quiet

_KIB_IN_MB: Final = 1024 / 10**6
DATABASE: Final = "bench.db"


@dataclass(frozen=True, slots=True)
class Seen:
    """Seconds until the first survey, then until every machine was looked at; of the sweeps, of
    our own work in them; and MB held at the end and at most.
    """

    survey: float
    looks: float
    sweeps: Sequence[float]
    work: Sequence[float]
    held: float
    peak: float


def measure(machines: int, rounds: int) -> tuple[Section, Section]:
    """Sweep so often over so many machines, in a fresh process; how long, and what it holds."""
    quiet()
    fleet = Fleet(machines)
    with TemporaryDirectory() as folder:
        standing = skipping.run(_prepared(fleet, Path(folder)))
        with (
            away(fleet, standing, Path(folder)) as where,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
        ):
            seen = process.submit(_watch, fleet, Path(folder), where, rounds).result()
    return _told(machines, seen)


def _told(machines: int, seen: Seen) -> tuple[Section, Section]:
    setting = (
        f"{machines} machines on 5 nodes; the simulator is a process of its own, spoken to over "
        "TLS, so its time to answer is in the seconds and its work is not in ours"
    )
    return (
        Section(
            "One resync",
            f"{setting}; until all that it made due was looked at: a sweep reads the cluster's "
            f"list, and the configurations of one machine in {ROUNDS}; a start reads all of them",
            (
                Figure("a sweep, with the looks that it leads to", "s", seen.sweeps, machines, 10),
                Figure("the daemon's processor time in it", "s", seen.work, machines),
                Figure("after a start: the first survey", "s", [seen.survey], machines),
                Figure("a whole look at every machine, after a start", "s", [seen.looks], machines),
            ),
        ),
        Section(
            "Memory",
            f"{machines} machines; the daemon alone in its process, {len(seen.sweeps)} sweeps",
            (
                Figure("resident at its peak", "MB", [seen.peak], machines, 250),
                Figure("resident at the end", "MB", [seen.held], machines),
            ),
        ),
    )


async def _prepared(fleet: Fleet, folder: Path) -> Standing:
    """Write the database of a daemon that has made all of them; returns what has to stand there."""
    standing: list[tuple[int, str, Shown]] = []

    def put(vmid: int, node: str, shown: Shown) -> None:
        standing.append((vmid, node, dict(shown)))

    async with world(fleet, folder) as at:
        fleet.sell(at.chain)
        await read(at.daemon)
        await settle(fleet, at.db, at.daemon, put)
    return standing


def _watch(fleet: Fleet, folder: Path, where: Where, rounds: int) -> Seen:
    quiet()
    garbage.settle()
    return asyncio.run(
        _watched(_reaching(fleet.config(folder), where), folder, fleet.leases, rounds)
    )


def _reaching(config: Config, where: Where) -> Config:
    proxmox = replace(
        config.proxmox,
        url=where.proxmox,
        token_id=where.token_id,
        token=Secret(where.token_secret.encode()),
        ca_file=where.ca_file,
    )
    sources = tuple(replace(each, http=(where.chain,)) for each in config.sources)
    return replace(config, proxmox=proxmox, sources=sources)


async def _watched(config: Config, folder: Path, machines: int, rounds: int) -> Seen:
    clock, began = SystemClock(), time.monotonic()
    async with adapters(config) as ways, opened(config, folder / DATABASE, create=False) as db:
        daemon = wire(config, ways, db, clock, lambda: None)
        async with at_work(daemon):
            survey = time.monotonic() - began
            while len(daemon.supervisor.resync.sights) < machines:
                await clock.sleep(0.1)
            await _quiet(daemon.stores.work, clock)
            looks, sweeps, work = time.monotonic() - began, [], []
            for _ in range(rounds):
                started, worked = time.monotonic(), time.process_time()
                await daemon.supervisor.resync.sweep()
                await _quiet(daemon.stores.work, clock)
                sweeps.append(time.monotonic() - started)
                work.append(time.process_time() - worked)
            return Seen(survey, looks, sweeps, work, _mb("VmRSS"), _mb("VmHWM"))


async def _quiet(work: WorkQueue, clock: SystemClock) -> None:
    while await work.keys():
        await clock.sleep(0.02)


def _mb(name: str) -> float:
    """What the kernel counts for this process: VmRSS is held now, VmHWM was held at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * _KIB_IN_MB
    raise LookupError(f"the kernel tells no {name}")
