"""The acts of a machine's life as a daemon of its own lives them, to be killed in the middle of.

An act is data: what happened before, what happens, and which calls and commits the daemon then
passes from its start until nothing is left to do. It happens while no daemon lives, save for
orders, which only a daemon takes. What came of it is read from the simulator's inventory.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

from provisioner.simulator.cluster import OS_TEMPLATE
from tests.support.daemon import (
    GRACE,
    HOUR,
    KEY,
    Grounds,
    Installation,
    Settings,
    installation,
)

BOBS_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUfGc4XyMUNk9i3QpmMwTB1IQ0cNOdpMhDXjQFvP1WA bob@y"
)
#: A lease that no act outlives.
LONG: Final = 100 * GRACE
TOKEN: Final = 1
KINDS: Final = {"qemu": 0, "lxc": 1}
#: Names one case to be played alone.
ONLY: Final = "CHAINWATCH_KILL"
EDGES: Final = ("before", "after")

Happening = Callable[[Installation], Awaitable[object]]
Came = Callable[[Installation], Awaitable[bool]]


# ----------------------------------------------------------------------------- what happens


async def bought(it: Installation) -> None:
    await it.buy(seconds=HOUR)


async def lasting(it: Installation) -> None:
    await it.buy(seconds=LONG)


async def run_out(it: Installation) -> None:
    await it.grounds.chain.advance(2 * HOUR)
    await it.grounds.chain.mine(3)


async def renewed(it: Installation) -> None:
    await it.shop.renew(TOKEN, LONG, it.buyer)
    await it.grounds.chain.mine(3)


async def sold(it: Installation) -> None:
    """Bob buys it, gives his key, and both are final."""
    _, alice, bob, *_ = await it.grounds.chain.accounts()
    await it.shop.transfer(TOKEN, alice, bob)
    await it.shop.set_keys(TOKEN, bob, BOBS_KEY)
    await it.grounds.chain.mine(5)


async def shrunk(it: Installation) -> None:
    """Somebody changes its size by hand while it stands still, and then it is paid for."""
    (machine,) = await it.machines()
    await it.grounds.cluster.edit(machine.vmid, cores=2, memory=512)
    await renewed(it)


async def nothing(_: Installation) -> None:
    """Nothing happens to the lease."""


async def grace_over(it: Installation) -> None:
    await it.grounds.chain.advance(GRACE + HOUR)
    await it.grounds.chain.mine(5)


# ------------------------------------------------------------------------------ what came of it


async def runs(it: Installation) -> bool:
    """It runs, has the size that was sold, and lets Alice in."""
    machine = await it.running()
    if machine is None or not await it.settled(TOKEN):
        return False
    size = (int(machine.config["cores"]), int(machine.config["memory"]))
    return size == (1, 1024) and await it.grounds.cluster.admits(machine.vmid, KEY)


async def is_bobs(it: Installation) -> bool:
    """It runs and lets in Bob, and Alice no more."""
    machine = await it.running()
    if machine is None or not await it.settled(TOKEN):
        return False
    admits = it.grounds.cluster.admits
    return await admits(machine.vmid, BOBS_KEY) and not await admits(machine.vmid, KEY)


async def stands_still(it: Installation) -> bool:
    """It is there and does not run."""
    powers = [machine.power for machine in await it.machines()]
    return powers == ["stopped"] and await it.settled(TOKEN)


async def is_gone(it: Installation) -> bool:
    """There is no machine any more."""
    return not await it.machines()


def edges(*names: str) -> tuple[str, ...]:
    """Return the fault points of calls and commits."""
    return tuple(f"{name}.{edge}" for name in names for edge in EDGES)


@dataclass(frozen=True, slots=True)
class Act:
    """`happens` after every one of `before` has come to its end; `order` is given to a daemon.

    `reaches` are calls and commits that a daemon passes which finds it so, in the order of their
    first time. What it passes on some days only, by the order of its loops, is not among them.
    """

    before: Sequence[tuple[Happening, Came]]
    happens: Happening
    came: Came
    reaches: tuple[str, ...]
    machines: int = 1
    order: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[str, ...]:
        """The fault points on the way."""
        return edges(*self.reaches)


_UP: Final = (
    *("commit.install", "chain.check", "hypervisor.snapshot", "commit.alarm", "chain.read"),
    *("chain.tip", "commit.enqueue", "chain.second_look", "chain.state", "node.snippets"),
)
_READ: Final = (*_UP, "commit.batch")
_CARE: Final = ("node.isolated", "node.routes", "commit.wake", "commit.work")
#: What is done on the node of a machine that nobody has looked after since its start.
_FIRST_CARE: Final = ("node.isolate", "node.route")
_STEP: Final = (
    *("hypervisor.config", "hypervisor.power"),
    *("commit.operation_begin", "commit.operation_finish"),
)
_TASK: Final = (*_STEP, "commit.operation_task", "hypervisor.task_states")
_START: Final = (*_TASK, "hypervisor.configure", "hypervisor.start", "guest.answers")
_KEYS: Final = ("guest.answers", "guest.set_authorized_keys", "guest.end_sessions")

_OF_BOTH: Final = {
    "provision": Act(
        (),
        bought,
        runs,
        (
            *("commit.migrate", *_READ, "hypervisor.freed", *_START),
            *("hypervisor.isolate", "commit.wake", "commit.work"),
        ),
    ),
    "extend": Act(((lasting, runs),), renewed, runs, (*_READ, *_FIRST_CARE, *_CARE)),
    "suspend": Act(
        ((bought, runs),),
        run_out,
        stands_still,
        (*_READ, *_TASK, "hypervisor.configure", "hypervisor.shutdown", *_CARE),
    ),
    "resume": Act(
        ((bought, runs), (run_out, stands_still)), renewed, runs, (*_READ, *_START, *_CARE)
    ),
    "transfer": Act(
        ((lasting, runs),), sold, is_bobs, (*_READ, *_STEP, *_KEYS, "hypervisor.configure", *_CARE)
    ),
    "resize": Act(
        ((bought, runs), (run_out, stands_still)), shrunk, runs, (*_READ, *_START, *_CARE)
    ),
    "destroy": Act(
        ((bought, runs), (run_out, stands_still)),
        grace_over,
        is_gone,
        (
            *(*_READ, *_TASK, "chain.lease_at_latest", "hypervisor.destroy"),
            *("hypervisor.vmid_is_free", "hypervisor.volumes", "commit.wake", "commit.work"),
        ),
        machines=0,
    ),
    "hold": Act(
        ((lasting, runs),),
        nothing,
        runs,
        ("commit.hold",),
        order=("hold", str(TOKEN), "--reason", "a court asks"),
    ),
    "retry": Act(
        ((lasting, runs),),
        nothing,
        runs,
        ("commit.audit",),
        order=("retry", str(TOKEN), "--reason", "why not"),
    ),
    "reread": Act(
        ((lasting, runs),),
        nothing,
        runs,
        ("commit.reread",),
        order=("source", "reread", "anvil", "0", "--reason", "a doubt", "--yes"),
    ),
    "show": Act(
        ((lasting, runs),),
        nothing,
        runs,
        ("chain.testimonies",),
        order=("source", "show", "anvil"),
    ),
    "check": Act(((lasting, runs),), nothing, runs, ("node.version",), order=("check",)),
}

#: What is different for a kind of machine.
_MORE: Final = {
    ("provision", "qemu"): ("hypervisor.clone", "node.put_snippet", "hypervisor.resize"),
    ("provision", "lxc"): ("hypervisor.create_container",),
    ("transfer", "qemu"): ("node.put_snippet", "node.drop_snippet"),
    ("transfer", "lxc"): ("node.pct_exec",),
}


def _of(name: str, kind: str) -> Act:
    act = _OF_BOTH[name]
    return replace(act, reaches=(*dict.fromkeys((*act.reaches, *_MORE.get((name, kind), ()))),))


#: Every act of every kind of machine.
ACTS: Final[Mapping[tuple[str, str], Act]] = {
    (name, kind): _of(name, kind) for name in _OF_BOTH for kind in KINDS
}


#: Where a daemon dies in an ordinary run of the tests: in one life after the other, so each point
#: has to be passed by who finds what the one before has done. Each point is in one of them.
COVERING: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("provision", "qemu"): edges(
        *("commit.migrate", "commit.install", "hypervisor.freed", "hypervisor.clone"),
        *("hypervisor.isolate", "node.put_snippet", "hypervisor.resize"),
        *("hypervisor.start", "guest.answers"),
    ),
    ("extend", "qemu"): edges("node.isolate", "node.route", "node.isolated", "chain.second_look"),
    ("suspend", "qemu"): edges("hypervisor.snapshot", "hypervisor.shutdown"),
    ("resume", "qemu"): edges("chain.tip", "chain.read"),
    ("transfer", "qemu"): edges(
        *("guest.set_authorized_keys", "guest.end_sessions", "hypervisor.configure"),
        "node.drop_snippet",
    ),
    ("resize", "qemu"): edges("hypervisor.config", "hypervisor.power"),
    ("destroy", "qemu"): edges("chain.lease_at_latest", "hypervisor.destroy", "hypervisor.volumes"),
    ("hold", "qemu"): edges("commit.hold"),
    ("retry", "qemu"): edges("commit.audit"),
    ("reread", "qemu"): edges("commit.reread"),
    ("show", "qemu"): edges("chain.testimonies"),
    ("check", "qemu"): edges("node.version"),
    ("provision", "lxc"): edges(
        "chain.check", "hypervisor.create_container", "commit.operation_begin", "hypervisor.start"
    ),
    ("extend", "lxc"): edges("commit.batch", "commit.enqueue", "node.routes", "node.snippets"),
    ("suspend", "lxc"): (*edges("commit.operation_finish"), "commit.operation_task.before"),
    ("resume", "lxc"): edges("hypervisor.task_states", "commit.wake"),
    ("transfer", "lxc"): edges("chain.state", "node.pct_exec"),
    ("resize", "lxc"): edges("commit.alarm", "commit.work"),
    ("destroy", "lxc"): ("commit.operation_task.after", *edges("hypervisor.vmid_is_free")),
}
#: Where each installation's IPv6 addresses begin: a node keeps the routes to a former one's.
_NEXT_RANGE: Final = count(0x1000, 0x1000)
#: Which act is played with deaths at which points: the covering, or in a soak every point alone,
#: or the one that an operator of the tests names.
Case: TypeAlias = tuple[str, str, tuple[str, ...]]


def cases(kind: str) -> list[Case]:
    """Return what is to be played with machines of a kind now."""
    if only := os.environ.get(ONLY):
        name, machine, point = only.split()
        return [(name, machine, (point,))] if machine == kind else []
    if os.environ.get("CHAINWATCH_SOAK", "0") == "0":
        return [(*act, points) for act, points in COVERING.items() if act[1] == kind]
    acts = ((*each, act) for each, act in ACTS.items() if each[1] == kind)
    return [(name, kind, (point,)) for name, _, act in acts for point in act.points]


def named(case: Case) -> str:
    """Return a case's name: of a single death it is what `CHAINWATCH_KILL` takes."""
    name, kind, points = case
    return f"{name} {kind} {points[0] if len(points) == 1 else f'{len(points)} deaths'}"


