"""What an operator does to the machine of one lease by hand, at once, and is told of at once.

Unlike an order it is not durable and goes round no loop: somebody waits for the answer. Everything
is the provisioner's own (`provisioner.verbs`); what is added is whose machine it is, which its own
description has to prove, and a line in the audit before anything happens. A machine may be looked
at whatever locks it, and while an operation of ours runs; it is changed under neither. How it
fails: with a sentence, and what a crash cut off is an open operation that the next pass looks at.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from chainwatch.control.reconciler import Reconciler
from chainwatch.domain.desired import desired
from chainwatch.errors import OperatorError
from chainwatch.store.leases import LeaseRow
from chainwatch.store.stores import Stores
from provisioner.controls import ConsoleTicket, Controls, GuestCommands, Throttle
from provisioner.errors import Declined, Locked, NotOurs, ProvisionError, UnknownOutcome
from provisioner.model import DesiredMachine, GuestConfig, Kind, PowerState, Stamps
from provisioner.ports import Place
from provisioner.site import Site
from provisioner.verbs import guest_exec
from provisioner.verbs.metrics import Metrics, measured
from provisioner.verbs.throttle import Limits, meant

#: For how many seconds a command may run, and how much of it is kept in the audit.
LONGEST: Final = 600
_SHOWN: Final = 300
#: A kilobit a second, in the megabytes a second that a network card's rate is counted in.
_RATE: Final = 125 / 2**20


@dataclass(frozen=True, slots=True)
class Means:
    """What it is done with; `containers` is None where nodes are not reached over SSH.

    `console` is whether the screens of machines may be opened.
    """

    controls: Controls
    vms: GuestCommands
    containers: GuestCommands | None
    console: bool

    def into(self, kind: Kind) -> GuestCommands:
        """Return the way into guests of a kind. Raises Declined where none leads in."""
        if kind is Kind.VM:
            return self.vms
        if self.containers is None:
            raise Declined(
                "it is a container: only its node leads into it, over SSH; configure [nodes_ssh] "
                "and restart"
            )
        return self.containers


@dataclass(frozen=True, slots=True)
class Execution:
    """How a command ended; not `seen` is one of which nobody knows whether it has, or ran at all.

    What it said is the guest's word, bounded, with what is no UTF-8 replaced.
    """

    code: int
    seen: bool
    output: str
    error: str


@dataclass(frozen=True, slots=True)
class Throttled:
    """What was limited, a line for each, and which of it the machine's plan decides otherwise."""

    lines: tuple[str, ...]
    put_back: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Machine:
    """A machine that proved to be the lease's."""

    want: DesiredMachine
    at: Place
    config: GuestConfig
    stamps: Stamps


