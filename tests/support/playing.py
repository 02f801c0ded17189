"""One mode of failure at one call of one verb, played: what came of it, and what was said.

While a mode lasts the machine waits; an operator then does what the sentence says, and it has to be
as if nothing had been. The judge looks on all the time.
"""

import re
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final

from chainwatch.store.wishes import Wish
from provisioner.errors import ProvisionError
from provisioner.model import MAKING
from provisioner.model import Verb as Word
from provisioner.simulator.faults import Fault, FaultName, Struck
from provisioner.simulator.modes.catalogue import arm, has_struck, mend
from provisioner.simulator.modes.mode import Call, Mode
from provisioner.terms import SECONDS_A_GIB
from tests.support.advice import says_what_to_do
from tests.support.blindness import Strike
from tests.support.judge import Judge
from tests.support.lives import stamps
from tests.support.matrix import OF_THE_CHAIN, OVER_SSH, Case, expect, lull, settle_through
from tests.support.meanwhile import MEANWHILE
from tests.support.realm import TEMPLATE, TOKEN, Realm
from tests.support.verbs import DIARY, OFF, SOLD, WIPING

#: How long it is waited for a mode to pass, in seconds, and how long a lasting one is watched.
PATIENCE, WATCHED = 900, 120
#: Modes that only show by how long they last, and for how long those are watched.
SLOW_TO_SHOW: Final = frozenset({12, 35, 53, 56})
LONG: Final = 700
#: How much longer a whole copy is given before it is told of, in seconds.
COPYING: Final = SOLD * SECONDS_A_GIB
#: The mode whose calls are carried out a minute after they were made.
SILENT: Final = 22
#: Alarms of a machine, or a cluster, that is not as it should be.
TROUBLE: Final = frozenset(
    {
        *("failing", "parked", "stuck", "no-room", "volumes-left", "backup-failed"),
        *("hypervisor-down", "node-down"),
    }
)
POWERED_OFF: Final = (59, 2)
DESTROYED: Final = frozenset({"qmdestroy", "vzdestroy"})
#: The verb that has a backup deleted.
DROP: Final = "drop-backup"
#: A guest that is gone is made anew, whatever was done to it before.
GONE: Final = 43
#: What is to be looked for on a storage that could not be looked at.
SOUGHT: Final = re.compile(r"look for VM (\d+) there")
#: The disk that somebody made larger than was sold (GiB).
GROWN_BY, GROWN = 54, 100


class Outcome(Enum):
    """What came of a verb under a mode."""

    UNTOUCHED = "—"  # the verb makes no call at which the mode can strike
    BY_ITSELF = "passes"
    MENDED = "waits"  # until the cause was mended
    PARKED = "parks"  # until the cause was mended and an operator said retry
    ENDED = "ends"  # the order ended, and said why; it was given again when the cause was mended


@dataclass(frozen=True, slots=True)
class Played:
    """One case played: what came of it, and what was said meanwhile."""

    outcome: Outcome
    sentences: tuple[str, ...] = ()
    mode: int = 0

    @property
    def silent(self) -> bool:
        """Say whether an operator was needed and nothing said what mends this mode."""
        needed = self.outcome in {Outcome.MENDED, Outcome.PARKED, Outcome.ENDED}
        return needed and not says_what_to_do(self.mode, self.sentences)


async def play(case: Case, folder: Path) -> Played:
    """Play a case; raises AssertionError for what must never be."""
    async with AsyncExitStack() as stack:
        realm = case.verb.realm(folder, over_ssh=case.over_ssh)
        world = await stack.enter_async_context(realm)
        judge = Judge(world)
        await settle_through(world, judge, case.verb.before)
        expect(judge, case.verb)
        if case.mode.number == GROWN_BY:
            judge.disk_gib = GROWN
        return await Run(case, world, judge).play()


def arm_in(world: Realm, mode: Mode, at: Call, nth: int, form: int) -> None:
    """Have a mode strike a call, be it one of the cluster's or of the chain's."""
    if mode.number != OF_THE_CHAIN:
        arm(world.cluster, mode, at, nth, form)
        return
    happens = MEANWHILE[form]
    fault = Fault(FaultName.HAPPENS, *at, nth=nth, mode=mode.label)
    world.cluster.arm(replace(fault, act=lambda _: happens(world)))


