"""Whatever happens, in whatever order: no machine twice, none taken early, strangers untouched.

Buyers, reorgs, crashes, a failing Proxmox, operators and people who change machines by hand act in
an order that nobody wrote down; the judge looks after each of them, and when all is quiet the
cluster has to be what the chain says. The same runs every time; `CHAINWATCH_SOAK=n` tries n new
ones.
"""

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from structlog.testing import capture_logs

from chainwatch.domain.desired import Hold
from chainwatch.domain.events import KeysChanged
from chainwatch.errors import RpcUnavailable
from chainwatch.store.holds import Scope
from chainwatch.store.verify import verify
from provisioner import faultpoints
from provisioner.simulator.faults import Fault, FaultName
from tests.support.amnesia import forget, rebuild
from tests.support.chain_model import ModelBlock, ModelEndpoint, RawEvent
from tests.support.judge import CLONING, KEYS, Judge
from tests.support.lives import stamps
from tests.support.realm import (
    ALICE,
    BOB,
    FIRST,
    GRACE,
    HOUR,
    LAST,
    TOKEN,
    Crash,
    Realm,
    crash_at,
    realm,
)
from tests.support.tenancies import Tenancy, latest

T = TypeVar("T")

TOKENS: Final = (1, 2, 3)
SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))

tokens = st.sampled_from(TOKENS)
people = st.sampled_from((ALICE, BOB))
lasting = st.sampled_from((HOUR, 5 * GRACE))
which = st.integers(0, 5)
scopes: st.SearchStrategy[Scope] = st.sampled_from(("effects", "destroys"))
points = st.sampled_from(
    sorted(
        point for point in faultpoints.POINTS if "migrate" not in point and "install" not in point
    )
)

_READ: Final = ("GET", "*")
_GUEST: Final = "/nodes/pve/qemu/2????"
_WRITES: Final = (
    ("POST", "*/clone"),
    ("PUT", f"{_GUEST}/config"),
    ("PUT", f"{_GUEST}/resize"),
    ("POST", f"{_GUEST}/status/*"),
    ("POST", f"{_GUEST}/agent/*"),
    ("DELETE", f"{_GUEST}*"),
)
_TASKS: Final = (*_WRITES[0:1], *_WRITES[2:4], ("DELETE", _GUEST))
_SLOW: Final = (_READ, *_WRITES[:3], ("POST", f"{_GUEST}/status/start"))

faults = st.one_of(
    st.builds(
        lambda name, call, nth: Fault(name, call[0], call[1], nth=nth),
        st.sampled_from(
            (
                FaultName.REFUSE,
                FaultName.LOSE_REPLY,
                FaultName.UNREACHABLE,
                FaultName.PROXY_DOWN,
                FaultName.PROXY_BROKEN,
                FaultName.HTML,
            )
        ),
        st.sampled_from((_READ, *_WRITES)),
        st.integers(1, 4),
    ),
    st.builds(
        lambda call, text: Fault(FaultName.TASK_FAILS, call[0], call[1], text=text),
        st.sampled_from(_TASKS),
        st.sampled_from(
            ("unexpected status", "interrupted by signal", "No space left on device", "whatever")
        ),
    ),
    st.builds(lambda call: Fault(FaultName.TASK_WARNS, call[0], call[1]), st.sampled_from(_TASKS)),
    st.builds(
        lambda call, seconds: Fault(FaultName.HANG, call[0], call[1], seconds=seconds),
        st.sampled_from(_SLOW),
        st.sampled_from((20.0, 40.0)),
    ),
    st.builds(
        lambda path: Fault(FaultName.EMPTY, path=path),
        st.sampled_from(("/cluster/resources", "/cluster/status")),
    ),
    st.builds(
        lambda call: Fault(FaultName.REFUSE, call[0], call[1], status=401), st.sampled_from(_WRITES)
    ),
)


