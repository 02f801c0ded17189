"""What an operator may ask and order about the reading of a source.

Asking for evidence asks its endpoints, all at once; everything else reads what is stored. Both
orders end a halt: `resume` goes on with what is stored, and halts again where the contradiction
stands; `reread` takes back what is stored from a block on, also below finality, and while it is
read again nothing is done about any lease of the source. A chain that never becomes as long (or as
final) as what was believed would have it wait for ever: there `resume` ends the wait.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.chain.evidence import testimonies
from chainwatch.control import audit, second_look
from chainwatch.control.outlook import Outlook
from chainwatch.control.readings import BlockReading, SourceReading, SourceStory
from chainwatch.domain.events import Block
from chainwatch.errors import OperatorError
from chainwatch.store.rereads import Reread

#: What is cleared when an operator has looked: the reading raises again what is still true.
LOOKED_AT: Final = ("source-halted", second_look.ALARM, audit.ALARM)


class UnknownSource(OperatorError):
    """There is no source of that name."""


@dataclass(frozen=True, slots=True)
class SourceDesk:
    """The sources of one daemon; `uid` is always who asks, `reason` why."""

    outlook: Outlook

    async def all(self) -> list[SourceReading]:
        """Return every configured source."""
        return [await self.outlook.source(name) for name in self.outlook.supervisor.resync.sources]

    async def show(self, name: str) -> SourceStory:
        """Return how a source stands, and what each of its endpoints says now of our blocks."""
        reading = await self.outlook.source(self.known(name))
        state = await self.outlook.stores.journal.state(name)
        settings = self.outlook.supervisor.resync.sources[name].settings
        alarms = await self.outlook.stores.alarms.all()
        return SourceStory(
            source=reading,
            halted=state.halted,
            stored_final=_block(state.final),
            stored_cursor=_block(state.cursor),
            reread_to=state.reread_to,
            reread_final=state.reread_final,
            testimonies=await testimonies(settings, self.outlook.endpoints[name], state),
            alarms=tuple(alarm for alarm in alarms if alarm.subject.split(" ")[0] == name),
        )

    async def foreseen(self, name: str, block: int) -> Reread:
        """Return what `reread` would take back and read again; changes nothing."""
        return await self.outlook.stores.rereads.foreseen(self.known(name), block)

    async def reread(self, name: str, block: int, reason: str, uid: int) -> Reread:
        """Have a source read again from `block` on; returns what is read again."""
        rereads, now = self.outlook.stores.rereads, self.outlook.supervisor.clock.now()
        said = await rereads.reread(self.known(name), block, reason, uid, now=now)
        await self._go_on(name)
        return said

    async def resume(self, name: str, reason: str, uid: int) -> str:
        """Have a source that stands still go on with what is stored; returns why it stood still."""
        await self._at_its_head(self.known(name))
        rereads, now = self.outlook.stores.rereads, self.outlook.supervisor.clock.now()
        why = await rereads.resume(name, reason, uid, now=now)
        await self._go_on(name)
        return why

    async def _at_its_head(self, name: str) -> None:
        """Refuse to end a reread that still has blocks to read. Raises OperatorError."""
        state = await self.outlook.stores.journal.state(name)
        status = self.outlook.supervisor.resync.sources[name]
        waits = status.looked and status.reached(state)
        if state.halted is None and state.reread_to is not None and not waits:
            raise OperatorError(
                f"source {name} is still being read again; only one that has come to the end of "
                "its chain, and waits there, can be resumed"
            )

    async def _go_on(self, name: str) -> None:
        """Let it be read at once, and have what was put off meanwhile looked at."""
        stores = self.outlook.stores
        await stores.work.enqueue(await stores.leases.ids(name), "its source goes on by order")
        self.outlook.supervisor.worker.bell.set()
        for alarm in LOOKED_AT:
            await self.outlook.stores.alarms.clear(alarm, name)
        for ingest in self.outlook.supervisor.ingests:
            if ingest.name == name:
                ingest.hint.set()

    def known(self, name: str) -> str:
        """Return the name of a configured source. Raises UnknownSource naming those there are."""
        if name not in self.outlook.supervisor.resync.sources:
            known = ", ".join(self.outlook.supervisor.resync.sources) or "none"
            raise UnknownSource(f"no source {name} is configured; there are: {known}")
        return name


def _block(block: Block | None) -> BlockReading | None:
    return None if block is None else BlockReading(block.number, block.hash, block.timestamp)
