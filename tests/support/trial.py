"""One installation on trial: the world that rules act on, its judge, and how a rule is done.

Rules (`tests/property/test_machines.py`) say what happens; here is how the daemon gets its turns
after it, falls, forgets, and comes to rest, with the judge looking on all the time. In some of them
nodes are reached over SSH: there plan 2 sells containers, and machines read snippets; in some of
them machines are backed up before they are destroyed.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from hypothesis.stateful import RuleBasedStateMachine
from structlog.testing import capture_logs

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from chainwatch.errors import RpcUnavailable
from chainwatch.store.verify import verify
from provisioner import faultpoints
from provisioner.model import MAKING, BackupPolicy
from provisioner.simulator.cluster import Cluster
from tests.support.amnesia import forget, rebuild
from tests.support.chain_model import ModelEndpoint, plan_events
from tests.support.judge import Judge
from tests.support.lives import stamps
from tests.support.realm import (
    GRACE,
    HOUR,
    Crash,
    Realm,
    crash_at,
    realm,
)
from tests.support.tenancies import Tenancy, latest

T = TypeVar("T")

TOKENS: Final = (1, 2, 3)
NODES: Final = NodesConfig("root", 22, Secret(b"not used here"), ("pve 192.0.2.11 t k",))
BACKUPS: Final = BackupPolicy("vault", "stop", 2 * GRACE)


def _adjusted(config: Config, *, over_ssh: bool, backed: bool) -> Config:
    policy = replace(config.policy, backups=BACKUPS if backed else None)
    config = replace(config, policy=policy)
    if not over_ssh:
        return config
    return replace(config, machines=replace(config.machines, cloud_init="base"), nodes=NODES)


class Trial(RuleBasedStateMachine):
    """One installation and its judge."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.log = self.stack.enter_context(capture_logs())
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.world: Realm
        self.judge: Judge
        self.broken = True
        self.rpc_down = False

    def open(self, *, over_ssh: bool, backed: bool) -> None:
        """Open the world that everything happens in."""
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        machines, adjust = Cluster(), partial(_adjusted, over_ssh=over_ssh, backed=backed)
        machines.add_storage(BACKUPS.storage, "nfs")
        plans = [*plan_events(1), *plan_events(2, kind=1)]
        opening = realm(folder, plan=plans, cluster=machines, adjust=adjust)
        self.world = self.runner.run(opening.__aenter__())
        self.stack.callback(lambda: self.runner.run(opening.__aexit__(None, None, None)))
        self.judge = Judge(self.world)
        self.broken = False
        endpoint = self.world.chain.rpc.endpoints[0]
        assert isinstance(endpoint, ModelEndpoint)
        endpoint.tamper = self._answered

    def plan(self, plan: int) -> int:
        """Return the plan that is bought: nobody gets into a container of a node out of reach."""
        return plan if self.world.config.nodes else 1

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
        self._unlock()
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
            await self.judge.tidy()
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

    def _unlock(self) -> None:
        """Somebody unlocks what no task works on: a node that lost power left its locks behind."""
        cluster = self.world.cluster
        if any(task.status is None for task in cluster.state.tasks.values()):
            return
        for vmid, guest in self.world.guests().items():
            if guest.lock is not None and guest.lock not in MAKING:
                cluster.edit_guest(vmid, lock=None)

    def _remove_what_clones_left(self) -> None:
        """A node that loses power leaves locked stubs, which only a person may remove."""
        for vmid, guest in self.world.guests().items():
            if guest.lock in MAKING:
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
        made = all(guest.lock not in MAKING for guest in self.world.guests().values())
        return whole and made and cluster.state.nodes["pve"].online