async def played(place: Grounds, folder: Path, case: Case) -> None:
    """Play an act with a daemon that is killed at each point in turn, and judge what is left."""
    name, kind, points = case
    act = ACTS[name, kind]
    async with installation(place, folder, kind=KINDS[kind]) as it:
        it.settings.update(_over_ssh(place, it.settings))
        it.configure()
        for happening, came in act.before:
            await happening(it)
            await it.daemon.start()
            await _until(it, came)
            assert await it.daemon.stop() == 0
        await act.happens(it)
        for point in points:
            await it.daemon.start(point)
            if act.order:
                await _order(it, act.order)
            assert await it.daemon.end() == -signal.SIGKILL, point
        await it.daemon.start()
        if act.order:
            assert await _order(it, act.order) == 0
        await it.until("it works", it.status.ready)
        await _until(it, act.came)
        await it.until("its node is tidy", partial(_tidy, it))
        assert await it.daemon.stop() == 0
        await it.judge(machines=act.machines)


def _over_ssh(place: Grounds, settings: Settings) -> Settings:
    """Return the tables of a daemon that does on its nodes all that it can do there."""
    where = place.cluster.where
    sold = {
        "cloud_init": "base",
        "os_template": f"local:vztmpl/{OS_TEMPLATE}",
        "container_storage": "local",
    }
    return {
        "machines": settings["machines"] | sold,
        "machines.ipv6": {
            "first": f"2001:db8::{next(_NEXT_RANGE):x}/64",
            "gateway": "2001:db8::1",
            "host_routes": True,
        },
        "nodes_ssh": {
            "key_file": str(where.node_key_file),
            "known_hosts": [*where.known_hosts],
            "isolate": True,
        },
    }


async def _until(it: Installation, came: Came) -> None:
    await it.until(came.__doc__ or came.__name__, partial(came, it))


async def _order(it: Installation, words: Sequence[str]) -> int:
    await it.until("it takes orders", it.status.ready)
    code, _ = await it.run(*words)
    return code


async def _tidy(it: Installation) -> bool:
    """No snippet is left that no machine needs; they are removed when nodes are looked at."""
    return not (await it.grounds.cluster.inventory()).leaked_snippets
