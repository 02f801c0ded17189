"""Carries out one step: intent, effect, task id; and never waits.

The order is the law: the operation is recorded before the call, the UPID right after it, and what
came of it is for the next pass to observe. A step touches only a machine that proves to be ours.
When a reply is lost the operation stays open, and nothing else happens to that machine until the
next pass has looked.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from provisioner.errors import Crowded, Locked, NoRoom, NotOurs, ProvisionError, UnknownOutcome
from provisioner.identity import uuid_of
from provisioner.line import Line
from provisioner.model import DesiredMachine, Observed
from provisioner.ports import GuestShell, Hypervisor, OperationLog, Place, Snapshots
from provisioner.site import Site
from provisioner.steps.clone import CLONE
from provisioner.steps.step import Step, Target

#: Seconds after which a clone that has not ended no longer keeps others waiting.
ENDLESS: Final = 600


@dataclass(frozen=True, slots=True)
class Ran:
    """What running a step came to: the machine's place, and the task to wait for, if any."""

    place: Place
    upid: str | None


@dataclass(frozen=True, slots=True)
class Executor:
    """Runs steps through the ports; `template` names where clones come from and go to.

    `quarantine` (seconds, wall) is how long a freed VMID rests; `clones` how many may be made at
    once, since a storage lock that is waited for too long fails the clone.
    """

    hypervisor: Hypervisor
    snapshots: Snapshots
    guest: GuestShell
    log: OperationLog
    site: Site
    template: int
    quarantine: int
    clones: int
    _choosing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _line: Line = field(default_factory=Line)

    async def run(self, step: Step, want: DesiredMachine, have: Observed, now: int) -> Ran:
        """Run `step` at wall time `now`.

        Raises NotOurs, Locked, Crowded, NoRoom and what the effect raises.

        On any error but UnknownOutcome the operation is closed as failed before it is raised.
        """
        place, operation = await self._intend(step, want, have, now)
        target = Target(self.hypervisor, self.guest, self.site, want, have, place.vmid, place.node)
        try:
            upid = await step.effect(target)
        except UnknownOutcome:
            raise
        except ProvisionError as error:
            await self.log.finish(operation, "failed", str(error))
            raise
        if upid is None:
            await self.log.finish(operation, "ok")
        else:
            await self.log.record_task(operation, upid)
        return Ran(place, upid)

    async def _intend(
        self, step: Step, want: DesiredMachine, have: Observed, now: int
    ) -> tuple[Place, int]:
        """Record the intent; for a clone the VMID is chosen under the same lock."""
        if step.creates:
            async with self._choosing:
                if not self._line.admits(want.key, await self._places(now), now):
                    raise Crowded(f"{self.clones} machines are being cloned, or asked before")
                place = await self._choose(want, now)
                return place, await self._begin(step, want, place)
        place = self._prove(step, want, have)
        return place, await self._begin(step, want, place)

    async def call_in(self, now: int) -> list[str]:
        """Call those who wait for a clone and for whom there is a place at wall time `now`.

        Returns their keys, each once: a place is kept for a few seconds.
        """
        return self._line.call(await self._places(now), now) if self._line else []

    async def _places(self, now: int) -> int:
        return self.clones - await self.log.open_count(CLONE.name, now - ENDLESS)

    async def _begin(self, step: Step, want: DesiredMachine, place: Place) -> int:
        return await self.log.begin(want.key, step.name, place.vmid, place.node, want.nonce)

    def _prove(self, step: Step, want: DesiredMachine, have: Observed) -> Place:
        """Return where the machine is, if it proves to be ours. Raises NotOurs or Locked."""
        if have.config is None or have.vmid is None or have.node is None:
            raise NotOurs(f"there is no machine to {step.name}")
        if have.config.lock is not None:
            raise Locked(f"VM {have.vmid} is locked ({have.config.lock})")
        if not self.site.proven(want, have) or have.config.template:
            raise NotOurs(f"VM {have.vmid} does not prove to be {want.key}: nothing was done to it")
        identity = self.site.identity(want, have.vmid)
        if step.irreversible and have.config.settings.uuid != uuid_of(identity):
            raise NotOurs(f"VM {have.vmid} has another uuid than {want.key} must have")
        return Place(have.vmid, have.node)

    async def _choose(self, want: DesiredMachine, now: int) -> Place:
        """Choose a place for a clone: the one it was meant for, else the lowest free one.

        A clone that was asked for and not seen may still come, however late; only on the same
        VMID does Proxmox then refuse the second one.
        """
        snapshot = await self.snapshots.get()
        template = snapshot.guests[self.template]
        meant = await self.log.intended(want.key, want.nonce)
        if meant is not None and meant not in snapshot.guests:
            return Place(meant, template.node)
        since = now - self.quarantine
        taken = set(snapshot.guests) | await self.log.reserved()
        taken |= set(await self.log.destroyed_since(since))
        taken |= await self.hypervisor.freed(since)
        try:
            return Place(self.site.pool.choose(taken), template.node)
        except NoRoom as error:
            raise NoRoom(f"no machine can be made: {error}") from None
