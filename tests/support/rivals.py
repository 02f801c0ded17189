"""One small range of VMIDs, the library that makes machines in it, and a rival who does the same.

No daemon and no database: intents in memory over a simulated cluster, so that a whole history takes
milliseconds. The rival has a token of its own. It takes the VMID that we would take next, takes one
that our machine has just left, and writes our words on its own machines. What it can't do is what
nobody could tell from an operator's own work: to put back, at the same VMID, a machine that has
both our words and our uuid.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from provisioner.allocate import AddressRange, Pool
from provisioner.backends.proxmox.agent import AgentShell
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.backends.proxmox.hypervisor import ProxmoxHypervisor
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.backends.proxmox.snapshot import Snapshots
from provisioner.doorbell import Doorbell
from provisioner.errors import ProvisionError
from provisioner.executor import Executor
from provisioner.identity import Signer
from provisioner.intents import Intents
from provisioner.machines import Machines
from provisioner.model import Access, DesiredMachine, Kind, MachineSpec, Presence, Retirement
from provisioner.placement import Limits
from provisioner.plan import decide
from provisioner.rooms import Rooms
from provisioner.shells import Shells
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import ConfigValue
from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest, ApiResponse
from provisioner.site import Site
from provisioner.taskboard import TaskBoard

TEMPLATE: Final = 9000
FIRST: Final = 20000
LAST: Final = 20003
OURS: Final = "root@pam!sim"
RIVAL: Final = "rival@pve!other"
NAMES: Final = ("a", "b", "c")
GRACE: Final = 600
#: Seconds that a freed VMID rests: short, so that reuse happens within a history.
QUARANTINE: Final = 30
#: Seconds in which everything comes to rest: a start, a shutdown and a grace fit in.
REST: Final = 800
#: Seconds between two rounds while anything is done, and while nothing is.
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
    """The cluster, our library over it, and the rival's machines as it left them."""

    cluster: Cluster = field(default_factory=Cluster)
    wants: dict[str, Want] = field(default_factory=dict)
    rivals: dict[int, dict[str, ConfigValue]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster.add_template(TEMPLATE)
        api = DirectApi(self.cluster)
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
        )
        self._hypervisor = ProxmoxHypervisor(api, ProxmoxSettings((TEMPLATE,)), self._monotonic)
        self._guests = Shells(AgentShell(api, self._sleep), ContainerShell(api))
        self._join(Intents(self._wall))

    def _join(self, log: Intents) -> None:
        self.log = log
        self.board = TaskBoard(self._hypervisor, self._monotonic)
        snapshots = Snapshots(self._hypervisor.snapshot, self._monotonic, 5.0)
        limits = Limits(storage_reserve_gib=0, clones=3)
        rooms = Rooms(
            self._hypervisor, snapshots, log, self.site.pool, templates=(TEMPLATE,), limits=limits
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
            spec=MachineSpec(Kind.VM, 1, 512, 4),
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
        await self.look()
        try:
            have = await self._machines.observe(want)
            decision = decide(self.site, want, have)
            if decision.step is None:
                return False
            await self._executor.run(decision.step, want, have, self._wall())
        except ProvisionError as error:
            self.said.append(str(error))
        return True

    async def forget(self) -> None:
        """Lose every intent, and take up again what proves to be ours, as a rebuild does."""
        self._join(Intents(self._wall))
        for vmid, guest in self.cluster.state.guests.items():
            proof = self.site.signer.prove(str(guest.config.get("description", "")), vmid)
            if proof is not None and not guest.template:
                identity, _ = proof
                await self.log.adopt(identity.key, identity.nonce, vmid, guest.node)

    # ---------------------------------------------------------------------------------- the rival

    def rival_calls(self, method: str, path: str, **params: str) -> ApiResponse:
        """Call the API as the rival."""
        return self.cluster.handle(ApiRequest(method, path, dict(params), self._rival))

    def rival_takes(self, vmid: int, word: str | None) -> None:
        """The rival clones the same template to a VMID of our range, and may write our words."""
        given = {"newid": str(vmid), "name": f"rival-{vmid}"}
        if word is not None:
            given["description"] = word
        self.rival_calls("POST", f"/nodes/pve/qemu/{TEMPLATE}/clone", **given)
        self.cluster.settle()
        self.note_rivals()

    def rival_leaves(self, vmid: int) -> None:
        """The rival destroys a machine of its own."""
        self.rival_calls("DELETE", f"/nodes/pve/qemu/{vmid}")
        self.cluster.settle()
        self.note_rivals()

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
        named = [g.name for g in guests.values() if g.created_by == OURS and g.lock is None]
        assert len(named) == len(set(named)), f"two machines are one: {sorted(named)}"

    def play(self, story: Sequence[Happening]) -> None:
        """Live a whole history, judged after everything that happens, and come to rest."""
        asyncio.run(self._play(story))

    async def _play(self, story: Sequence[Happening]) -> None:
        for happening in story:
            await happening(self)
            self.judge()
        await self._rest()

    async def _rest(self) -> None:
        """Nothing more happens: every machine comes to be what is wanted, where there is room."""
        self.cluster.state.faults.clear()
        end = self.cluster.now + REST
        while self.cluster.now < end:
            busy = [await self.step(name) for name in self.wants]
            self.cluster.advance(STRIDE if any(busy) or await self.log.open_all() else LONG_STRIDE)
            self.judge()
        there = self.cluster.inventory()
        assert (there.leaked_volumes(), there.leaked_firewalls()) == ((), ())
