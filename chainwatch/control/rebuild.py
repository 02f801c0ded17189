"""Making the database again: the chains say what was sold, the machines say which is whose.

The machines are read and adopted first, then every source is read up to its confirmed head, so that
nothing exists twice. Holds come back as far as the machines mirror them. Destroys stay paused until
an operator has looked: what else was in force only he knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chainwatch.control.ingest import Ingest
from chainwatch.control.resync import Resync
from chainwatch.control.survey import Survey
from chainwatch.errors import OperatorError
from chainwatch.runtime.clock import Clock
from chainwatch.store.holds import Holds
from chainwatch.store.leases import Leases

HELD = "it was protected on the hypervisor when the database was rebuilt"
REASON = "the database was rebuilt: compare `chainwatch leases` with what you expect"


@dataclass(frozen=True, slots=True)
class Report:
    """What a rebuild found: counts of leases and machines, and the VMIDs nobody claims."""

    leases: int
    machines: int
    orphans: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Fills an empty database."""

    ingests: Sequence[Ingest]
    resync: Resync
    leases: Leases
    holds: Holds
    clock: Clock

    async def run(self, uid: int) -> Report:
        """Rebuild on behalf of user `uid`.

        Raises OperatorError when a source cannot be read, and while a machine is being made.
        """
        await self.holds.pause("destroys", REASON, uid, now=self.clock.now())
        survey = await self._survey()
        for key, kind in survey.held.items():
            await self.holds.hold(key, kind, HELD, uid, now=self.clock.now())
        for ingest in self.ingests:
            await self._read(ingest)
        await self._survey()
        found = [len(await self.leases.ids(ingest.name)) for ingest in self.ingests]
        machines = sum(len(vmids) for vmids in self.resync.places.values())
        return Report(sum(found), machines, tuple(each.vmid for each in self.resync.orphans))

    async def _survey(self) -> Survey:
        """Read the machines; one that does not say yet whose it is could be made a second time."""
        survey = await self.resync.examine()
        if survey.unfinished:
            raise OperatorError(
                f"VM {', '.join(map(str, survey.unfinished))} does not say yet whose it is: wait "
                "until its clone has ended and its node answers, or remove what a clone that was "
                "cut off has left, then run `chainwatch rebuild` again"
            )
        await self.resync.settle(survey)
        return survey

    async def _read(self, ingest: Ingest) -> None:
        await ingest.scanner.check()
        while True:
            await ingest.attempt()
            if halted := (await ingest.journal.state(ingest.name)).halted:
                raise OperatorError(f"source {ingest.name} halted: {halted}")
            if ingest.status.trouble:
                raise OperatorError(
                    f"source {ingest.name} cannot be read ({ingest.status.trouble}): mend its "
                    "endpoints, then run `chainwatch rebuild` again"
                )
            if ingest.status.looked:
                return
