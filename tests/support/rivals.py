"""One small range of VMIDs, the library that makes machines in it, and a rival who does the same.

No daemon and no database: intents in memory over a simulated cluster, so that a whole history takes
milliseconds. The rival has a token of its own. It takes the VMID that we would take next, takes one
that our machine has just left, and writes our words on its own machines of either kind: any that a
machine of ours ever said there, as they were or with another signature. It may do so while we are
in the middle of a pass. What it can't do is what nobody could tell from an operator's own work: to
put back, at the same VMID, a machine that has both our words and our uuid or MAC; nor to remove
without a task one that was never started, as root on a node could. And it can't stand there before
a call of ours arrives that is on its way: only the writing of settings says whom it means.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.ostemplates import os_template
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.backends.proxmox.snapshot import Snapshots
from provisioner.backends.proxmox.volumes import ProxmoxVolumes
from provisioner.doorbell import Doorbell
from provisioner.errors import NotOurs, ProvisionError
from provisioner.executor import Executor
from provisioner.identity import Signer
from provisioner.intents import Intents
from provisioner.machines import Machines
from provisioner.model import (
    Access,
    DesiredMachine,
    Kind,
    MachineSpec,
    Presence,
    Retirement,
)
from provisioner.placement import Limits
from provisioner.plan import decide
from provisioner.ports import Place
from provisioner.rooms import Rooms
from provisioner.shells import Shells
from provisioner.simulator.cluster import OS_TEMPLATE, Cluster
from provisioner.simulator.guests import ConfigValue
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest, ApiResponse
from provisioner.site import Site
from provisioner.steps.destroy import DESTROY
from provisioner.taskboard import TaskBoard
from tests.support.ambush import Ambushed

TEMPLATE: Final = 9000
FIRST: Final = 20000
LAST: Final = 20003
OURS: Final = "root@pam!sim"
RIVAL: Final = "rival@pve!other"
NAMES: Final = ("a", "b", "c")
#: What is bought under a name, if it is no virtual machine.
CONTAINERS: Final = frozenset({"c"})
_PATHS: Final = {Kind.VM: "qemu", Kind.CONTAINER: "lxc"}
#: What a sentence says of a machine that is owed and not there, for somebody is in the way.
EXCUSES: Final = (
    "quarantine",
    "uuid",
    "MAC",
    "bare clone",
    "proves nothing",
    "left locked",
    "prove to be",
)
#: What a sentence says of a machine that nobody pays for any more, and that stands all the same.
STAYS: Final = ("bare clone", "prove to be")
DESTROYING: Final = frozenset({"qmdestroy", "vzdestroy"})
GRACE: Final = 600
#: Seconds that a freed VMID rests: short, so that reuse happens within a history.
QUARANTINE: Final = 30
#: Seconds in which everything comes to rest: a start, a shutdown and a grace fit in. What goes on
#: then has as many again.
REST: Final = 800
#: Seconds between two rounds while anything new is done or said, and while nothing is.
STRIDE: Final = 20
LONG_STRIDE: Final = 100

Happening: TypeAlias = Callable[["Arena"], Awaitable[None]]


@dataclass(slots=True)
class Want:
    """What is wanted of one machine; `nonce` changes when it is bought anew."""

    presence: Presence
    mint: int = 0
    ended_at: int = 0


@dataclass
class Arena:
    """The cluster, our library over it, and the rival's machines as it left them.

    `overheard` are the words that machines of ours had at each VMID, and `last` is what the last
    pass over each said. `doubles` are machines that two guests said to be when we forgot all;
    `strike` is what somebody does, once, between our look at a machine and its destroy.
    """

    cluster: Cluster = field(default_factory=Cluster)
    wants: dict[str, Want] = field(default_factory=dict)
    rivals: dict[int, dict[str, ConfigValue]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    overheard: dict[int, list[str]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    doubles: set[tuple[str, str]] = field(default_factory=set)
    strike: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        self.cluster.add_template(TEMPLATE)
        archive = self.cluster.add_os_template()
        self.api = api = Ambushed(self.cluster)
        rival = self.cluster.add_token(Token(RIVAL, self.cluster.state.draws.uuid()))
        self._rival = f"{rival.id}={rival.secret}"
        self.site = Site(
            signer=Signer("arena", b"0123456789abcdef0123456789abcdef"),
            pool=Pool(FIRST, LAST, "02:00:00", AddressRange("203.0.113.10/24", "203.0.113.1")),
            bridge="vmbr0",
            nameserver="203.0.113.1",
            user="tenant",
            tags=frozenset({"arena"}),
            shutdown_timeout=60,
            answer_timeout=300,
            token=OURS,
        )
        self._settings = settings = ProxmoxSettings(
            (TEMPLATE,), os_template=archive, container_storage="local"
        )
        self._hypervisor = ProxmoxHypervisor(api, settings, self._monotonic)
        self._guests = Shells(AgentShell(api, self._sleep), ContainerShell(api))
        self._join(Intents(self._wall))

    def _join(self, log: Intents) -> None:
        self.log = log
        self.board = TaskBoard(self._hypervisor, self._monotonic)
        snapshots = Snapshots(self._hypervisor.snapshot, self._monotonic, 5.0)
        limits = Limits(storage_reserve_gib=0, clones=3, storage_overcommit=2.0)
        rooms = Rooms(
            self._hypervisor,
            snapshots,
            log,
            self.site.pool,
            ProxmoxVolumes(self.api),
            templates=(TEMPLATE,),
            limits=limits,
            containers=os_template(self.api, self._settings),
        )
        bell = Doorbell(self._guests, 2, self._monotonic)
        self._machines = Machines(
            self._hypervisor, snapshots, self.board, bell, log, self.site, self._wall
        )
        self._executor = Executor(
            self._hypervisor, snapshots, self._guests, log, self.site, rooms, QUARANTINE
        )

    def _monotonic(self) -> float:
        return self.cluster.now

    def _wall(self) -> int:
        return int(self.cluster.now)

    async def _sleep(self, seconds: float) -> None:
        self.cluster.advance(max(seconds, 0))

    # -------------------------------------------------------------------------------------- ours

    def desired(self, name: str) -> DesiredMachine:
        """Return what is wanted of a machine now; its time is the cluster's."""
        want, now = self.wants[name], self._wall()
        over = want.presence is Presence.SUSPENDED
        return DesiredMachine(
            key=f"cli:{name}",
            nonce=f"{want.mint:032x}",
            name=f"machine-{name}-{want.mint}",
            presence=want.presence,
            spec=MachineSpec(Kind.CONTAINER if name in CONTAINERS else Kind.VM, 1, 512, 4),
            access=Access(0, "0x" + "a1" * 20, ""),
            held=False,
            ended=over,
            at=now,
            retirement=Retirement(want.ended_at, GRACE, now) if over else None,
        )

    async def look(self) -> None:
        """Look at the tasks that are under way, as the poller does."""
        open_ones = [op.upid for _, op in await self.log.open_all() if op.upid]
        try:
            await self.board.look(open_ones)
        except ProvisionError as error:
            self.said.append(str(error))

    async def step(self, name: str) -> bool:
        """Do one pass over a machine; says whether it did something, or tried to."""
        want = self.desired(name)
        self.overhear()
        await self.look()
        try:
            await self._know_apart(want)
            have = await self._machines.observe(want)
            decision = decide(self.site, want, have)
            self.last[name] = decision.reason
            if decision.step is None:
                return False
            if decision.step is DESTROY and self.strike is not None:
                act, self.strike = self.strike, None
                act()
            await self._executor.run(decision.step, want, have, self._wall())
        except ProvisionError as error:
            self.last[name] = str(error)
            self.said.append(str(error))
        return True

    def overhear(self) -> None:
        """Note what our machines say: anybody may who can look at them."""
        for vmid, guest in self.cluster.state.guests.items():
            said = str(guest.config.get("description", ""))
            heard = self.overheard.setdefault(vmid, [])
            new = guest.created_by == OURS and said not in heard
            if new and self.site.signer.prove(said, vmid) is not None:
                heard.append(said)

    async def forget(self) -> None:
        """Lose every intent, and take up again what proves to be ours, as a rebuild does."""
        self._join(Intents(self._wall))
        self.doubles.clear()
        for machine, places in self._proven().items():
            if len(places) > 1:
                self.doubles.add(machine)
            else:
                await self.log.adopt(*machine, places[0].vmid, places[0].node)

    def _proven(self) -> dict[tuple[str, str], list[Place]]:
        """Return which guests say to be each machine, as a survey finds them."""
        found: dict[tuple[str, str], list[Place]] = {}
        for vmid, guest in self.cluster.state.guests.items():
            proof = self.site.signer.prove(str(guest.config.get("description", "")), vmid)
            if proof is not None and not guest.template:
                machine = (proof[0].key, proof[0].nonce)
                found.setdefault(machine, []).append(Place(vmid, guest.node))
        return found

    async def _know_apart(self, want: DesiredMachine) -> None:
        """Do nothing about a machine that two are said to be, as the daemon does, but wait."""
        machine = (want.key, want.nonce)
        if machine not in self.doubles:
            return
        places = self._proven().get(machine, [])
        if len(places) > 1:
            raise NotOurs(f"{len(places)} guests prove to be {want.name}: remove what is not")
        self.doubles.discard(machine)
        for place in places:
            await self.log.adopt(*machine, place.vmid, place.node)

    # ---------------------------------------------------------------------------------- the rival

    def rival_calls(self, method: str, path: str, **params: str) -> ApiResponse:
        """Call the API as the rival."""
        return self.cluster.handle(ApiRequest(method, path, dict(params), self._rival))

    def rival_takes(self, vmid: int, word: str | None, kind: Kind = Kind.VM) -> None:
        """The rival makes a guest of its own at a VMID of our range, and may write our words."""
        self.cluster.advance(max(self.api.arrived - self.cluster.now, 0))
        given = {} if word is None else {"description": word}
        if kind is Kind.VM:
            named = {"newid": str(vmid), "name": f"rival-{vmid}"}
            self.rival_calls("POST", f"/nodes/pve/qemu/{TEMPLATE}/clone", **named, **given)
        else:
            made = {"ostemplate": f"local:vztmpl/{OS_TEMPLATE}", "rootfs": "local:4"}
            named = {"vmid": str(vmid), "hostname": f"rival-{vmid}"}
            net = {"net0": "name=eth0,bridge=vmbr0"}
            self.rival_calls("POST", "/nodes/pve/lxc", **made, **named, **net, **given)
        self.cluster.settle()
        self.note_rivals()

    def rival_leaves(self, vmid: int) -> None:
        """The rival destroys a machine of its own."""
        self.rival_removes(vmid)
        self.note_rivals()

    def rival_removes(self, vmid: int) -> None:
        """The rival has a guest away from its VMID, ours too, by whatever way there is.

        One that was ever started goes without a trace, as root on the node can do it. One that
        stands still it destroys, and one that is being made it breaks off.
        """
        self.overhear()
        guest = self.cluster.guest(vmid)
        for upid, task in list(self.cluster.state.tasks.items()):
            if guest.lock is not None and task.status is None and task.kind == "qmclone":
                self.rival_calls("DELETE", f"/nodes/pve/tasks/{upid}")
        self.cluster.settle()
        if self.cluster.state.guests.get(vmid) is not guest:
            return
        if guest.created_by == OURS and self.was_started(vmid):
            self.cluster.remove_guest(vmid)
        else:
            kind = Kind.CONTAINER if isinstance(guest, Container) else Kind.VM
            self.rival_calls("DELETE", f"/nodes/pve/{_PATHS[kind]}/{vmid}")
            self.cluster.settle()

    def was_started(self, vmid: int) -> bool:
        """Say whether a task tells that the machine that stands at a VMID was once started."""
        made, tasks = self.cluster.guest(vmid).created_at, self.cluster.state.tasks.values()
        began = {(task.id, task.kind) for task in tasks if task.started >= made}
        return bool(began & {(str(vmid), "qmstart"), (str(vmid), "vzstart")})

    def note_rivals(self) -> None:
        """Note how the rival's machines are: nobody but the rival may change that."""
        guests = self.cluster.state.guests
        self.rivals = {v: dict(g.config) for v, g in guests.items() if g.created_by == RIVAL}

    # ----------------------------------------------------------------------------------- the judge

    def judge(self) -> None:
        """Hold the cluster against what must never be."""
        touched = {vmid for token, vmid in self.cluster.state.touched if token == OURS}
        assert not touched, f"we laid hands on {touched}, which are not ours"
        guests = self.cluster.state.guests
        for vmid, config in self.rivals.items():
            assert vmid in guests, f"the rival's {vmid} is gone"
            assert guests[vmid].config == config, f"the rival's {vmid} was changed"
            assert not guests[vmid].running, f"the rival's {vmid} was started"
        named = [g.name for g in guests.values() if g.created_by == OURS and g.lock is None]
        assert len(named) == len(set(named)), f"two machines are one: {sorted(named)}"

    def play(self, story: Sequence[Happening]) -> None:
        """Live a whole history, judged after everything that happens, and come to rest.

        In the end nobody pays for anything any more, and it comes to rest once more.
        """
        asyncio.run(self._play(story))

    async def _play(self, story: Sequence[Happening]) -> None:
        for happening in story:
            await happening(self)
            self.judge()
        self.api.ambush = None
        await self._rest()
        self._judge_rest()
        for want in self.wants.values():
            if want.presence is Presence.RUNNING:
                want.presence, want.ended_at = Presence.SUSPENDED, self._wall()
        await self._rest()
        self._judge_rest()

    def _judge_rest(self) -> None:
        """Hold what is there at rest against what is wanted: just that, or somebody was told why.

        Whose grace is over is gone; one that was made to its end was bought under its name.
        """
        ours = {v: g for v, g in self.cluster.state.guests.items() if g.created_by == OURS}
        running = {guest.name for guest in ours.values() if guest.running}
        for name, want in self.wants.items():
            called, told = self.desired(name).name, self.last[name]
            owed = want.presence is Presence.RUNNING
            if owed is not (called in running):
                assert any(word in told for word in EXCUSES), (
                    f"{name} is not {want.presence}: {told}"
                )
            for vmid in [v for v, guest in ours.items() if guest.name == called and not owed]:
                said = f"{vmid} stands, and its grace is over: {told}"
                assert not self._overdue(vmid, want) or any(word in told for word in STAYS), said
        bought = {f"machine-{n}-{m}" for n, w in self.wants.items() for m in range(w.mint + 1)}
        left = {v: g.name for v, g in ours.items() if g.name not in bought and not g.lock}
        assert not left, f"{left} are nobody's: {self.last}"

    def _overdue(self, vmid: int, want: Want) -> bool:
        """Say whether a machine that ended should be gone: so long ago that it had its pass."""
        said = str(self.cluster.guest(vmid).config.get("description", ""))
        proof = self.site.signer.prove(said, vmid)
        asleep = proof and proof[1].suspended_at
        return not asleep or max(asleep, want.ended_at) + GRACE <= self.cluster.now - LONG_STRIDE

    def destroyed(self) -> Counter[str]:
        """Count by kind what we destroyed."""
        done = [t for t in self.cluster.inventory().tasks if t.token == OURS and t.status == "OK"]
        return Counter(task.kind for task in done if task.kind in DESTROYING)

    async def _rest(self) -> None:
        """Nothing more happens: every machine comes to be what is wanted, where there is room."""
        self.cluster.state.faults.clear()
        begun, goes_on = self.cluster.now, True
        while (rested := self.cluster.now - begun) < REST or (goes_on and rested < 2 * REST):
            before = dict(self.last)
            busy = [await self.step(name) for name in self.wants]
            goes_on = bool(any(busy) and self.last != before) or bool(await self.log.open_all())
            self.cluster.advance(STRIDE if goes_on else LONG_STRIDE)
            self.judge()
        there = self.cluster.inventory()
        assert (there.leaked_volumes(), there.leaked_firewalls()) == ((), ())