@dataclass(slots=True)
class Run:
    """One case under way; `strike` is when it struck first."""

    case: Case
    world: Realm
    judge: Judge
    strike: Strike | None = None

    async def play(self) -> Played:
        """Do the verb, with the mode at its call."""
        mode, cluster = self.case.mode, self.world.cluster
        before = len(cluster.state.tasks)
        self._write_diaries()
        self._arm()
        for stage in self.case.verb.stages:
            await stage(self.world)
            await self._go_on(self._patience())
        await self._resync()
        resting = await self._at_rest()
        if not has_struck(cluster, mode):
            assert self.case.nth > 1, "it never struck"
            return Played(Outcome.UNTOUCHED)
        self._judge_blindness()
        ended = await self._refused_order()
        if resting and (ended is None or self._overtaken):
            await self._order_done(before, times=1)
            await self._nothing_left()
            return Played(Outcome.BY_ITSELF)
        sentences = await self._sentences()
        parked = "parked" in await self.world.alarms()
        assert mode.lasts or ended, f"should pass by itself: {sentences}"
        await self._operate()
        await self._go_on(WATCHED)
        await self._remove_what_is_named(sentences)
        await self.world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await self._go_on(PATIENCE)
        self._judge_rest()
        await self._order_done(before, times=1 if ended is None else 2)
        await self._nothing_left()
        number = mode.number
        if ended is not None:
            return Played(Outcome.ENDED, (str(ended.said), *sentences), number)
        return Played(Outcome.PARKED if parked else Outcome.MENDED, tuple(sentences), number)

    # ------------------------------------------------------------------------- how it strikes

    def _arm(self) -> None:
        case = self.case
        arm_in(self.world, case.mode, case.at, case.nth, case.form)
        self._note_the_strike()

    def _note_the_strike(self) -> None:
        armed = self.world.cluster.state.faults.armed
        for position, (fault, left) in enumerate(armed):
            act = fault.act

            def noted(struck: Struck, act: object = act) -> None:
                if self.strike is None:
                    self.strike = Strike.now(self.world.cluster, struck)
                if callable(act):
                    act(struck)
                self.judge.witness()

            armed[position] = (replace(fault, act=noted), left)

    def _patience(self) -> int:
        if not self.case.mode.lasts:
            return PATIENCE
        if self.case.mode.number not in SLOW_TO_SHOW:
            return WATCHED
        return LONG + (COPYING if self.case.verb.copied else 0)

    # ------------------------------------------------------------------------- how time passes

    async def _resync(self) -> None:
        """Have the daemon look at everything, as it does every few minutes by itself.

        A machine that somebody powered off is left off; its owner has it again.
        """
        if self.case.mode.number == OF_THE_CHAIN:
            self.world.finalize()
            await self._go_on(PATIENCE)
        if (self.case.mode.number, self.case.form) == POWERED_OFF and not self.judge.left_off:
            for vmid, guest in self.world.guests().items():
                marked = stamps(self.world, vmid)
                if marked and marked.started and not guest.running:
                    self.world.cluster.start_guest(vmid)
            self.world.cluster.advance(60)  # it comes up
        if self.case.mode.number == SILENT:
            self.world.cluster.advance(60)  # what is still on its way arrives
        resync = self.world.daemon.supervisor.resync
        with suppress(ProvisionError):
            await resync.survey()
        await resync.enqueue_all("periodic resync")
        await self._go_on(60 if self.case.mode.lasts else 300)

    def look(self) -> None:
        """Have the judge look, at strangers too."""
        for vmid, guest in self.world.cluster.state.guests.items():
            if guest.created_by != TOKEN and vmid != TEMPLATE and guest.lock is None:
                self.judge.strangers.setdefault(vmid, dict(guest.config))
        self.judge.look()

    async def _go_on(self, seconds: int) -> None:
        """Give the daemon its turns until all is quiet, at most `seconds`."""
        end = self.world.cluster.now + seconds
        while self.world.cluster.now < end:
            self.look()
            if await self.world.turn() == 0:
                if await self._quiet():
                    return
                self.world.cluster.advance(await lull(self.world))
            self.world.cluster.advance(0.2)
        self.look()

    async def _quiet(self) -> bool:
        return not self._at_work() and await self.world.quiet()

    def _at_work(self) -> bool:
        return any(task.status is None for task in self.world.cluster.state.tasks.values())

    # ------------------------------------------------------------------------ what is judged

    async def _at_rest(self) -> bool:
        if not await self._quiet() or TROUBLE & (await self.world.alarms()).keys():
            return False
        wish = await self._wish()
        if wish is not None and wish.outcome is None:
            return False
        try:
            self._judge_rest()
        except AssertionError:
            return False
        return True

    def _judge_rest(self) -> None:
        self.judge.rest()
        if self.case.verb.name == DROP:
            assert not self.world.cluster.inventory().backups, "its backup is still there"

    def _judge_blindness(self) -> None:
        if self.strike is not None:
            cluster, case = self.world.cluster, self.case
            assert self.strike.forbidden(cluster, case.mode.number, case.form) == []

    async def _sentences(self) -> list[str]:
        said = list((await self.world.alarms()).values())
        return said + list((await self.world.sentences()).values())

    async def _nothing_left(self) -> None:
        """See that nothing is left of anything; of SSH that fails nobody asks more than to wait."""
        if self.case.mode.number == OVER_SSH:
            mend(self.world.cluster, self.case.mode)
        await self.judge.tidy()
        assert self.world.touched_foreign() == ()

    # ------------------------------------------------------------------------ what is ordered

    async def _wish(self) -> Wish | None:
        wishes = await self.world.daemon.stores.wishes.of(str(self.world.lease()), 1)
        return wishes[0] if wishes else None

    async def _refused_order(self) -> Wish | None:
        wish = await self._wish()
        return wish if wish is not None and wish.outcome == "refused" else None

    @property
    def _overtaken(self) -> bool:
        """Whether what was ordered may have no sense any more: whose it was, or what is gone."""
        word, number = self.case.verb.order, self.case.mode.number
        return number == OF_THE_CHAIN or (number == GONE and word is Word.ROLLBACK)

    async def _order_done(self, before: int, times: int) -> None:
        """See that what was ordered was done, and done once; `times` it was ordered."""
        word, wish, gone = self.case.verb.order, await self._wish(), self.case.mode.number == GONE
        if word is None:
            return
        assert wish is not None
        if self._overtaken and wish.outcome == "refused":
            assert wish.said
            return
        assert wish.outcome == "done", wish
        (guest,) = self.world.guests().values()
        if word in OFF:
            assert not guest.running or gone
        if word is Word.SNAPSHOT and not gone:
            assert f"order-{wish.number}" in guest.snapshots
        if not gone:
            assert (DIARY in guest.os.files) == (word not in WIPING), word
        since = list(self.world.cluster.state.tasks.values())[before:]
        kinds = [task.kind for task in since if task.status == "OK"]
        assert sum(kind in DESTROYED for kind in kinds) <= times
        assert sum(kind.endswith("rollback") for kind in kinds) <= times

    def _write_diaries(self) -> None:
        for guest in self.world.guests().values():
            guest.os.files[DIARY] = "dear diary"

    # --------------------------------------------------------------------- what an operator does

    async def _operate(self) -> None:
        """Do what an operator does who has read the sentence."""
        cluster = self.world.cluster
        mend(cluster, self.case.mode)
        cluster.advance(1)
        self.judge.strangers_left()
        for vmid, guest in self.world.guests().items():
            if self._at_work() or guest.lock is None:
                continue
            if guest.lock in MAKING:
                cluster.remove_guest(vmid)
            else:
                cluster.edit_guest(vmid, lock=None)
        cluster.advance(301)
        await self.world.daemon.stores.work.unpark(str(self.world.lease()))
        await self._order_again()
        await self.world.daemon.supervisor.resync.enqueue_all("periodic resync")

    async def _order_again(self) -> None:
        wish, now = await self._refused_order(), self.world.daemon.supervisor.clock.now()
        if wish is not None:
            ask = partial(self.world.daemon.stores.wishes.ask, (wish.lease, wish.nonce))
            await ask((Word(wish.verb), wish.name), "once more", 0, now=now)

    async def _remove_what_is_named(self, before: Sequence[str]) -> None:
        """Remove the volumes that an alarm names, and no others.

        Those too of a VM that had to be looked for when its storage is back, as was said `before`.
        """
        cluster, said = self.world.cluster, " ".join(await self._sentences())
        sought = {int(vmid) for vmid in SOUGHT.findall(" ".join(before))}
        for volume in cluster.inventory().leaked_volumes():
            if volume in said or cluster.state.volumes[volume].vmid in sought:
                del cluster.state.volumes[volume]
