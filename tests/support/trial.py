"""One installation on trial: the world that rules act on, its judge, and how a rule is done.

Rules (`tests/property/test_machines.py`) say what happens; here is how the daemon gets its turns
after it, falls, forgets, and comes to rest, with the judge looking on all the time.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from structlog.testing import capture_logs

from chainwatch.errors import RpcUnavailable
from chainwatch.store.verify import verify
from provisioner import faultpoints
from tests.support.amnesia import forget, rebuild
from tests.support.chain_model import ModelEndpoint
from tests.support.judge import CLONING, Judge
from tests.support.lives import stamps
from tests.support.realm import (
    HOUR,
    Crash,
    Realm,
    crash_at,
    realm,
)
from tests.support.tenancies import Tenancy, latest

T = TypeVar("T")

TOKENS: Final = (1, 2, 3)


class Trial(RuleBasedStateMachine):
    """One installation and its judge."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.log = self.stack.enter_context(capture_logs())
        self.runner = self.stack.enter_context(asyncio.Runner())
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        opening = realm(folder)
        self.world: Realm = self.runner.run(opening.__aenter__())
        self.stack.callback(lambda: self.runner.run(opening.__aexit__(None, None, None)))
        self.judge = Judge(self.world)
        self.broken = False
        self.rpc_down = False
        endpoint = self.world.chain.rpc.endpoints[0]
        assert isinstance(endpoint, ModelEndpoint)
        endpoint.tamper = self._answered

    def _run(self, work: Coroutine[object, object, T]) -> T:
        try:
            done = self.runner.run(work)
            self.judge.look()
        except BaseException:
            self.broken = True
            raise
        return done

    def _look(self) -> None:
        try:
            self.judge.look()
        except BaseException:
            self.broken = True
            raise

    def _answered(self, _method: str, _params: object, result: object) -> object:
        if self.rpc_down:
            raise RpcUnavailable("the node is away")
        return result

    async def _turns(self, turns: int) -> None:
        for _ in range(turns):
            await self.world.turn()
            self.world.cluster.advance(1)
            self.judge.look()

    async def _falls(self, point: str, nth: int, turns: int) -> None:
        crash_at(point, nth)
        try:
            await self._turns(turns)
        except Crash:
            await self.world.restart()
        finally:
            faultpoints.arm(None)

    async def _forgets(self) -> None:
        before = set(self.world.guests())
        await forget(self.world)
        await rebuild(self.world)
        assert set(self.world.guests()) == before
        self.judge.only_machines_remember()
        self.judge.paused = {"destroys"}

    async def _resumed(self) -> None:
        self.judge.paused.clear()
        await self.world.daemon.stores.holds.resume("go", 0, now=2)
        await self.world.daemon.supervisor.resync.enqueue_all("resumed")

    async def _rests(self) -> None:
        await self._settled()
        self.judge.look()
        self._put_back()
        self._remove_what_clones_left()
        for vmid in self.judge.switched_off & set(self.world.guests()):
            if self._whole(vmid) and not self.world.cluster.guest(vmid).running:
                self.world.cluster.start_guest(vmid)
        self.judge.switched_off.clear()
        for token in TOKENS:
            await self.world.daemon.stores.work.unpark(str(self.world.lease(token)))
        await self._settled()
        if "effects" not in self.judge.paused:
            self.judge.rest()
        assert await verify(self.world.db) == []

    async def _settled(self) -> None:
        """Let the daemon come to rest, the slowest retry and the hour of the budget included."""
        for pause in (400, HOUR, 1):
            await self.world.daemon.supervisor.resync.survey()
            await self.world.daemon.supervisor.resync.enqueue_all("periodic resync")
            await self.world.settle(4000, self.judge.look)
            self.world.confirm()
            self.world.cluster.advance(pause)
            self.judge.look()

    def _put_back(self) -> None:
        """Somebody gives the wiped machines their descriptions back."""
        for vmid in self.judge.wiped:
            self.world.cluster.edit_guest(vmid, description=self.judge.word[vmid])
        self.judge.wiped.clear()

    def _remove_what_clones_left(self) -> None:
        """A node that loses power leaves locked stubs, which only a person may remove."""
        for vmid, guest in self.world.guests().items():
            if guest.lock == CLONING:
                self.world.cluster.remove_guest(vmid)

    def _live(self, token: int) -> Tenancy | None:
        tenancy = latest(self.world.chain).tenancies.get(token)
        return tenancy if tenancy and not tenancy.burnt else None

    def _ours(self, one: int) -> int | None:
        """Return one of our machines that proves to be ours and carries no lock."""
        vmids = [vmid for vmid in self.world.guests() if self._whole(vmid)]
        online = self.world.cluster.state.nodes["pve"].online
        return vmids[one % len(vmids)] if vmids and online else None

    def _whole(self, vmid: int) -> bool:
        guest = self.world.cluster.state.guests.get(vmid)
        if guest is None or guest.lock is not None:
            return False
        stamped = stamps(self.world, vmid)
        return stamped is not None and stamped.configured is not None

    def _forgetful(self) -> bool:
        cluster = self.world.cluster
        whole = not (self.judge.wiped or cluster.state.faults.armed)
        made = all(guest.lock != CLONING for guest in self.world.guests().values())
        return whole and made and cluster.state.nodes["pve"].online
