"""Daemons killed in the middle of an act, and what is left once one of them was let live.

Which deaths are played is data: a covering selection in an ordinary run, every point of every act
in a soak, or the one that is named. What came of it is read from the simulator's inventory.
"""

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

from provisioner.simulator.cluster import OS_TEMPLATE
from tests.support.acts import ACTS, KINDS, TAKING, Act, edges
from tests.support.daemon import Grounds, Installation, Settings, Value, grounds, installation
from tests.support.happenings import (
    KEPT_DAYS,
    SMALL,
    VAULT,
    WRITTEN,
    Came,
    Words,
    typed_at,
    written_down,
)
from tests.support.nursery import nursery
from tests.support.subscription import open_subscriptions

#: Names one case to be played alone.
ONLY: Final = "CHAINWATCH_KILL"
#: A storage whose volumes know snapshots, for containers.
THIN: Final = "thin"

#: An act of a kind of machine, and where in it daemons die.
Case: TypeAlias = tuple[str, str, tuple[str, ...]]

#: Where a daemon dies in an ordinary run of the tests: in one life after the other, so each point
#: has to be passed by who finds what the one before has done. Each point is in one of them.
COVERING: Final[Sequence[Case]] = (
    (
        "provision",
        "qemu",
        edges(
            *("commit.migrate", "commit.install", "volumes.sizes"),
            *("hypervisor.freed", "hypervisor.clone"),
            *("hypervisor.isolate", "node.put_snippet", "hypervisor.resize"),
            *("hypervisor.start", "guest.answers"),
        ),
    ),
    ("extend", "qemu", edges("node.isolate", "node.route", "node.isolated", "chain.second_look")),
    ("suspend", "qemu", edges("hypervisor.snapshot", "hypervisor.shutdown")),
    ("resume", "qemu", edges("chain.tip", "chain.read")),
    (
        "transfer",
        "qemu",
        edges(
            *("guest.set_authorized_keys", "guest.set_gecos", "guest.end_sessions"),
            *("hypervisor.configure", "node.drop_snippet"),
        ),
    ),
    ("resize", "qemu", ("hypervisor.config.before", "hypervisor.power.before")),
    ("hand edit", "qemu", ("hypervisor.config.after", "hypervisor.power.after")),
    ("destroy", "qemu", edges("chain.lease_at_latest", "hypervisor.volumes")),
    ("back up", "qemu", edges("archive.archives", "archive.back_up")),
    (
        "reinstall",
        "qemu",
        ("commit.wish.before", "hypervisor.destroy.before", "hypervisor.isolation.before"),
    ),
    ("provision", "qemu", ("hypervisor.isolation.after", "hypervisor.start.before")),
    ("rollback", "qemu", edges("hypervisor.roll_back")),
    ("hold", "qemu", edges("commit.hold")),
    ("retry", "qemu", edges("commit.audit")),
    ("reread", "qemu", edges("commit.reread")),
    ("show", "qemu", edges("chain.testimonies")),
    ("check", "qemu", edges("node.version")),
    (
        "provision",
        "lxc",
        edges(
            *("chain.check", "ostemplate.holds", "hypervisor.create_container"),
            "commit.operation_begin",
        ),
    ),
    ("extend", "lxc", edges("commit.batch", "commit.enqueue", "node.routes", "node.snippets")),
    ("suspend", "lxc", (*edges("commit.operation_finish"), "commit.operation_task.before")),
    ("resume", "lxc", edges("hypervisor.task_states", "commit.wake")),
    ("resume unheard", "lxc", edges("hypervisor.tasks")),
    ("transfer", "lxc", edges("chain.state", "node.pct_exec")),
    ("resize", "lxc", edges("commit.alarm", "commit.work")),
    ("destroy", "lxc", ("commit.operation_task.after", *edges("hypervisor.vmid_is_free"))),
    ("restore", "lxc", edges("archive.restore")),
    ("drop backup", "lxc", edges("archive.drop")),
    ("reinstall", "lxc", ("commit.wish.after", "hypervisor.destroy.after")),
    ("kill", "lxc", edges("hypervisor.stop")),
    ("snapshot", "lxc", edges("hypervisor.snapshots", "hypervisor.take_snapshot")),
)
#: Where each installation's IPv6 addresses begin: a node keeps the routes to a former one's.
_NEXT_RANGE: Final = count(1)


def cases(kind: str) -> list[tuple[str, Case]]:
    """Return what is to be played with machines of a kind now: on which grounds, and the case.

    In a soak each act has grounds of its own, for all that ever was there is in the inventory that
    is read again and again.
    """
    chosen: list[Case]
    if only := os.environ.get(ONLY):
        name, machine, point = only.rsplit(maxsplit=2)
        chosen = [(name, machine, (point,))] if machine == kind else []
    elif os.environ.get("CHAINWATCH_SOAK", "0") == "0":
        chosen = [each for each in COVERING if each[1] == kind]
    else:
        chosen = complete(kind)
    many = len(chosen) > len(COVERING)
    return [(each[0] if many else "", each) for each in chosen]


def complete(kind: str) -> list[Case]:
    """Return every act of a kind once for every point of it."""
    acts = ((*each, act) for each, act in ACTS.items() if each[1] == kind)
    return [(name, kind, (point,)) for name, _, act in acts for point in act.points]


