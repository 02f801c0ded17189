"""The daemon as a process of its own, over a real chain and a simulated cluster.

`grounds` is what installations share: an anvil and a simulator. An `installation` brings all that
is its own: folder, secrets, contract, range of VMIDs (with a stranger's machine standing in it) and
a daemon that can be started, killed and started again. So one test can end badly without the next
one noticing, and what became of it is read from the simulator's inventory and from nowhere else.
Everything is ended by its pid when its block is left, and the kernel ends it should we die first.
"""

import asyncio
import grp
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

from chainwatch.admin.client import Json
from chainwatch.demo import anvil, cluster
from chainwatch.demo.buyer import LeaseContract, PlanOffer, open_shop
from chainwatch.demo.cluster import Cluster, Guest, Inventory, Task
from chainwatch.demo.status import StatusSocket
from provisioner import faultpoints
from tests.support.anvil import CHAIN_ID, Anvil
from tests.support.nursery import Nursery
from tests.support.processes import PATIENCE, Life, chainwatch

#: Virtual seconds of the cluster in a real one: a machine has booted, and has long been up, before
#: anybody can look, so the daemon learns nothing from how long that took.
SPEED: Final = 1_000.0
GRACE: Final = 86_400
HOUR: Final = 3_600
#: VMIDs of one installation; the stranger stands on the second.
RANGE: Final = 8
KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"
)

Value: TypeAlias = str | int | float | bool | list[str] | list[int]
Settings: TypeAlias = dict[str, dict[str, Value]]

_ranges = count(20_000, RANGE)


@dataclass(frozen=True, slots=True)
class Grounds:
    """A chain and a cluster, each a process of its own; a small plan (id 1) is sold.

    Daemons are born in the `nursery` if there is one.
    """

    chain: Anvil
    cluster: Cluster
    nursery: Nursery | None = None

    @property
    def token(self) -> str:
        """Who every daemon here is for the hypervisor."""
        return self.cluster.where.token_id

    async def arm(self, **fault: str | float) -> None:
        """Let one call of Proxmox's API go wrong; see `provisioner.simulator.faults.Fault`."""
        await self.control("POST", "faults", fault)

    async def all_struck(self) -> bool:
        """Whether everything that was to go wrong has gone wrong."""
        return (await self.control("GET", "faults"))["unused"] == []

    async def control(
        self, method: str, what: str, body: Mapping[str, str | float] | None = None
    ) -> dict[str, list[dict[str, str]]]:
        """Pull one of the simulator's strings; see `provisioner.simulator.control`."""
        url = f"{self.cluster.where.url}/simulator/{what}"
        async with self.cluster.session.request(method, url, json=body) as answer:
            said = await answer.text()
            assert answer.status == 200, (method, what, said)
            found: dict[str, list[dict[str, str]]] = json.loads(said)
            return found


@asynccontextmanager
async def grounds(folder: Path, *, ssh: bool = False) -> AsyncIterator[Grounds]:
    """Start a chain and a cluster in `folder`, for as long as the block lasts.

    With `ssh` the nodes of the cluster are reached over SSH too.
    """
    async with (
        anvil.running() as chain,
        cluster.running(folder / "proxmox", speed=SPEED, clone_seconds=2.0, ssh=ssh) as machines,
    ):
        yield Grounds(chain, machines)


