"""Holds what the cluster has against what the chain says, knowing nothing of the daemon's records.

`look` is called after everything that happens: what must never be, is not. `rest` is called when
all is quiet: what should be, is. The only thing borrowed from the daemon is the key that its
stamps are signed with.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from chainwatch.domain.desired import Hold
from chainwatch.store.holds import Scope
from provisioner.model import MAKING, Stamps
from provisioner.simulator.guests import ConfigValue, Power
from provisioner.simulator.inventory import Inventory
from provisioner.simulator.state import CallRecord
from tests.support.firewalls import reachable
from tests.support.lives import stamps
from tests.support.realm import ALICE, ALICES_KEY, BOB, BOBS_KEY, GRACE, TOKEN, Realm
from tests.support.tenancies import Tenancy, View, confirmed, final
from tests.support.vault import Vault

#: Tasks that destroy a guest.
DESTROYING: Final = frozenset({"qmdestroy", "vzdestroy"})
KEYS: Final[Mapping[str, str]] = {ALICE: ALICES_KEY, BOB: BOBS_KEY}


@dataclass(frozen=True, slots=True)
class Known:
    """A machine of ours as it was last seen."""

    name: str
    stamps: Stamps
    ran_at: int
    power: Power


@dataclass(slots=True)
class Judge:
    """`holds` are by token; `paused` is what an operator stopped.

    `wiped` machines lost the description that proves whose they are, which `word` remembers;
    `forgotten` says that a database was lost; `disk_gib` is what the plan sells. `left_off` and
    `remade` are tokens whose machine an operator ordered to be switched off, or to be made anew.
    """

    world: Realm
    holds: dict[int, Hold] = field(default_factory=dict)
    paused: set[Scope] = field(default_factory=set)
    strangers: dict[int, dict[str, ConfigValue]] = field(default_factory=dict)
    wiped: dict[int, dict[str, ConfigValue]] = field(default_factory=dict)
    word: dict[int, str] = field(default_factory=dict)
    switched_off: set[int] = field(default_factory=set)
    forgotten: bool = False
    disk_gib: int = 20
    left_off: set[int] = field(default_factory=set)
    remade: set[int] = field(default_factory=set)
    vault: Vault = field(init=False)
    _known: dict[int, Known] = field(default_factory=dict)
    _entitled: set[tuple[str, str]] = field(default_factory=set)
    _minted: set[str] = field(default_factory=set)
    _destroyed: set[str] = field(default_factory=set)
    _calls: int = 0
    _unpaused: float = 0
    _read: tuple[str, View, View] = ("", View(0, {}), View(0, {}))

    def __post_init__(self) -> None:
        self.vault = Vault(self.world)

    # -------------------------------------------------------------------------- what must never be

    def look(self) -> None:
        """Hold the world against everything that must never be."""
        inventory, now, past = self._views()
        self._note_rights(now, past)
        self._one_machine_each()
        self.vault.made_anew(self.remade)
        self.vault.look(self._calls_allowed(inventory), (now, past), self._protected(now))
        self._strangers_untouched()
        self._destroys_allowed(inventory, past)
        self._nobody_enters_who_never_might()
        self._remember(now)

    def _views(self) -> tuple[Inventory, View, View]:
        chain = self.world.chain
        if self._read[0] != chain.head.hash:
            self._read = (chain.head.hash, confirmed(chain), final(chain))
        return self.world.cluster.inventory(), *self._read[1:]

    def witness(self) -> None:
        """Note who was switched off by somebody else just now, between two looks."""
        for vmid, guest in self.world.guests().items():
            if vmid in self._known:
                self._known[vmid] = replace(self._known[vmid], power=guest.power)

    def strangers_left(self) -> None:
        """Note that strangers who are gone now went by themselves: we may have their VMIDs."""
        for vmid in self.strangers.keys() - self.world.cluster.state.guests.keys():
            del self.strangers[vmid]

    def rewound(self) -> None:
        """Note that the chain's time went back."""
        at = confirmed(self.world.chain).at
        for vmid, known in self._known.items():
            self._known[vmid] = Known(known.name, known.stamps, min(known.ran_at, at), known.power)

    def only_machines_remember(self) -> None:
        """Note that a database was lost: of a hold there remains what Proxmox mirrors of it."""
        self.forgotten = True
        self.holds = {
            _token(guest.name): self._mirrored(vmid)
            for vmid, guest in self.world.guests().items()
            if guest.config.get("protection")
        }

    def _mirrored(self, vmid: int) -> Hold:
        marked = stamps(self.world, vmid) or Stamps()
        asleep = marked.suspended_at is not None
        return Hold.SUSPEND if asleep and not marked.ended else Hold.HOLD

    def _note_rights(self, now: View, past: View) -> None:
        for token, tenancy in now.tenancies.items():
            self._minted.add(tenancy.name)
            before = past.tenancies.get(token)
            settled = before and (before.nonce, before.sales) == (tenancy.nonce, tenancy.sales)
            if tenancy.sales == 0 or settled:
                self._entitled.add((tenancy.name, tenancy.key))

    def _one_machine_each(self) -> None:
        guests = self.world.guests().values()
        names = Counter(guest.name for guest in guests if guest.lock not in MAKING)
        assert not [name for name, count in names.items() if count > 1], names
        assert names.keys() <= self._minted, "a machine that nobody ever bought"

    def _strangers_untouched(self) -> None:
        touched = self.world.touched_foreign()
        assert not touched, f"we laid hands on {touched}, which are not ours"
        guests = self.world.cluster.state.guests
        for vmid, config in (self.strangers | self.wiped).items():
            assert vmid in guests, f"{vmid} is not ours and was taken away"
            assert guests[vmid].config == config, f"{vmid} is not ours and was changed"

    def _calls_allowed(self, inventory: Inventory) -> Sequence[CallRecord]:
        """See that what we asked for was allowed; returns what it was."""
        calls, self._calls = inventory.call_log[self._calls :], len(inventory.call_log)
        changing = [
            call
            for call in calls
            if call.token == TOKEN and call.method != "GET" and not call.path.endswith("/ping")
        ]
        if "effects" in self.paused:  # what was on its way by then may still arrive
            asked = [call for call in changing if call.at >= self._unpaused]
            assert not asked, asked
        else:
            self._unpaused = inventory.now
        for call in changing:
            taking = call.method == "DELETE" and call.path.count("/") == 4
            stopping = call.path.endswith(("/shutdown", "/stop"))
            if not (taking or stopping):
                continue
            known = self._known[int(call.path.split("/")[4])]
            hold = self.holds.get(_token(known.name))
            assert not (taking and hold), f"{call.path}: held"
            given = known.stamps.configured
            assert not (stopping and given and hold is Hold.HOLD), f"{call.path}: held"
            assert not (taking and self.paused), f"{call.path}: destroys are paused"
        return changing

    def _protected(self, now: View) -> Collection[int]:
        """Return the tokens that nothing may be taken from."""
        return now.tenancies.keys() if self.paused else self.holds.keys()

    def _destroys_allowed(self, inventory: Inventory, past: View) -> None:
        for task in inventory.tasks:
            if task.kind not in DESTROYING or task.upid in self._destroyed:
                continue
            self._destroyed.add(task.upid)
            known = self._known[int(task.id)]
            assert known.power is Power.STOPPED, f"{task.id} was destroyed and not seen stopped"
            if _token(known.name) in self.remade and known.stamps.suspended_at is None:
                continue
            assert known.stamps.suspended_at is not None, f"{task.id} was never suspended"
            due = _due(known.name, known.stamps.suspended_at, past)
            assert due is not None, f"{task.id} is not finally ended"
            assert past.at >= due, f"{task.id} was destroyed {due - past.at} s early"
            assert past.at >= known.ran_at + GRACE, f"{task.id} had no grace"
            self.vault.saved(known.name, int(task.id), known.stamps.suspended_at)

    def _nobody_enters_who_never_might(self) -> None:
        for vmid, guest in self.world.guests().items():
            for key in KEYS.values():
                if self.world.cluster.admits(vmid, key):
                    assert (guest.name, key) in self._entitled, f"{vmid} lets in {key[-7:]}"

    def _remember(self, now: View) -> None:
        """Note how our machines are; one that is marked as suspended and runs is not running late.

        Who starts it by hand pays for nothing by that, and so it has no other grace. What a wiped
        one was marked with cannot be seen, and holds when it is put back.
        """
        for vmid, guest in self.world.guests().items():
            if vmid in self.wiped:
                continue
            before = self._known.get(vmid)
            stamped = stamps(self.world, vmid) or Stamps()
            runs = guest.running and stamped.suspended_at is None
            fresh = before is None or before.name != guest.name
            ran_at = now.at if fresh or runs or before is None else before.ran_at
            self._known[vmid] = Known(guest.name, stamped, ran_at, guest.power)

    # --------------------------------------------------------------------------- what should be

    def rest(self) -> None:
        """Hold a quiet world against what the chain says should be."""
        _, now, past = self._views()
        guests = self.world.guests()
        made = {vmid: guest for vmid, guest in guests.items() if guest.lock not in MAKING}
        assert guests.keys() == made.keys(), "one was never made to its end"
        names = {guest.name: vmid for vmid, guest in made.items()}
        owed = {each.name: each for each in now.tenancies.values() if self._owed(each, now)}
        assert owed.keys() <= names.keys(), f"{owed.keys() - names.keys()} are owed a machine"
        for name, vmid in names.items():
            if name in owed:
                self._lives(vmid, owed[name])
            elif self._claimed(name, now) and self.holds.get(_token(name)) is not Hold.HOLD:
                self._sleeps(vmid, name, past)
        assert self.world.leaked() == ()
        self.vault.rest((now, past), self._protected(now))

    async def tidy(self) -> None:
        """Have the nodes of a quiet world looked at, and hold them against what should be there."""
        await self.world.tended()
        self.rest()
        inventory, now, _ = self._views()
        assert inventory.leaked_snippets() == ()
        owed = {each.name for each in now.tenancies.values() if self._owed(each, now)}
        lacking = [v for v in inventory.missing_snippets() if inventory.guests[v].name in owed]
        assert not lacking, f"{lacking} are paid for, and their nodes would not start them"

    def _owed(self, tenancy: Tenancy, now: View) -> bool:
        return tenancy.paid(now.at) and self.holds.get(tenancy.token) is not Hold.SUSPEND

    def _claimed(self, name: str, now: View) -> bool:
        """Say whether anybody knows whose a machine is: a lost database and a reorg forget it."""
        return not self.forgotten or _token(name) in now.tenancies

    def _lives(self, vmid: int, tenancy: Tenancy) -> None:
        guest, cluster = self.world.cluster.guest(vmid), self.world.cluster
        off = tenancy.token in self.left_off and not guest.running
        assert off or guest.running, f"{vmid} is paid for and does not run"
        assert off or guest.booted, f"{vmid} runs and never came up"
        config = guest.config | guest.pending  # a running machine takes it over when it is stopped
        sold = tuple(int(config[key] or 0) for key in ("cores", "memory", "onboot"))
        seen = (*sold, guest.boot_disk_size() // 2**30)
        assert seen == (2, 2048, 1, self.disk_gib), f"{vmid} has {seen}"
        assert bool(config.get("protection")) == (tenancy.token in self.holds)
        assert "cipassword" not in config
        self._isolated(vmid)
        if off:  # who may enter is settled when it is started
            return
        assert guest.link_up
        for owner, key in KEYS.items():
            wanted = tenancy.owner == owner and tenancy.key == key
            assert cluster.admits(vmid, key) == wanted, f"{vmid}: {key[-7:]}, {tenancy}"

    def _isolated(self, vmid: int) -> None:
        """See that nobody's neighbour reaches a machine, and that it sends as nobody else."""
        cluster, others = self.world.cluster, self.world.guests().keys() - {vmid}
        cluster.state.firewall_options["enable"] = 1
        firewall = cluster.state.firewalls[vmid]
        assert set(firewall.ipsets) == {"ipfilter-net0"}
        assert not firewall.aliases
        assert reachable(cluster, "198.51.100.1", vmid), f"{vmid} is reached by nobody"
        assert reachable(cluster, vmid, "198.51.100.1", 443)
        assert not reachable(cluster, vmid, "198.51.100.1", 443, source="203.0.113.200")
        pool = self.world.config.machines.pool
        neighbour = str(pool.addresses(pool.last).ipv4).partition("/")[0]
        assert not reachable(cluster, neighbour, vmid), f"{vmid} is reached by neighbours"
        for other in others:
            if "ipconfig0" in cluster.guest(other).config:
                assert not reachable(cluster, vmid, other)

    def _sleeps(self, vmid: int, name: str, past: View) -> None:
        guest, stamped = self.world.cluster.guest(vmid), stamps(self.world, vmid)
        assert not guest.running, f"{vmid} runs, and nobody pays for it"
        assert not guest.config.get("onboot"), f"{vmid} would come back by itself"
        assert stamped is not None, f"{vmid} does not prove whose it is"
        assert stamped.suspended_at is not None, f"{vmid} has no stamp"
        if self.paused or _token(name) in self.holds:
            return
        due = _due(name, stamped.suspended_at, past)
        assert due is None or past.at < due, f"{vmid} is overdue by {past.at - (due or 0)} s"


def _token(name: str) -> int:
    return int(name.split("-")[1])


def _due(name: str, suspended_at: int, past: View) -> int | None:
    """Return the final chain time from which a machine may go; None while it is finally paid."""
    tenancy = past.tenancies.get(_token(name))
    if tenancy is None or tenancy.name != name:
        return suspended_at + GRACE
    if tenancy.paid(past.at):
        return None
    return max(suspended_at, 0 if tenancy.burnt else tenancy.expires_at) + GRACE