def named(case: Case) -> str:
    """Return a case's name: of a single death it is what `CHAINWATCH_KILL` takes."""
    name, kind, points = case
    return f"{name} {kind} {points[0] if len(points) == 1 else f'{len(points)} deaths'}"


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Grounds]:
    """A chain, and a cluster over SSH too, with a storage for backups and one for containers.

    Daemons are born in a nursery, for there are many.
    """
    async with nursery() as born_in, grounds(folder, ssh=True) as bare:
        place = replace(bare, nursery=born_in)
        await place.control("POST", "storages", {"name": VAULT, "kind": "nfs"})
        await place.control("POST", "storages", {"name": THIN, "kind": "lvmthin"})
        yield place


@dataclass(slots=True)
class Stages:
    """One stage after the other, each in a folder of its own: who asks for another name clears it.

    What a case that failed has left is cleared away too, so that no other one fails of it. (A
    fixture with a parameter would not do: pytest makes it anew for each case of them both.)
    """

    folder: Callable[[], Path]
    _name: str | None = None
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)
    _grounds: Grounds | None = None

    async def play(self, name: str, folder: Path, case: Case) -> None:
        """Play a case on the stage of a name."""
        try:
            await played(await self._of(name), folder, case)
        except BaseException:
            await self.clear()
            raise

    async def _of(self, name: str) -> Grounds:
        if self._grounds is None or name != self._name:
            await self.clear()
            self._grounds = await self._open.enter_async_context(stage(self.folder()))
            self._name = name
        return self._grounds

    async def clear(self) -> None:
        """Clear what stands."""
        self._grounds = None
        await self._open.aclose()


async def played(place: Grounds, folder: Path, case: Case) -> None:
    """Play an act with a daemon that is killed at each point in turn, and judge what is left."""
    name, kind, points = case
    act = ACTS[name, kind]
    async with installation(place, folder, kind=KINDS[kind]) as it:
        it.settings.update(await _settings(it, act, kind))
        it.configure()
        for happening, came in act.before:
            await happening(it)
            await it.daemon.start()
            await _until(it, came)
            assert await it.daemon.stop() == 0
        await _die(it, act, points)
        await it.daemon.start()
        if act.order is not None:
            assert await typed_at(it, act.order) == 0
        await it.until("it works", it.status.ready)
        await _until(it, act.came)
        assert await it.daemon.stop() == 0
        await _tidied(it)
        await it.judge(machines=act.machines, backups=act.backups)


async def _die(it: Installation, act: Act, points: tuple[str, ...]) -> None:
    """Have it happen, and a daemon die at each point; who takes the order passes its own."""
    taking = [point for point in points if point in TAKING]
    for point in taking:
        assert act.wish is not None, "nothing is ordered in this act"
        await _life(it, point, act.wish)
    if act.wish is not None and WRITTEN not in taking:
        await written_down(act.wish)(it)
    await act.happens(it)
    for point in points:
        if point not in taking:
            await _life(it, point, act.order)


async def _life(it: Installation, point: str, order: Words | None) -> None:
    await it.daemon.start(point)
    if order is not None:
        await typed_at(it, order)
    assert await it.daemon.end() == -signal.SIGKILL, point


async def _settings(it: Installation, act: Act, kind: str) -> Settings:
    """Return the tables of a daemon that does on its nodes all that it can do there."""
    place, settings = it.grounds, it.settings
    where = place.cluster.where
    sold = {
        "cloud_init": "base",
        "os_template": f"local:vztmpl/{OS_TEMPLATE}",
        "container_storage": THIN,
    }
    tables: Settings = {
        "machines": settings["machines"] | sold,
        "machines.ipv6": {
            "first": f"2001:db8::{next(_NEXT_RANGE):x}:1000/64",
            "gateway": "2001:db8::1",
            "host_routes": True,
        },
        "nodes_ssh": {
            "key_file": str(where.node_key_file),
            "known_hosts": [*where.known_hosts],
            "isolate": True,
        },
    }
    if act.backed:
        backups: dict[str, Value] = {
            "on_destroy": "backup",
            "backup_storage": VAULT,
            "backup_keep_days": KEPT_DAYS,
        }
        tables["policy"] = settings["policy"] | backups
    if act.foreign:
        shop = await open_subscriptions(place.chain)
        read = {"contract": shop.address, "profile": "erc5643"}
        tables["source"] = settings["source"] | read
        plan: dict[str, Value] = {"kind": "vm" if kind == "qemu" else "container"}
        tables["source.plan"] = plan | dict(SMALL)
    return tables


async def _until(it: Installation, came: Came) -> None:
    await it.until(came.__doc__ or came.__name__, partial(came, it))


async def _tidied(it: Installation) -> None:
    """Have a daemon look at the node, if there is a snippet left that no machine needs.

    One that lives on looks every quarter of a minute, and one that comes up at once.
    """
    if await _is_tidy(it):
        return
    await it.daemon.start()
    await it.until("its node is tidy", partial(_is_tidy, it))
    assert await it.daemon.stop() == 0


async def _is_tidy(it: Installation) -> bool:
    return not (await it.grounds.cluster.inventory()).leaked_snippets
