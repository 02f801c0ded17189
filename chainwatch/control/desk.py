"""What an operator may ask and order.

Readings never wait for a chain, and only `show` and the orders that say so ask the hypervisor. An
order is durable, carries who gave it and why into the audit, and takes effect through the loop: it
makes keys due and rings the bell, it never touches a machine by itself; what does, at once and for
somebody who waits, is `hands`. What cannot be done as asked is an OperatorError that says what to
ask instead.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from chainwatch.control import stories
from chainwatch.control.adoption import Adoption, Candidate
from chainwatch.control.checkup import checkup
from chainwatch.control.giving_back import cancelling, not_cancelled
from chainwatch.control.hands import Hands, Means
from chainwatch.control.outlook import Outlook
from chainwatch.control.passes import Outcome
from chainwatch.control.readings import EventLine, Finding, LeaseLine, LeaseStory, Status
from chainwatch.control.sender_outlook import reading as sender_reading
from chainwatch.control.sender_outlook import unsaid
from chainwatch.control.source_desk import SourceDesk
from chainwatch.control.survey import Orphan
from chainwatch.control.verdict import ALARMS
from chainwatch.domain.desired import Hold
from chainwatch.domain.lease import LeaseId, Plan
from chainwatch.domain.sendings import Intent
from chainwatch.errors import OperatorError
from chainwatch.store.alarms import Alarm
from chainwatch.store.audit import AuditEntry
from chainwatch.store.holds import HoldRow, Pause, Scope
from chainwatch.store.leases import LeaseRow
from chainwatch.store.operations import Operation
from chainwatch.store.wishes import Wish
from provisioner.model import Verb

#: Seconds that `show` waits for the hypervisor before it says that it did not answer.
PATIENCE: Final = 10.0
#: What Proxmox takes for the name of a snapshot.
SNAPSHOT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")
#: Operations and orders shown with a lease.
RECENT: Final = 20
_PAGE: Final = 1000


class UnknownLease(OperatorError):
    """There is no lease of that name."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which leases to list: of a source, in a phase; up to `limit`, after the id `after`."""

    source: str | None = None
    phase: str | None = None
    after: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator's view of one daemon; `uid` is always who asks, `reason` why."""

    outlook: Outlook
    means: Means

    @property
    def sources(self) -> SourceDesk:
        """What may be asked and ordered about the reading of sources."""
        return SourceDesk(self.outlook)

    # -------------------------------------------------------------------------------- readings

    async def status(self) -> Status:
        """Return everything at a glance."""
        return await self.outlook.status()

    async def leases(self, wanted: Filter) -> list[LeaseLine]:
        """Return leases in the order of their ids. Raises UnknownSource."""
        if wanted.source is not None:
            self.sources.known(wanted.source)
        found: list[LeaseLine] = []
        async for each in self._lines(wanted):
            if wanted.phase in (None, each.phase):
                found.append(each)
            if len(found) == wanted.limit:
                break
        return found

    async def show(self, name: str) -> LeaseStory:
        """Return everything about one lease, looking at its machines now."""
        row, stores = await self._found(name), self.outlook.stores
        if row.source not in self.outlook.supervisor.resync.sources:
            raise OperatorError(
                f"source {row.source} is no longer configured: put it back to see its leases"
            )
        key, outcome = str(row.id), await self._explained(str(row.id))
        facts, work = outcome.facts, await stores.work.row(key)
        supervisor = self.outlook.supervisor
        promises, sendings = supervisor.worker.promises, await stores.sendings.of(key, RECENT)
        way = await promises.way(outcome)
        source = await self.outlook.source(row.source)
        return LeaseStory(
            line=await self._line(row),
            confirmed=stories.view(row.lease),
            final=stories.view(facts.final if facts else None),
            plan=stories.plan_reading(facts.plan if facts else None),
            delivery=stories.delivery(facts, way, self._now()) if facts else None,
            source=source,
            machines=tuple(
                stories.machine(each, current=row.lease is not None and number == 0)
                for number, each in enumerate(outcome.passes)
            ),
            waits=_waits(outcome, work.parked_reason if work else None, source.why)
            or unsaid(supervisor.senders, sendings),
            wake_time=row.wake_at,
            wake_final_time=row.wake_final_at,
            work=work,
            holds=tuple(await stores.holds.of(key)),
            alarms=tuple(alarm for alarm in await stores.alarms.all() if alarm.subject == key),
            operations=tuple(await stores.operations.recent(RECENT, key)),
            orders=tuple(await stores.wishes.of(key, RECENT)),
            sendings=tuple(map(sender_reading, sendings)),
            events=tuple(map(stories.event, await stores.leases.history(key))),
        )

    async def operations(self, limit: int, lease: str | None = None) -> list[Operation]:
        """Return the last operations (on one lease's machines), newest first."""
        key = str((await self._found(lease)).id) if lease else None
        return await self.outlook.stores.operations.recent(limit, key)

    async def events(
        self, limit: int, lease: str | None = None, source: str | None = None
    ) -> list[EventLine]:
        """Return what the chains said last (about one lease, or on one source), newest first."""
        if source is not None:
            self.sources.known(source)
        if lease is None:
            entries = await self.outlook.stores.journal.events(source, limit=limit)
        else:
            key = str((await self._found(lease)).id)
            entries = (await self.outlook.stores.leases.history(key))[::-1][:limit]
        return [stories.event(entry) for entry in entries]

    async def alarms(self) -> list[Alarm]:
        """Return what stands, the critical first."""
        return await self.outlook.stores.alarms.all()

    async def audit(self, limit: int) -> list[AuditEntry]:
        """Return what people did last, newest first."""
        return await self.outlook.stores.audit.recent(limit)

    def orphans(self) -> tuple[Orphan, ...]:
        """Return the machines in our range that the last survey found not ours to touch."""
        return self.outlook.supervisor.resync.orphans

    # ---------------------------------------------------------------------------------- orders

    async def hold(self, name: str, kind: Hold, reason: str, uid: int) -> list[HoldRow]:
        """Hold a lease, or suspend it by order; returns its holds."""
        key = str((await self._found(name)).id)
        await self.outlook.stores.holds.hold(key, kind, reason, uid, now=self._now())
        return await self._heard(key)

    async def release(self, name: str, kind: Hold, reason: str, uid: int) -> list[HoldRow]:
        """Lift a hold; returns those that remain."""
        key = str((await self._found(name)).id)
        await self.outlook.stores.holds.release(key, kind, reason, uid, now=self._now())
        return await self._heard(key)

    async def order(self, name: str, asked: tuple[Verb, str], reason: str, uid: int) -> Wish:
        """Have something done once to the machine that a lease pays for (verb, snapshot's name)."""
        row, (verb, snapshot) = await self._found(name), asked
        if row.lease is None:
            raise OperatorError(f"{name} was taken back by a reorg: it has no machine to {verb}")
        if (verb is Verb.ROLLBACK) != bool(snapshot):
            raise OperatorError("a rollback, and nothing else, takes the name of a snapshot")
        if snapshot and not SNAPSHOT_NAME.fullmatch(snapshot):
            raise OperatorError("a snapshot's name is a letter, then letters, digits, - and _")
        machine = (str(row.id), row.nonce)
        wish = await self.outlook.stores.wishes.ask(
            machine, (verb, snapshot), reason, uid, now=self._now()
        )
        self.outlook.supervisor.worker.bell.set()
        return wish

    async def cancel(self, name: str, reason: str, uid: int) -> Intent:
        """Give back at once all that was paid for a lease that was not delivered."""
        row = await self._found(name)
        key, promises = str(row.id), self.outlook.supervisor.worker.promises
        source = promises.source_of(row.id)
        if source is None:
            raise OperatorError(f"nothing is said to the contract of {key}: configure [sender]")
        if why := not_cancelled(await self._explained(key), name):
            raise OperatorError(why)
        intent = cancelling(source, row.id, row.nonce)
        if not await self.outlook.stores.sendings.order(intent, uid, reason, now=self._now()):
            raise OperatorError(f"it was tried before; `chainwatch show {name}` says how it ended")
        self.outlook.supervisor.worker.bell.set()
        promises.ring(intent.source)
        return intent

    async def withdraw(self, name: str, number: int, reason: str, uid: int) -> Wish:
        """Take an order back that has not begun. Raises OperatorError for any other."""
        key = str((await self._found(name)).id)
        wish = await self.outlook.stores.wishes.withdraw(key, number, reason, uid, now=self._now())
        self.outlook.supervisor.worker.bell.set()
        return wish

    async def candidate(self, name: str, vmid: int) -> Candidate:
        """Return what is known of a machine that may be a lease's; changes nothing."""
        return await self._adoption().examine(await self._found(name), vmid)

    async def adopt(self, name: str, vmid: int, reason: str, uid: int) -> Candidate:
        """Make a machine that proves nothing a lease's, on an operator's word."""
        adopted = await self._adoption().adopt(await self._found(name), vmid, reason, uid)
        for alarm in ALARMS:
            await self.outlook.stores.alarms.clear(alarm, adopted.lease)
        return adopted

    async def hands(self, name: str) -> Hands:
        """Return what is done by hand to the machine that a lease pays for."""
        row, reconciler = await self._found(name), self.outlook.supervisor.worker.reconciler
        return Hands(self.means, self.outlook.stores, reconciler, row)

    async def pause(self, scope: Scope, reason: str, uid: int) -> list[Pause]:
        """Stop every effect, or every destroy, from the next step on; returns what is paused."""
        await self.outlook.stores.holds.pause(scope, reason, uid, now=self._now())
        return await self.outlook.stores.holds.pauses()

    async def resume_all(self, reason: str, uid: int) -> list[Pause]:
        """Lift every pause and make every lease due; returns what was lifted."""
        lifted = await self.outlook.stores.holds.resume(reason, uid, now=self._now())
        if not lifted:
            raise OperatorError("nothing is paused, so there is nothing to resume")
        await self.outlook.supervisor.resync.enqueue_all("an operator resumed everything")
        return lifted

    async def retry(self, name: str, reason: str, uid: int) -> bool:
        """Try a lease again now, parked or not, its alarms cleared; true when it was parked.

        What the contract refused, or was given up after its reverts, is sent then if it is wanted.
        """
        row, stores = await self._found(name), self.outlook.stores
        key, worker = str(row.id), self.outlook.supervisor.worker
        await stores.audit.append(uid, "retry", key, reason, now=self._now())
        parked = await stores.work.unpark(key)
        if not parked:
            await stores.work.enqueue([key], "retried by an operator")
        await stores.sendings.take_up(key, now=self._now())
        for alarm in ALARMS:
            await stores.alarms.clear(alarm, key)
        worker.bell.set()
        worker.promises.ring(row.source)
        return parked

    async def survey(self, uid: int) -> tuple[Orphan, ...]:
        """Look at every machine in our range now; returns those that are not ours to touch.

        Raises what the hypervisor raises.
        """
        stores = self.outlook.stores
        await stores.audit.append(uid, "survey", "machines", "asked for", now=self._now())
        await self.outlook.supervisor.resync.survey()
        return self.orphans()

    async def check(self, *, deep: bool = False) -> list[Finding]:
        """Ask sources and hypervisor, and fold the whole journal again; changes nothing.

        `deep` holds every lease against its contract's own state as well.
        """
        return await checkup(self.outlook.supervisor, self.outlook.stores.db, deep=deep)

    # --------------------------------------------------------------------------------- details

    def _adoption(self) -> Adoption:
        supervisor = self.outlook.supervisor
        return Adoption(self.outlook.stores, supervisor.worker.reconciler, supervisor.resync)

    def _now(self) -> int:
        return self.outlook.supervisor.clock.now()

    async def _heard(self, key: str) -> list[HoldRow]:
        self.outlook.supervisor.worker.bell.set()
        return await self.outlook.stores.holds.of(key)

    async def _found(self, name: str) -> LeaseRow:
        """Find a lease by its CAIP-19 id, or by its bare token id where that is unambiguous."""
        leases = self.outlook.stores.leases
        if name.isascii() and name.isdecimal():
            row = await leases.by_token(int(name)) if int(name) < 2**256 else None
        else:
            row = await leases.get(str(_parsed(name)))
        if row is None:
            raise UnknownLease(f"no lease {name} is known; `chainwatch leases` lists them all")
        return row

    async def _explained(self, key: str) -> Outcome:
        reconciler = self.outlook.supervisor.worker.reconciler
        try:
            async with asyncio.timeout(PATIENCE):
                return await reconciler.explain(key)
        except TimeoutError:
            return Outcome(await reconciler.facts.of(key))

    async def _lines(self, wanted: Filter) -> AsyncIterator[LeaseLine]:
        stores, after = self.outlook.stores, wanted.after
        vmids, parked = await self.outlook.census.machines(), await self.outlook.census.parked()
        holds = await stores.holds.all()
        while page := await stores.leases.all(source=wanted.source, after=after, limit=_PAGE):
            sources = {row.source for row in page}
            times = {name: await self._chain_time(name) for name in sources}
            plans = {name: await stores.leases.plans(name) for name in sources}
            for row in page:
                key = str(row.id)
                yield stories.line(
                    row,
                    (None if row.plan is None else plans[row.source].get(row.plan))
                    or self._sold(row.source, row.plan),
                    times[row.source],
                    vmid=vmids.get((key, row.nonce)),
                    holds=tuple(hold.kind for hold in holds if hold.lease == key),
                    parked=key in parked,
                )
            after = str(page[-1].id)

    async def _line(self, row: LeaseRow) -> LeaseLine:
        stores, key = self.outlook.stores, str(row.id)
        plan = await stores.leases.plan(row.source, row.plan) or self._sold(row.source, row.plan)
        return stories.line(
            row,
            plan,
            await self._chain_time(row.source),
            vmid=(await self.outlook.census.machines()).get((key, row.nonce)),
            holds=tuple(hold.kind for hold in await stores.holds.of(key)),
            parked=key in await self.outlook.census.parked(),
        )

    def _sold(self, source: str, number: int | None) -> Plan | None:
        """What the configuration says that leases of a plan of a source are sold as, if it does."""
        known = self.outlook.supervisor.resync.sources.get(source)
        return known.settings.sold(number) if known else None

    async def _chain_time(self, source: str) -> int:
        state = await self.outlook.stores.journal.state(source)
        return state.cursor.timestamp if state.cursor else 0


def _parsed(name: str) -> LeaseId:
    try:
        return LeaseId.parse(name)
    except ValueError as error:
        raise OperatorError(f"{error}, or the bare token id") from None


def _waits(outcome: Outcome, parked: str | None, source: str | None) -> str | None:
    """Say why nothing happens to its machines now; None when they are as desired."""
    facts = outcome.facts
    if parked is not None:
        return f"given up: {parked}"
    if facts is not None and not facts.source.caught_up:
        return f"its source has not read up to the confirmed head: {source}"
    if facts is not None and facts.source.halted:
        return f"its source is halted, and nothing is taken away: {source}"
    if facts is not None and facts.nonces and not outcome.passes:
        return "the hypervisor did not answer in time; ask again"
    if all(each.settled for each in outcome.passes):
        return None
    return outcome.sentence
