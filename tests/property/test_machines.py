"""Whatever happens, in whatever order: no machine twice, none taken early, strangers untouched.

Buyers, reorgs, crashes, a failing Proxmox, operators and people who change machines by hand act in
an order that nobody wrote down; the judge looks after each of them, and when all is quiet the
cluster has to be what the chain says, on its nodes too where those are reached, with the backups
that the policy wants where there is one. The same runs every time; `CHAINWATCH_SOAK=n` tries n new
ones.
"""

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from chainwatch.domain.desired import Hold
from chainwatch.domain.events import KeysChanged
from chainwatch.store.holds import Scope
from provisioner import faultpoints
from provisioner.simulator.faults import Fault
from tests.support.chain_model import ModelBlock, RawEvent
from tests.support.judge import KEYS
from tests.support.mishaps import faults
from tests.support.realm import (
    ALICE,
    BOB,
    FIRST,
    GRACE,
    HOUR,
    LAST,
    TOKEN,
)
from tests.support.trial import TOKENS, Trial

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))

tokens = st.sampled_from(TOKENS)
people = st.sampled_from((ALICE, BOB))
plans = st.sampled_from((1, 1, 2))
lasting = st.sampled_from((HOUR, 5 * GRACE))
which = st.integers(0, 5)
scopes: st.SearchStrategy[Scope] = st.sampled_from(("effects", "destroys"))
points = st.sampled_from(
    sorted(
        point for point in faultpoints.POINTS if "migrate" not in point and "install" not in point
    )
)


class Machines(Trial):
    """Everything that happens to one installation."""

    def teardown(self) -> None:
        with self.stack:
            if not self.broken:
                self.resume_all()
                self.rest()

    # -------------------------------------------------------------------------------- the chain

    @initialize(
        over_ssh=st.booleans(),
        backed=st.booleans(),
        plan=plans,
        lasts=lasting,
        works=st.booleans(),
    )
    def begin(self, plan: int, lasts: int, *, over_ssh: bool, backed: bool, works: bool) -> None:
        self.open(over_ssh=over_ssh, backed=backed)
        self.world.finalize()
        self.world.buy(1, ALICE, KEYS[ALICE], lasts=lasts, plan=self.plan(plan))
        if works:
            self._run(self._turns(25))

    @rule(token=tokens, owner=people, lasts=lasting, plan=plans)
    def buy(self, token: int, owner: str, lasts: int, plan: int) -> None:
        if not self._live(token):
            self.world.buy(token, owner, KEYS[owner], lasts=lasts, plan=self.plan(plan))
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

    @rule(depth=st.integers(1, 3), replayed=st.booleans())
    def reorg(self, depth: int, *, replayed: bool) -> None:
        """The last blocks never were; perhaps their transactions come again, a block later."""
        chain = self.world.chain
        if len(chain.blocks) < depth + chain.final_lag + 2:
            return
        taken = chain.blocks[-depth:]
        chain.drop(depth)
        chain.mine()
        for block in taken:
            self._mine_again(block if replayed else None)
        self.judge.rewound()
        self._look()

    def _mine_again(self, block: ModelBlock | None) -> None:
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
        if self.world.cluster.state.nodes["pve"].online:
            ours = self.world.guests()
            self.judge.switched_off |= {v for v in ours if not ours[v].config.get("onboot")}
            self.world.cluster.power_cycle("pve")
        self._look()

    @rule(running=st.booleans(), copied=st.one_of(st.none(), which))
    def stranger_comes(self, *, running: bool, copied: int | None) -> None:
        """Somebody makes a machine in our range, perhaps with the description of one of ours."""
        free = [v for v in range(FIRST, LAST + 1) if v not in self.world.cluster.state.guests]
        if len(self.judge.strangers) < 4 and self.world.cluster.state.nodes["pve"].online:
            ours = None if copied is None else self._ours(copied)
            word = self.world.guests()[ours].config["description"] if ours else "a stranger"
            guest = self.world.cluster.add_guest(
                free[0], running=running, config={"description": word}
            )
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
            if not self._whole(vmid) or self.world.cluster.guest(vmid).pending:
                return  # what a boot would still change was asked for before
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


Machines.TestCase.settings = settings(
    max_examples=SOAK or 80,
    stateful_step_count=40,
    derandomize=not SOAK,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestMachines = pytest.mark.timeout(0 if SOAK else 900)(Machines.TestCase)