@dataclass(frozen=True, slots=True)
class Hands:
    """Works on the machine that one lease pays for; `uid` is always who asks, `reason` why."""

    means: Means
    stores: Stores
    reconciler: Reconciler
    row: LeaseRow

    async def metrics(self) -> Metrics:
        """Measure what the machine uses, for a second."""
        found = await self._found()
        clock, kind = self.reconciler.clock, found.config.kind
        return await measured(
            self.means.controls, lambda: self.means.into(kind), clock, found.at, kind
        )

    async def throttle(self, limits: Limits, reason: str, uid: int) -> Throttled:
        """Limit what the machine takes of its node, or lift the limits."""
        _need(reason)
        if (pause := await self.stores.holds.paused("effects")) is not None:
            raise OperatorError(f"effects are paused ({pause.reason}); `chainwatch resume-all`")
        found = self._finished(await self._found())
        if found.config.lock is not None:
            raise Locked(
                f"VM {found.at.vmid} is locked ({found.config.lock}): ask again when that is over; "
                "where no task works on it, unlock it"
            )
        wanted, lines = meant(limits, found.config.settings.cores)
        await self._note(uid, "throttle", f"{'; '.join(lines)}: {reason}")
        await self._limit(found, wanted)
        return Throttled(tuple(lines), _put_back(self.reconciler.site, found, wanted))

    async def run(self, words: tuple[str, ...], limit: int, reason: str, uid: int) -> Execution:
        """Run a command in the machine as its root, for `limit` seconds at most."""
        _need(reason)
        if not 1 <= limit <= LONGEST:
            raise OperatorError(f"a command may run for 1 to {LONGEST} seconds")
        command = guest_exec.checked(words)
        found = self._finished(await self._found())
        if found.stamps.suspended_at is not None:
            raise OperatorError(f"VM {found.at.vmid} is suspended: nothing runs in it")
        way = self.means.into(found.config.kind)
        await self._note(uid, "exec", f"{shlex.join(words)[:_SHOWN]}: {reason}")
        called, power = f"VM {found.at.vmid}", partial(self._power, found)
        ended = await guest_exec.run(way, found.at, command, limit, called=called, power=power)
        said = ended.finished
        return Execution(said.code, ended.seen, _text(said.output), _text(said.error))

    async def console(self, reason: str, uid: int) -> ConsoleTicket:
        """Open the machine's screen for one connection of the operator's; it is told him alone."""
        _need(reason)
        if not self.means.console:
            raise OperatorError(
                "screens are not opened here: set console = true in [admin], grant what `chainwatch"
                " proxmox grant --console` prints, and restart"
            )
        found, controls = self._finished(await self._found()), self.means.controls
        kind = found.config.kind
        if await self._power(found) not in (PowerState.RUNNING, PowerState.PAUSED):
            why = guest_exec.STANDS_STILL if found.stamps.suspended_at is None else "is suspended"
            raise OperatorError(f"VM {found.at.vmid} {why}: it has no screen")
        await self._note(uid, "console", f"VM {found.at.vmid}: {reason}")
        with _unsure("a screen may be open, and closes by itself: ask again"):
            return await controls.console(found.at.node, found.at.vmid, kind=kind)

    async def _found(self) -> _Machine:
        """Return the machine if it proves to be the lease's. Raises OperatorError if none is."""
        name, reconciler = str(self.row.id), self.reconciler
        facts = await reconciler.facts.of(name)
        if facts is None or self.row.lease is None:
            raise OperatorError(f"{name} was taken back by a reorg: it has no machine")
        want = desired(facts, self.row.nonce, reconciler.policy)
        doubles = reconciler.index.places.get((want.key, want.nonce), ())
        if len(doubles) > 1:
            told = ", ".join(map(str, doubles))
            raise NotOurs(f"VMs {told} all prove to be this machine: remove the one that is not")
        machines = reconciler.machines
        seen = await machines.standing(want, await machines.snapshots.get())
        if seen.config is not None and seen.vmid is not None and seen.node is not None:
            if seen.config.template:
                raise NotOurs(f"VM {seen.vmid} has been made a template: nothing is done to it")
            return _Machine(want, Place(seen.vmid, seen.node), seen.config, seen.stamps)
        if seen.node is not None and seen.vmid is None:
            raise NotOurs(
                f"somebody else's machine stands on {seen.node} where that of {name} was: nothing "
                "is done to it; `chainwatch orphans` shows it"
            )
        raise OperatorError(f"{name} has no machine now; `chainwatch show {name}` says why")

    def _finished(self, found: _Machine) -> _Machine:
        if found.stamps.configured is None:
            raise OperatorError(f"VM {found.at.vmid} is still being made: ask again later")
        return found

    async def _power(self, found: _Machine) -> PowerState:
        at, kind = found.at, found.config.kind
        return (await self.means.controls.usage(at.node, at.vmid, kind=kind)).state

    async def _limit(self, found: _Machine, wanted: Throttle) -> None:
        """Set limits, as an operation that no pass does another one beside."""
        key, nonce, at = found.want.key, found.want.nonce, found.at
        log = self.stores.operations
        operation = await log.begin(key, "throttle", at.vmid, at.node, nonce)
        text = self.reconciler.site.describe(found.want, at.vmid, found.stamps)
        kind, digest = found.config.kind, found.config.digest
        throttle = self.means.controls.throttle
        try:
            with _unsure("the limits may be set, now or soon: ask again, which does no harm"):
                await throttle(at.node, at.vmid, wanted, text, digest, kind=kind)
        except UnknownOutcome:  # left open: the next pass looks
            await self.stores.work.enqueue([key], "a throttle was not seen to end")
            raise
        except ProvisionError as error:
            await log.finish(operation, "failed", str(error))
            raise
        await log.finish(operation, "ok")

    async def _note(self, uid: int, what: str, why: str) -> None:
        now = self.reconciler.clock.now()
        await self.stores.audit.append(uid, what, str(self.row.id), why, now=now)


@contextmanager
def _unsure(what: str) -> Iterator[None]:
    """Say of an outcome that nobody knows `what` it may be, and what to do."""
    try:
        yield
    except UnknownOutcome as error:
        raise UnknownOutcome(f"{error}; {what}") from error


def _need(reason: str) -> None:
    if not reason.strip():
        raise OperatorError("say why: a reason is required, and kept in the audit")


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace")


def _put_back(site: Site, found: _Machine, wanted: Throttle) -> tuple[str, ...]:
    """Name the limits that the next look at the machine finds other than they should be."""
    have = found.config.settings
    after = replace(
        have,
        cpu_limit=have.cpu_limit if wanted.cpu_limit is None else wanted.cpu_limit / 100,
        rate=have.rate if wanted.rate is None else wanted.rate * _RATE,
        disk_limits=wanted.on(have.disk_limits),
    )
    config = replace(found.config, settings=after)
    should = site.settings(found.want, found.at.vmid, config, found.stamps)
    left = site.drifted(should, after, found.stamps)
    quota = wanted.cpu_limit is not None and should.cpu_limit != after.cpu_limit
    rate = wanted.rate is not None and should.rate != after.rate
    disk = should.disk_limits != after.disk_limits != have.disk_limits
    differ = {
        "cpu_limit": ("cpu quota", quota),
        "rate": ("bandwidth", rate),
        "disk_limits": ("iops", disk),
    }
    return tuple(word for key, (word, changes) in differ.items() if changes and key not in left)
