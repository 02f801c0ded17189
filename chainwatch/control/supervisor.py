"""Named root tasks, of which none may end: if one does, all do, and systemd starts us again.

Ingestion and the socket run from the first moment; passes begin only after the first survey of the
machines, so that nothing is made which exists already. SIGTERM cancels the tasks: whatever runs on
the hypervisor goes on there, its task ids are stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from chainwatch.control.breaker import PROBE_EVERY, Breaker
from chainwatch.control.firewall_watch import FirewallWatch
from chainwatch.control.ingest import Ingest
from chainwatch.control.lookout import Lookout
from chainwatch.control.node_care import NodeCare
from chainwatch.control.nodes import NodeWatch
from chainwatch.control.poller import TaskPoller
from chainwatch.control.resync import Resync
from chainwatch.control.sender import ALARMS as SENDER_ALARMS
from chainwatch.control.sender import Sender
from chainwatch.control.survey import Survey
from chainwatch.control.worker import Worker
from chainwatch.errors import Fatal
from chainwatch.runtime.clock import Clock
from chainwatch.store.operations import Operations
from chainwatch.store.sendings import Sendings
from provisioner.backends.proxmox.inspection import Inspection
from provisioner.errors import ProvisionError

log = structlog.get_logger(__name__)

RootTask = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The daemon's loops; `feeds` wake the ingests, `alive` is called on every heartbeat.

    `care` is None where nodes are not reached over SSH, `senders` empty where there is no hot key.
    """

    ingests: Sequence[Ingest]
    feeds: Mapping[str, RootTask]
    lookouts: Sequence[Lookout]
    worker: Worker
    poller: TaskPoller
    resync: Resync
    breaker: Breaker
    nodes: NodeWatch
    care: NodeCare | None
    senders: Sequence[Sender]
    firewalls: FirewallWatch
    inspection: Inspection
    operations: Operations
    sendings: Sendings
    clock: Clock
    alive: Callable[[], object]
    heartbeat: float

    async def run(self) -> None:
        """Run until cancelled; raises what the first task that ends raises."""
        await self.forget_chains()
        async with asyncio.TaskGroup() as tasks:
            for name, task in self._tasks().items():
                tasks.create_task(_never_ends(name, task), name=name)

    async def forget_chains(self) -> None:
        """End what stands about chains, and leases, on which nothing is sent any more.

        What is sent there again, since the configuration was changed back, is told again.
        """
        await self.worker.alarms.forget(SENDER_ALARMS, but=[each.subject for each in self.senders])
        sources = {source for each in self.senders for source in each.looks}
        await self.sendings.tell(sources, now=self.clock.now())

    def _tasks(self) -> dict[str, RootTask]:
        return {
            **{f"ingest {ingest.name}": ingest.run for ingest in self.ingests},
            **{f"heads {name}": feed for name, feed in self.feeds.items()},
            **{f"sender {each.chain_id}": each.run for each in self.senders},
            **{name: task for each in self.lookouts for name, task in each.tasks().items()},
            "hypervisor probe": self.breaker.run,
            "nodes": self.nodes.run,
            "task poller": self.poller.run,
            "passes": self._passes,
            "heartbeat": self._heartbeat,
        }

    async def _passes(self) -> None:
        while not await self.first_survey():
            await self.clock.sleep(PROBE_EVERY)
            await self.breaker.closed()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_never_ends("resync", self.resync.run), name="resync")
            tasks.create_task(_never_ends("worker", self.worker.run), name="worker")
            if self.care is not None:
                tasks.create_task(_never_ends("node care", self.care.run), name="node care")
            tasks.create_task(_never_ends("firewalls", self.firewalls.run), name="firewalls")

    async def first_survey(self) -> bool:
        """Survey the machines before anything is done to any; false while that can't be done.

        Raises Fatal when machines of ours exist that an empty database knows nothing of.
        """
        try:
            survey = await self._first_look()
        except ProvisionError as error:
            await self.breaker.trip(error)
            return False
        if survey.identities and await self.operations.is_empty():
            raise Fatal(
                f"{len(survey.identities)} machines of this installation exist, but the database "
                "is empty: restore it, or move it away and run `chainwatch rebuild`"
            )
        if survey.unfinished and await self.operations.is_empty():
            raise Fatal(
                f"VM {', '.join(map(str, survey.unfinished))} does not say yet whose it is, "
                "and the database is empty: wait until its clone has ended and its node answers, "
                "then start again"
            )
        await self.resync.settle(survey)
        await self.resync.enqueue_all("the daemon started")
        ours = len(survey.identities) + len(survey.assumed)
        log.info("machines surveyed", ours=ours, strangers=len(survey.strangers))
        return True

    async def _first_look(self) -> Survey:
        """Read all machines, or where there is a log those that it does not know where they stand.

        The others are read by their leases' passes, before anything is done to them.
        """
        resync = self.resync
        if await self.operations.is_empty():
            return await resync.examine()
        return await resync.resurvey()

    async def _heartbeat(self) -> None:
        while True:
            self.alive()
            await self.clock.sleep(self.heartbeat)


async def _never_ends(name: str, task: RootTask) -> None:
    await task()
    raise RuntimeError(f"the task {name!r} ended, which none may")