class Machines(RuleBasedStateMachine):
    """One installation and everything that happens to it."""

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

    def teardown(self) -> None:
        with self.stack:
            if not self.broken:
                self.resume_all()
                self.rest()

    # -------------------------------------------------------------------------------- the chain

    @initialize(lasts=lasting, works=st.booleans())
    def begin(self, lasts: int, *, works: bool) -> None:
        self.world.finalize()
        self.world.buy(1, ALICE, KEYS[ALICE], lasts=lasts)
        if works:
            self._run(self._turns(25))

    @rule(token=tokens, owner=people, lasts=lasting)
    def buy(self, token: int, owner: str, lasts: int) -> None:
        if not self._live(token):
            self.world.buy(token, owner, KEYS[owner], lasts=lasts)
        self._look()

    @rule(token=tokens, lasts=lasting)
    def renew(self, token: int, lasts: int) -> None:
        if tenancy := self._live(token):
            left = max(tenancy.expires_at - self.world.chain.head.timestamp, 0)
            self.world.renew(token, lasts=left + lasts)
        self._look()

    @rule(token=tokens, with_key=st.booleans())
    def transfer(self, token: int, *, with_key: bool) -> None:
        if tenancy := self._live(token):
            recipient = BOB if tenancy.owner == ALICE else ALICE
            self.world.transfer(token, tenancy.owner, recipient)
            if with_key:
                self.world.mine(KeysChanged(token, KEYS[recipient], "0x"))
        self._look()

    @rule(token=tokens)
    def burn(self, token: int) -> None:
        if tenancy := self._live(token):
            self.world.burn(token, tenancy.owner)
        self._look()

    @rule(depth=st.integers(1, 3), replayed=st.booleans(), owner=people)
    def reorg(self, depth: int, owner: str, *, replayed: bool) -> None:
        """The last blocks never were; perhaps their transactions come again, a block later."""
        chain = self.world.chain
        if len(chain.blocks) < depth + chain.final_lag + 2:
            return
        taken = chain.blocks[-depth:]
        chain.drop(depth)
        chain.mine()
        for block in taken:
            self._mine_again(block if replayed else None, owner)
        self.judge.rewound()
        self._look()

    def _mine_again(self, block: ModelBlock | None, owner: str) -> None:
        said = block.said if block else ()
        events = [event for event, _ in said if not isinstance(event, RawEvent)]
        self.world.mine(*events, tx=said[0][1] if said else None)

    @rule(seconds=st.sampled_from((12, 600, 2 * HOUR)), finalized=st.booleans())
    def time_passes(self, seconds: int, *, finalized: bool) -> None:
        self.world.pass_time(seconds)
        if finalized:
            self.world.finalize()
        self._look()

    @rule(token=tokens, seen=st.booleans())
    def runs_out(self, token: int, *, seen: bool) -> None:
        """Time passes until a lease is over, and the daemon sees it."""
        if tenancy := self._live(token):
            self.world.pass_time(max(tenancy.expires_at - self.world.chain.head.timestamp, 0) + 1)
        if seen:
            self._run(self._turns(15))

    @rule(token=tokens, turns=st.integers(1, 20))
    def ends(self, token: int, turns: int) -> None:
        """A lease and its grace are over for good, in the ordinary way."""
        self.runs_out(token, seen=True)
        self.grace_passes(finalized=True)
        self._run(self._turns(turns))

    @rule(finalized=st.booleans())
    def grace_passes(self, *, finalized: bool) -> None:
        self.world.pass_time(GRACE + 1)
        if finalized:
            self.world.finalize()
        self._look()

    @rule(seconds=st.sampled_from((12, 2 * HOUR, 2 * GRACE)), token=tokens, renewed=st.booleans())
    def rpc_away(self, seconds: int, token: int, *, renewed: bool) -> None:
        """The node cannot be asked while time passes, and perhaps somebody renews."""
        self.rpc_down = True
        self._run(self._turns(1))
        self.world.pass_time(seconds)
        if renewed:
            self.renew(token, 5 * GRACE)
        self._run(self._turns(3))
        self.rpc_down = False

    # ------------------------------------------------------------------------------- the daemon

    @rule(turns=st.sampled_from((1, 2, 3, 5, 8, 30)))
    def work(self, turns: int) -> None:
        self._run(self._turns(turns))

    @rule(point=points, nth=st.integers(1, 3), turns=st.integers(1, 20))
    def crash(self, point: str, nth: int, turns: int) -> None:
        self._run(self._falls(point, nth, turns))

    @precondition(lambda self: self._forgetful())
    @rule()
    def lose_the_database(self) -> None:
        self._run(self._forgets())

    # ------------------------------------------------------------------------------ the cluster

    @rule(seconds=st.sampled_from((1, 5, 30, 400, HOUR, 8000)))
    def cluster_time(self, seconds: int) -> None:
        self.world.cluster.advance(seconds)
        self._look()

    @rule(fault=faults)
    def fails(self, fault: Fault) -> None:
        if len(self.world.cluster.state.faults.armed) < 4:
            self.world.cluster.arm(fault)

    @rule(turns=st.integers(1, 5))
    def quorum_is_lost(self, turns: int) -> None:
        self.world.cluster.set_quorum(quorate=False)
        self._run(self._turns(turns))
        self.world.cluster.set_quorum(quorate=True)

    @rule(turns=st.integers(1, 5))
    def token_loses_its_rights(self, turns: int) -> None:
        self.world.cluster.set_grants(TOKEN, everything=False)
        self._run(self._turns(turns))
        self.world.cluster.set_grants(TOKEN, everything=True)

    @rule()
    def power_cut(self) -> None:
        whole = all(map(self._whole, self.world.guests()))
        if whole and self.world.cluster.state.nodes["pve"].online:
            ours = self.world.guests()
            self.judge.switched_off |= {v for v in ours if not ours[v].config.get("onboot")}
            self.world.cluster.power_cycle("pve")
        self._look()

    @rule(running=st.booleans())
    def stranger_comes(self, *, running: bool) -> None:
        free = [v for v in range(FIRST, LAST + 1) if v not in self.world.cluster.state.guests]
        if len(self.judge.strangers) < 4 and self.world.cluster.state.nodes["pve"].online:
            guest = self.world.cluster.add_guest(free[0], running=running)
            self.judge.strangers[free[0]] = dict(guest.config)
        self._look()

    # -------------------------------------------------------------------------- hands in the way

    @rule(one=which, config=st.sampled_from(({"cores": 7}, {"onboot": 0}, {"onboot": 1})))
    def settings_changed(self, one: int, config: dict[str, int]) -> None:
        if vmid := self._ours(one):
            self.world.cluster.edit_guest(vmid, **config)

    @rule(one=which)
    def stamps_forged(self, one: int) -> None:
        if vmid := self._ours(one):
            text = str(self.world.cluster.guest(vmid).config["description"])
            forged = text.replace('"suspended_at":null', '"suspended_at":1')
            self.world.cluster.edit_guest(vmid, description=forged)
        self._look()

    @rule(one=which)
    def description_wiped(self, one: int) -> None:
        if vmid := self._ours(one):
            self.world.cluster.settle()
            if not self._whole(vmid):
                return
            self.judge.word[vmid] = str(self.world.cluster.guest(vmid).config["description"])
            self.world.cluster.edit_guest(vmid, description="nothing to see here")
            self.judge.wiped[vmid] = dict(self.world.cluster.guest(vmid).config)
        self._look()

    @rule(one=which)
    def switched_by_hand(self, one: int) -> None:
        if vmid := self._ours(one):
            if self.world.cluster.guest(vmid).running:
                self.world.cluster.stop_guest(vmid)
                self.judge.switched_off.add(vmid)
            else:
                self.world.cluster.start_guest(vmid)
        self._look()

    @rule(one=which)
    def removed_by_hand(self, one: int) -> None:
        if vmid := self._ours(one):
            self.world.cluster.settle()
            if self._whole(vmid):
                self.world.cluster.stop_guest(vmid)
                self.world.cluster.remove_guest(vmid)
        self._look()

    # ----------------------------------------------------------------------------- the operators

    @rule(token=tokens, kind=st.sampled_from(Hold))
    def hold(self, token: int, kind: Hold) -> None:
        if self._run(self.world.daemon.stores.leases.get(str(self.world.lease(token)))) is None:
            return
        holds, lease = self.world.daemon.stores.holds, str(self.world.lease(token))
        if token in self.judge.holds:
            lifted = self.judge.holds.pop(token)
            self._run(holds.release(lease, lifted, "enough", 0, now=1))
        else:
            self.judge.holds[token] = kind
            self._run(holds.hold(lease, kind, "because", 0, now=1))

    @rule(scope=scopes, turns=st.integers(1, 10))
    def pause(self, scope: Scope, turns: int) -> None:
        before = set(self.judge.paused)
        self.judge.paused.add(scope)
        self._run(self.world.daemon.stores.holds.pause(scope, "lunch", 0, now=1))
        self._run(self._turns(turns))
        if not before:
            self._run(self._resumed())

    @rule()
    def resume_all(self) -> None:
        self._run(self._resumed())

    # ---------------------------------------------------------------------------------- the rest

    @rule()
    def rest(self) -> None:
        """Everything works again and nothing more happens: what should be, is."""
        cluster = self.world.cluster
        cluster.state.faults.clear()
        cluster.advance(cluster.settings.durations.node_boot + 60)
        self.world.confirm()
        self.world.finalize()
        self._run(self._rests())

    # ---------------------------------------------------------------------------- how it is done

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
            self.judge.look()
            self.world.cluster.advance(1)

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
        self.judge.forgotten = True
        self.judge.holds.clear()
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
            await self.world.settle(4000)
            self.judge.look()
            self.world.confirm()
            self.world.cluster.advance(pause)

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


Machines.TestCase.settings = settings(
    max_examples=SOAK or 80,
    stateful_step_count=40,
    derandomize=not SOAK,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestMachines = pytest.mark.timeout(0 if SOAK else 300)(Machines.TestCase)