@dataclass(frozen=True, slots=True)
class Installation:
    """One daemon and all that is its own; `settings` are written anew at every `configure`."""

    grounds: Grounds
    folder: Path
    shop: LeaseContract
    buyer: str
    vmids: range
    settings: Settings
    daemon: Life
    before: Inventory = field(repr=False)

    @property
    def socket(self) -> Path:
        return self.folder / "admin.sock"

    @property
    def database(self) -> Path:
        return self.folder / "state" / "chainwatch.db"

    @property
    def status(self) -> StatusSocket:
        return StatusSocket(self.socket)

    @property
    def stranger(self) -> int:
        """The VMID of a machine in our range that is not ours."""
        return self.vmids[1]

    def configure(self, **tables: dict[str, Value]) -> None:
        """Write the configuration, with the keys of `tables` changed."""
        for table, keys in tables.items():
            self.settings[table] |= keys
        self.daemon.config.touch(mode=0o600)  # keys of nodes stand in it
        self.daemon.config.write_text(_toml(self.settings))

    def lease(self, token: int) -> str:
        """Return the public id of a lease."""
        contract = str(self.settings["source"]["contract"]).lower()
        return f"eip155:{CHAIN_ID}/erc721:{contract}/{token}"

    async def buy(self, *, seconds: int = HOUR) -> int:
        """Buy a lease, say that it is delivered, and confirm both; returns its token."""
        token, _ = await self.shop.mint(1, self.buyer, seconds=seconds, ssh_key=KEY)
        await self.shop.deliver(token)
        await self.grounds.chain.mine()
        return token

    async def ask(self, route: str) -> tuple[int, Json]:
        """GET a route of the status socket, byte by byte; the status and the decoded body."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        try:
            writer.write(f"GET {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        head, _, body = answer.partition(b"\r\n\r\n")
        answered: Json = json.loads(body)
        return int(head.split()[1]), answered

    async def run(self, *arguments: str, point: str | None = None) -> tuple[int, str]:
        """Run a `chainwatch` command to its end, or to fault point `point`.

        Returns its exit code (negative: the signal that killed it) and all that it said.
        """
        said = self.folder / f"command-{secrets.token_hex(4)}.log"
        armed = {} if point is None else {faultpoints.ENVIRONMENT: point}
        armed["CHAINWATCH_SOCKET"] = str(self.socket)
        born_in = self.grounds.nursery
        process = await chainwatch(said, *arguments, nursery=born_in, **armed)
        try:
            async with asyncio.timeout(PATIENCE):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return code, said.read_text()

    # ------------------------------------------------------------------------- what is there

    async def machines(self) -> list[Guest]:
        """Return the machines in our range that a daemon made."""
        return self.made(await self.grounds.cluster.inventory())

    def made(self, inventory: Inventory) -> list[Guest]:
        """Return the machines of `inventory` that stand in our range and that a daemon made."""
        ours = inventory.made_by(self.grounds.token)
        return [guest for guest in ours if guest.vmid in self.vmids]

    async def tasks(self, kind: str) -> list[Task]:
        """Return the tasks of a kind (`qmclone`) on our VMIDs, or on the template for us."""
        inventory = await self.grounds.cluster.inventory()
        return [t for t in inventory.tasks if t.type == kind and t.id in map(str, self.vmids)]

    async def running(self) -> Guest | None:
        """Return the only machine there is once it runs and nothing is under way."""
        inventory = await self.grounds.cluster.inventory()
        machines = self.made(inventory)
        busy = any(task.status is None for task in inventory.tasks)
        if busy or len(machines) != 1 or not (machines[0].booted and machines[0].link_up):
            return None
        return machines[0]

    async def settled(self, token: int) -> bool:
        """Whether the daemon finds a lease's machine as desired, and waits for nothing."""
        if not await self.status.ready():
            return False
        status, story = await self.ask(f"/leases/{self.lease(token)}")
        if status != 200 or not isinstance(story, dict):
            return False
        return story["machines"] != [] and story["waits"] is None

    async def until(
        self, what: str, condition: Callable[[], Awaitable[object]], *, seconds: float = PATIENCE
    ) -> None:
        """Return once `condition` holds; fail when it never does, or the daemon has ended.

        Nobody but other processes knows when that is, so they are asked again and again.
        """
        pause = 0.02
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.daemon.alive:
                    if await condition():
                        return
                    await asyncio.sleep(pause)
                    pause = min(1.2 * pause, 0.2)
        ended = "" if self.daemon.alive else " (the daemon ended)"
        raise AssertionError(f"never came true: {what}{ended}\n{self.daemon.said()[-4000:]}")

    async def provisioned(self, token: int) -> Guest:
        """Wait until the lease's machine runs, and the daemon says that all is as desired."""
        await self.until("its machine runs", self.running)
        await self.until("its lease is settled", lambda: self.settled(token))
        (machine,) = await self.machines()
        return machine

    async def judge(self, machines: int, backups: int = 0) -> None:
        """Hold the cluster against what it may have: our machines, whole, and nothing else of ours.

        So many `backups` of machines of ours are kept.

        AssertionError names what leaked, what is doubled, and which stranger was touched.
        """
        now = await self.grounds.cluster.inventory()
        ours = {guest.vmid for guest in self.made(now)}
        assert len(ours) == machines, f"machines: {sorted(ours)}"
        here = {volume: vmid for volume, vmid in now.volumes.items() if vmid in self.vmids}
        assert {*here.values()} == ours | {self.stranger}, f"volumes: {here}"
        kept = [volume for volume, vmid in now.backups.items() if vmid in self.vmids]
        assert len(kept) == backups, f"backups: {kept}"
        leaked = {*now.volumes.values(), *now.firewalls} - now.guests.keys()
        assert not leaked, f"nobody's volumes and firewalls: {leaked}"
        assert not now.leaked_snippets, f"nobody's snippets: {now.leaked_snippets}"
        assert now.foreign_touched == {}, f"foreign machines touched: {now.foreign_touched}"
        for vmid, stranger in self.before.guests.items():
            if stranger.created_by != self.grounds.token:
                assert _shape(now.guests[vmid]) == _shape(stranger), f"VM {vmid} was changed"


