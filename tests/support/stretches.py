"""Stretches of a machine's life, and the calls and commits that are on the way of each.

A stretch is data: the stages that lead up to it, those that it is about, and what is reached while
they are lived. A crash falls at each of these in test_crashes.py, which holds the lists against
what is really passed.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config
from chainwatch.domain.events import Event
from chainwatch.domain.lease import Plan
from provisioner.model import Verb
from tests.support.backing import found_bare, keeping, long_over
from tests.support.chain_model import plan_events
from tests.support.lives import (
    Stage,
    bought,
    deaf,
    doubted,
    exchanged,
    final,
    given_in,
    grace_over,
    held,
    keyed,
    lasting,
    not_brought_back,
    read_again,
    renewed,
    retried,
    rewritten,
    run_out,
    sold,
    subscribed,
    taken_back,
    vanished,
)
from tests.support.ordering import ordering
from tests.support.realm import GRACE, Realm, realm


@dataclass(frozen=True, slots=True)
class Stretch:
    """`stages` after `before`; `reaches` names the calls and commits on the way.

    `never` are points of these that are not passed, because a call there ends in an error. `kind`
    is what the plan sells: 0 virtual machines, 1 containers. `backed` is one that is lived where
    machines are backed up before they are destroyed, `foreign` one of a contract of profile
    erc5643, whose plan stands in the configuration.
    """

    before: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    reaches: frozenset[str]
    never: frozenset[str] = frozenset()
    kind: int = 0
    backed: bool = False
    foreign: bool = False

    @property
    def plan(self) -> Sequence[Event]:
        """What the contract said of its plan before."""
        return () if self.foreign else plan_events(kind=self.kind)

    def realm(self, folder: Path) -> AbstractAsyncContextManager[Realm]:
        """Return the realm in which it is lived."""
        if self.backed:
            return keeping(folder, plan=self.plan, adjust=self._read)
        return realm(folder, plan=self.plan, adjust=self._read)

    def _read(self, settings: Config) -> Config:
        """Have the contract read as what it is."""
        if not self.foreign:
            return settings
        (source,) = settings.sources
        read = replace(source.source, profile="erc5643")
        plan = Plan(0, read.name, self.kind, 2, 2048, 20, GRACE, defined=True)
        return replace(settings, sources=(replace(source, source=read, plan=plan),))

    @property
    def points(self) -> frozenset[str]:
        """The fault points on the way."""
        both = {f"{name}.{edge}" for name in self.reaches for edge in ("before", "after")}
        return frozenset(both - self.never)


_READ = frozenset({"chain.read", "chain.tip"})
_LOOK = frozenset({"hypervisor.config", "hypervisor.power", "commit.wake", "commit.work"})
_STEP = _READ | _LOOK | {"commit.operation_begin", "commit.operation_finish"}
_TASK = _STEP | {
    "commit.batch",
    "commit.enqueue",
    "commit.operation_task",
    "hypervisor.task_states",
}
_POWER = _TASK | {"hypervisor.snapshot", "hypervisor.configure"}
_STOP = _POWER | {"hypervisor.shutdown"}
_START = _POWER | {"hypervisor.start", "guest.answers"}
_MADE = (_START - {"hypervisor.power"}) | {
    "commit.alarm",
    "hypervisor.clone",
    "hypervisor.freed",
    "hypervisor.resize",
    "hypervisor.isolate",
    "hypervisor.isolation",
}
_HANDOVER = _STEP | {
    "commit.batch",
    "commit.enqueue",
    "hypervisor.configure",
    "guest.answers",
    "guest.set_authorized_keys",
    "guest.set_gecos",
    "guest.end_sessions",
}
_ORDERED = (_POWER - {"commit.batch"}) | {"commit.wish"}
_NOT_ANEW = {"commit.batch", "commit.alarm", "hypervisor.freed", "hypervisor.isolation"}
_ROLLED_BACK = {
    "chain.lease_at_latest",
    "hypervisor.snapshots",
    "hypervisor.take_snapshot",
    "hypervisor.roll_back",
}
_GONE = _TASK | {
    "chain.lease_at_latest",
    "hypervisor.destroy",
    "hypervisor.vmid_is_free",
    "hypervisor.volumes",
}

_OF_MACHINES: Final[Mapping[str, Stretch]] = {
    "provision": Stretch((), (bought,), _MADE | {"chain.check", "volumes.sizes"}),
    "handover": Stretch((lasting,), (sold, keyed, final), _HANDOVER),
    "suspend": Stretch((bought,), (run_out,), _STOP - {"hypervisor.snapshot"}),
    "resume": Stretch((bought, run_out), (renewed,), _START),
    "destroy": Stretch((bought, run_out, final), (grace_over,), _GONE),
    "reorg": Stretch((final, bought), (taken_back,), _STOP | {"commit.rewind"}),
    "halt": Stretch(
        (lasting, final),
        (rewritten,),
        _READ | {"commit.alarm", "commit.source"},
        never=frozenset({"chain.read.after"}),
    ),
    "reread": Stretch(
        (lasting, sold, final),
        (read_again,),
        _READ | _LOOK | {"commit.batch", "commit.enqueue", "commit.reread"},
    ),
    "another chain": Stretch(
        (lasting, final, exchanged),
        (given_in,),
        _STOP | {"chain.testimonies", "commit.reread"},
    ),
    "doubt": Stretch(
        (lasting,), (doubted,), _READ | {"chain.second_look", "chain.state", "commit.alarm"}
    ),
    "hold": Stretch((lasting,), (held,), _STEP | {"commit.hold", "hypervisor.configure"}),
    "retry": Stretch((lasting,), (retried,), _READ | _LOOK | {"commit.audit", "commit.enqueue"}),
    "reboot": Stretch(
        (lasting, final),
        (ordering(Verb.REBOOT),),
        _ORDERED | {"hypervisor.shutdown", "hypervisor.start", "guest.answers"},
    ),
    "kill": Stretch(
        (lasting, final),
        (ordering(Verb.KILL),),
        (_ORDERED - {"hypervisor.snapshot"}) | {"hypervisor.stop"},
    ),
    "rollback": Stretch(
        (lasting, final),
        (ordering(Verb.SNAPSHOT), ordering(Verb.ROLLBACK)),
        (_ORDERED | _HANDOVER | _START | _ROLLED_BACK) - {"commit.batch"},
    ),
    "reinstall": Stretch(
        (lasting, final),
        (ordering(Verb.REINSTALL),),
        (_ORDERED | _GONE | _STOP | _MADE) - _NOT_ANEW,
    ),
    "backup": Stretch(
        (bought, run_out, final),
        (grace_over,),
        _GONE | {"archive.archives", "archive.back_up", "hypervisor.snapshot"},
        backed=True,
    ),
    "restore": Stretch(
        (bought, run_out, final, grace_over),
        (renewed,),
        _START
        | {
            "archive.archives",
            "archive.restore",
            "hypervisor.isolate",
            "hypervisor.vmid_is_free",
        },
        backed=True,
    ),
    "bare backup": Stretch(
        (bought, run_out, final, grace_over),
        (found_bare,),
        _READ
        | {"archive.archives", "archive.protect", "commit.enqueue", "commit.wake", "commit.work"}
        | {"commit.operation_begin", "commit.operation_finish", "commit.alarm"}
        | {"hypervisor.snapshot", "hypervisor.config"},
        backed=True,
    ),
    "backup expired": Stretch(
        (bought, run_out, final, grace_over),
        (long_over,),
        (_TASK - {"hypervisor.config", "hypervisor.power"})
        | {"archive.archives", "archive.drop", "chain.lease_at_latest", "hypervisor.snapshot"},
        backed=True,
    ),
    "vanished": Stretch(
        (lasting,),
        (vanished,),
        (_MADE - {"commit.batch", "hypervisor.isolation"}) | {"hypervisor.vmid_is_free"},
    ),
    "boot": Stretch(
        (lasting,),
        (not_brought_back,),
        (_START - {"commit.batch", "hypervisor.configure"})
        | {"hypervisor.clock", "hypervisor.tasks"},
    ),
    "lost reply": Stretch(
        (),
        (deaf,),
        _MADE | {"chain.check", "hypervisor.tasks", "volumes.sizes"},
        never=frozenset({"hypervisor.start.after"}),
    ),
}


_LATER = ("boot", "lost reply", "kill", "reinstall", "backup", "restore", "backup expired")
_BOTH = ("provision", "suspend", "resume", "destroy", "hold", "vanished", *_LATER)


def _of_a_container(stretch: Stretch) -> Stretch:
    """Return it in a container's life: of its own size at once, and without a template."""
    reaches = stretch.reaches
    if "hypervisor.clone" in reaches:
        made = {"hypervisor.create_container", "hypervisor.power"}
        never = {"hypervisor.clone", "hypervisor.isolation", "hypervisor.resize"}
        if "hypervisor.isolation" in reaches:  # what is read for the first one only
            made.add("ostemplate.holds")
        reaches = reaches - never | made
    return replace(stretch, reaches=reaches, kind=1)


def _of_another_contract(stretch: Stretch) -> Stretch:
    """Return it where the lease is of a contract that knows neither plans nor keys."""
    before = tuple(subscribed if stage is bought else stage for stage in stretch.before)
    return replace(stretch, before=before, foreign=True)


STRETCHES: Final[Mapping[str, Stretch]] = {
    **_OF_MACHINES,
    **{f"a container's {name}": _of_a_container(_OF_MACHINES[name]) for name in _BOTH},
    "another contract's restore": _of_another_contract(_OF_MACHINES["restore"]),
}
