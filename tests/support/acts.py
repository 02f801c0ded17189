"""The acts of a machine's life as a daemon of its own lives them, to be killed in the middle of.

An act is data: what happened before, what happens, what an operator ordered, and which calls and
commits the daemon then passes from its start until nothing is left to do. That list is what its
complete set of deaths is made of, so one that names too much fails, and one that names too little
tests too little: test_kill.py holds all of them against the registry of fault points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.support.happenings import (
    Came,
    Happening,
    Words,
    back,
    bought,
    deafened,
    final,
    forgotten_by_its_node,
    grace_over,
    is_anew,
    is_as_it_was,
    is_bobs,
    is_gone,
    is_kept,
    is_larger,
    is_restored,
    is_saved,
    is_up,
    lasting,
    leaves_nothing,
    long_over,
    nothing,
    renewed,
    resubscribed,
    run_out,
    runs,
    shrunk,
    sold,
    sold_larger,
    stands_still,
    subscribed,
    subscribed_for_long,
    to_it,
    words,
    written_down,
)

KINDS: Final = {"qemu": 0, "lxc": 1}
EDGES: Final = ("before", "after")


def edges(*names: str) -> tuple[str, ...]:
    """Return the fault points of calls and commits."""
    return tuple(f"{name}.{edge}" for name in names for edge in EDGES)


@dataclass(frozen=True, slots=True)
class Act:
    """`happens` after every one of `before` has come to its end; `order` is given to each daemon.

    A `wish` is written down before `happens`, once: what it takes is done by whoever comes next.
    `reaches` are calls and commits that a daemon passes which finds it so, in the order of their
    first time; what it passes on some days only, by the order of its loops, is not among them, nor
    are the points that are `never` passed because a call there ends in an error. So many `machines`
    and `backups` are there in the end. Where an act is `foreign` the lease is of a contract that
    knows no plans, where it is `backed` machines are backed up before they are destroyed.
    """

    before: Sequence[tuple[Happening, Came]]
    happens: Happening
    came: Came
    reaches: tuple[str, ...]
    machines: int = 1
    backups: int = 0
    order: Words | None = None
    wish: Words | None = None
    foreign: bool = False
    backed: bool = False
    never: frozenset[str] = frozenset()

    @property
    def points(self) -> tuple[str, ...]:
        """The fault points on the way."""
        return tuple(point for point in edges(*self.reaches) if point not in self.never)


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
#: A virtual machine that is made may answer before its power was ever read.
_MADE: Final = tuple(call for call in _START if call != "hypervisor.power")
_KEYS: Final = (
    *("guest.answers", "guest.set_authorized_keys", "guest.set_gecos", "guest.end_sessions"),
)
_DESTROY: Final = (
    *("chain.lease_at_latest", "hypervisor.destroy", "hypervisor.vmid_is_free"),
    "hypervisor.volumes",
)
_UNPAID: Final = ((bought, runs), (run_out, stands_still))
_CANCELLED: Final = ((subscribed, is_up), (run_out, stands_still))

#: What is done to a machine because of its lease.
_OF_LEASES: Final = {
    "provision": Act(
        (),
        bought,
        runs,
        (
            *("commit.migrate", *_READ, "volumes.sizes", "hypervisor.freed", *_MADE),
            *("hypervisor.isolate", "commit.wake", "commit.work"),
        ),
    ),
    "extend": Act(
        ((lasting, runs),),
        forgotten_by_its_node,
        runs,
        (*_READ, "hypervisor.config", "hypervisor.power", *_FIRST_CARE, *_CARE),
    ),
    "suspend": Act(
        ((bought, runs),),
        run_out,
        stands_still,
        (*_READ, *_TASK, "hypervisor.configure", "hypervisor.shutdown", *_CARE),
    ),
    "resume": Act(_UNPAID, renewed, runs, (*_READ, *_START, *_CARE)),
    "resume unheard": Act(
        _UNPAID,
        deafened,
        runs,
        (
            *(*_READ, *_STEP, "hypervisor.configure", "hypervisor.start", "hypervisor.tasks"),
            *("guest.answers", *_CARE),
        ),
        never=frozenset({"hypervisor.start.after"}),
    ),
    "transfer": Act(
        ((lasting, runs),), sold, is_bobs, (*_READ, *_STEP, *_KEYS, "hypervisor.configure", *_CARE)
    ),
    "resize": Act(
        ((subscribed_for_long, is_up),),
        sold_larger,
        is_larger,
        (*_READ, *_TASK, "hypervisor.configure", "hypervisor.resize", *_CARE),
        foreign=True,
    ),
    "hand edit": Act(_UNPAID, shrunk, runs, (*_READ, *_START, *_CARE)),
    "destroy": Act(
        _UNPAID,
        grace_over,
        is_gone,
        (*_READ, *_TASK, *_DESTROY, "commit.wake", "commit.work"),
        machines=0,
    ),
    "back up": Act(
        _UNPAID,
        grace_over,
        is_saved,
        (
            *(*_READ, *_TASK, "archive.archives", "archive.back_up", *_DESTROY),
            *("commit.wake", "commit.work"),
        ),
        machines=0,
        backups=1,
        backed=True,
    ),
    "restore": Act(
        (*_CANCELLED, (grace_over, is_saved)),
        resubscribed,
        is_restored,
        (
            *(*_READ, "archive.archives", "archive.restore", *_START, "hypervisor.vmid_is_free"),
            *("hypervisor.isolate", "commit.wake", "commit.work"),
        ),
        foreign=True,
        backups=1,
        backed=True,
    ),
    "drop backup": Act(
        (*_UNPAID, (grace_over, is_saved)),
        long_over,
        leaves_nothing,
        (
            *(*_READ, "archive.archives", "archive.drop", "chain.lease_at_latest"),
            *("commit.operation_begin", "commit.operation_task", "hypervisor.task_states"),
            *("commit.operation_finish", "commit.wake", "commit.work"),
        ),
        machines=0,
        backed=True,
    ),
}


def _ordered(
    wish: Words, came: Came, *reaches: str, before: Sequence[tuple[Happening, Came]] = ()
) -> Act:
    """Return the act of an order to a machine that runs, all of which is final."""
    reached = ("commit.wish", *_READ, *_TASK, *reaches, *_CARE)
    return Act(((lasting, runs), *before), final, came, reached, wish=wish)


_TAKEN: Final = (written_down(to_it("snapshot")), is_kept)

#: What is done to a machine because somebody ordered it.
_OF_ORDERS: Final = {
    "reinstall": _ordered(
        to_it("reinstall", "--yes"),
        is_anew,
        *("hypervisor.shutdown", *_DESTROY, "hypervisor.isolate"),
        *("hypervisor.configure", "hypervisor.start", "guest.answers"),
    ),
    "kill": _ordered(to_it("kill"), stands_still, "hypervisor.stop", "hypervisor.configure"),
    "snapshot": _ordered(
        to_it("snapshot"), is_kept, "hypervisor.snapshots", "hypervisor.take_snapshot"
    ),
    "rollback": _ordered(
        back,
        is_as_it_was,
        *("hypervisor.snapshots", "chain.lease_at_latest", "hypervisor.roll_back"),
        *("hypervisor.configure", "hypervisor.start", *_KEYS),
        before=(_TAKEN,),
    ),
}


def _said(order: Words, reaches: str) -> Act:
    """Return the act of what is said to every daemon that comes up, while a machine runs."""
    return Act(((lasting, runs),), nothing, runs, (reaches,), order=order)


#: What an operator says to a daemon, and is done while he waits.
_OF_OPERATORS: Final = {
    "hold": _said(to_it("hold"), "commit.hold"),
    "retry": _said(to_it("retry"), "commit.audit"),
    "reread": _said(
        words("source", "reread", "anvil", "0", "--reason", "a doubt", "--yes"), "commit.reread"
    ),
    "show": _said(words("source", "show", "anvil"), "chain.testimonies"),
    "check": _said(words("check"), "node.version"),
}

#: What is different for a kind of machine.
_MORE: Final = {
    ("provision", "qemu"): (
        *("hypervisor.clone", "hypervisor.isolation", "node.put_snippet", "hypervisor.resize"),
    ),
    ("provision", "lxc"): (
        *("ostemplate.holds", "hypervisor.create_container", "hypervisor.power"),
        *("guest.set_gecos", "node.pct_exec"),
    ),
    ("transfer", "qemu"): ("node.put_snippet", "node.drop_snippet"),
    ("transfer", "lxc"): ("node.pct_exec",),
    ("rollback", "lxc"): ("node.pct_exec",),
    ("reinstall", "qemu"): (
        *("hypervisor.clone", "hypervisor.isolation", "node.put_snippet", "hypervisor.resize"),
    ),
    ("restore", "qemu"): ("node.put_snippet",),
    ("reinstall", "lxc"): ("hypervisor.create_container", "guest.set_gecos", "node.pct_exec"),
}


def _of(act: Act, *more: str) -> Act:
    return replace(act, reaches=(*dict.fromkeys((*act.reaches, *more)),))


#: Every act of every kind of machine.
ACTS: Final[Mapping[tuple[str, str], Act]] = {
    (name, kind): _of(act, *_MORE.get((name, kind), ()))
    for name, act in (_OF_LEASES | _OF_ORDERS | _OF_OPERATORS).items()
    for kind in KINDS
}
#: Where an order is taken: passed by the daemon that it is given to, and by no other.
TAKING: Final = frozenset(edges("commit.wish"))