def _shape(guest: Guest) -> tuple[object, ...]:
    """Return what nobody but its maker may change; what runs in it goes its own way."""
    return guest.name, guest.config, guest.power, guest.lock, guest.link_up


@asynccontextmanager
async def installation(
    place: Grounds, folder: Path, *, kind: int = 0
) -> AsyncIterator[Installation]:
    """Found an installation in `folder`; its daemon is not started yet, and killed at the end.

    It sells virtual machines (`kind` 0) or containers (1).
    """
    head = await place.chain.block()
    shop = await open_shop(place.chain)
    await shop.create_plan(PlanOffer(grace=GRACE, kind=kind))
    first = next(_ranges)
    vmids = range(first, first + RANGE)
    await place.cluster.add_stranger(vmids[1], "made-by-hand")
    (folder / "state").mkdir(parents=True, mode=0o700)
    settings = _settings(place, folder, shop.address, head.number + 1, vmids)
    daemon = Life(folder / "chainwatch.toml", folder / "daemon.log", place.nursery)
    _, buyer, *_ = await place.chain.accounts()
    before = await place.cluster.inventory()
    made = Installation(place, folder, shop, buyer, vmids, settings, daemon, before)
    made.configure()
    try:
        yield made
    finally:
        await daemon.kill()


def _settings(
    place: Grounds, folder: Path, contract: str, start_block: int, vmids: range
) -> Settings:
    where = place.cluster.where
    identity_key = folder / "identity-key"
    identity_key.touch(mode=0o600)
    identity_key.write_text(secrets.token_urlsafe(32))
    return {
        "installation": {
            "id": f"test-{vmids.start}",
            "state_dir": str(folder / "state"),
            "identity_key_file": str(identity_key),
        },
        "source": {
            "name": "anvil",
            "chain_id": CHAIN_ID,
            "contract": contract,
            "start_block": start_block,
            "http": [place.chain.url],
            "ws": [],
            "confirmations": 1,
            "poll_interval": 0.1,
            "stale_after": 3600.0,
        },
        "proxmox": {
            "url": where.url,
            "token_id": where.token_id,
            "token_file": str(where.token_file),
            "ca_file": str(where.ca_file),
            # Looked at like anybody's, and never met: what others leave on the cluster counts too.
            "storage_overcommit": 1000.0,
        },
        "machines": {
            "vmid_first": vmids.start,
            "vmid_last": vmids.stop - 1,
            "template_vms": [where.template],
            "nameserver": "203.0.113.1",
        },
        "machines.ipv4": {"first": "203.0.113.10/24", "gateway": "203.0.113.1"},
        "policy": {"tick": 0.05},
        "admin": {
            "socket": str(folder / "admin.sock"),
            "admin_group": grp.getgrgid(os.getegid()).gr_name,
        },
        "log": {"level": "debug", "format": "json"},
    }


def _toml(settings: Settings) -> str:
    """Write settings as TOML, whose strings and lists may be written as JSON's.

    A further source is a table "source NAME"; its own tables follow it.
    """
    lines = []
    for table, keys in settings.items():
        lines.append("[[source]]" if table.split()[0] == "source" else f"[{table}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"
