"""`fakepve`, a Proxmox VE that somebody else made up, as a world for the suites of ours.

It is started as it is, behind TLS, and asked through our own client. Its tasks wait on the clock of
its event loop, so it runs on a loop whose clock only moves when somebody lets time pass: a clone is
under way for as long as a test wants it to be. Its other clock, the one in tasks and snapshots, is
the machine's, and nobody turns that.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from fakepve import FakePve

from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from provisioner.simulator.certificate import write_certificate
from provisioner.simulator.cluster import OS_TEMPLATE
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import ConfigValue
from tests.support.hands import ROOTS, NotOfferedError, nobody_sees
from tests.support.pve import NODE, NOW, TEMPLATE, World, close_and_join, world_of

R = TypeVar("R")

#: Who calls; not of root's, whom the peer grants everything for good.
TOKEN: Final = "chainwatch@pve!sim"
SECRET: Final = "00000000-0000-0000-0000-000000000000"
#: The storage of the disks: the peer knows of no other whose clones take time, here in seconds.
STORAGE: Final = "disks"
CLONE: Final = 8.0
#: In what steps time passes (s), and how often the loop turns in each.
STEP, TURNS = 0.5, 4
LONGEST: Final = 3600.0
BOOT: Final = 60.0

#: What the template has that no machine of ours may keep, as the simulated one has it.
NASTY: Final[dict[str, ConfigValue]] = {
    "memory": "2048",
    "cores": 1,
    "scsihw": "virtio-scsi-pci",
    "ostype": "l26",
    "boot": "order=scsi0",
    "agent": "1",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    "smbios1": "uuid=0b4a9a2c-6d5b-4f5e-8a53-6d0d7a4c1e11",
    "description": "made by hand",
    "tags": "template",
    "onboot": 1,
    "ciuser": "admin",
    "cipassword": "$5$template",
    "ipconfig0": "ip=192.0.2.77/24,gw=192.0.2.1",
    "serial0": "socket",
    "vga": "serial0",
}
FIREWALL: Final[dict[str, Any]] = {
    "options": {"enable": 1, "policy_in": "ACCEPT", "ipfilter": 1},
    "rules": [{"type": "in", "action": "ACCEPT", "enable": 1, "proto": "tcp", "dport": "22"}],
    "ipset": {"ipfilter-net0": [{"cidr": "192.0.2.77"}], "admins": [{"cidr": "198.51.100.0/24"}]},
    "aliases": {"office": {"name": "office", "cidr": "198.51.100.7"}},
}


class HeldLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still unless it is moved."""

    held: float = 0.0

    def time(self) -> float:
        return self.held


def fake() -> FakePve:
    """Return the peer, with one node and one template."""
    made = FakePve(host="127.0.0.1", port=0)
    made.time_scale = 1
    made.nodes.clear()
    made.add_node(NODE)
    made.apitokens[TOKEN] = SECRET
    made.add_ceph_storage(STORAGE)
    made.ceph_slow(CLONE, health="HEALTH_OK")
    made.add_vm(
        TEMPLATE, "debian-template", node=NODE, config=NASTY | _disks(TEMPLATE, "base"),
        template=True,
    )  # fmt: skip
    made.firewall_config("vm", vmid=TEMPLATE).update(deepcopy(FIREWALL))
    return made


def _disks(vmid: int, kind: str) -> dict[str, ConfigValue]:
    return {
        "scsi0": f"{STORAGE}:{kind}-{vmid}-disk-0,size=4G",
        "ide2": f"{STORAGE}:vm-{vmid}-cloudinit,media=cdrom",
    }


class Running:
    """The peer behind TLS on a port of the kernel's choice, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self._certificate, self._key = write_certificate(folder, NOW)
        self.pve = fake()
        self._loop = HeldLoop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fakepve", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "fakepve did not come up"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def endpoint(self) -> ProxmoxEndpoint:
        """Return how to reach it."""
        return ProxmoxEndpoint("127.0.0.1", self.pve.port, TOKEN, SECRET, self._certificate)

    def there(self, work: Coroutine[Any, Any, R]) -> R:
        """Do something on its thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.there(self._advance(lambda: False, seconds))

    def settle(self) -> None:
        """Let time pass until no task runs."""
        self.there(self._advance(self._quiet, LONGEST))

    def _quiet(self) -> bool:
        return all(task["status"] != "running" for task in self.pve.tasklog)

    async def _advance(self, enough: Callable[[], bool], seconds: float) -> None:
        end = self._loop.held + seconds
        await self._turn()
        while self._loop.held < end and not enough():
            self._loop.held = min(end, self._loop.held + STEP)
            await self._turn()

    async def _turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        await self.pve.start(str(self._certificate), str(self._key))
        self._ready.set()
        await self._end.wait()
        runner = self.pve.runner
        for connection in runner.server.connections if runner and runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self.pve.stop())
            while not stopping.done():
                self._loop.held += STEP
                await self._turn()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class PeerHands:
    """`Hands` on the peer, by what it offers to its tests."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._pve = running.pve
        self._passed = 0.0

    def now(self) -> float:
        return time.time() + self._passed  # noqa: TID251 (the peer dates its tasks by it)

    def advance(self, seconds: float) -> None:
        self._running.advance(seconds)
        self._passed += seconds
        for vm in self._pve.vms:
            if vm.started_at is not None:
                vm.started_at -= seconds

    def settle(self) -> None:
        self._running.settle()
        self._pve.ceph_slow(0, health="HEALTH_OK")  # a disk that is written to would wait too

    def let_boot(self, vmid: int) -> None:
        self.silence(vmid, silent=False)
        self.advance(BOOT)

    def calls(self) -> int:
        return len(self._pve.requests)

    def arm(self, *faults: Fault) -> None:
        self._pve.failures.clear()
        for fault in faults:
            status, text = _refusal(fault)
            suffix = fault.path.removeprefix("*")
            known = self._pve.failures.get((fault.method, suffix), {"times": 0})
            html = fault.name is FaultName.HTML
            times = known["times"] + 1
            self._pve.fail(fault.method, suffix, status, text, html=html, times=times)

    def add_guest(self, vmid: int) -> None:
        config = NASTY | _disks(vmid, "vm")
        self._pve.add_vm(vmid, f"guest-{vmid}", node=NODE, config=config)

    def offer_containers(self) -> None:
        self._pve.store_file("local", OS_TEMPLATE, 2**20, content="vztmpl")
        self._pve.storages[ROOTS] = dict(self._pve.storages["local-lvm"])

    def edit_guest(self, vmid: int, **config: ConfigValue | None) -> None:
        vm = self._pve.vm(vmid)
        vm.config = {**vm.config, **config}
        for key in [key for key, value in config.items() if value is None]:
            del vm.config[key]
        if "lock" in config:
            vm.lock = config["lock"]

    def remove_guest(self, vmid: int) -> None:
        self._pve.vms.remove(self._pve.vm(vmid))

    def pause(self, vmid: int) -> None:
        self._pve.vm(vmid).qmpstatus = "paused"

    def ignore_the_button(self, vmid: int) -> None:
        self._pve.vm(vmid).acpi = False

    def silence(self, vmid: int, *, silent: bool) -> None:
        self._pve.vm(vmid).agent = None if silent else {}

    def lose_quorum(self) -> None:
        self._pve.lose_quorum()

    def take_privileges(self, token: str) -> None:
        self._pve.acl = {token: []}

    def revoke(self, token: str) -> Callable[[], None]:
        secret = self._pve.apitokens.pop(token)
        return lambda: self._pve.apitokens.__setitem__(token, secret)

    def enable_storage(self, *, enabled: bool) -> None:
        self._pve.storages[STORAGE]["disable"] = int(not enabled)

    def power_cycle(self, node: str) -> None:
        raise NotOfferedError(f"fakepve cannot cut the power of {node}")

    def leaked_volumes(self) -> tuple[str, ...]:
        named = {
            str(value).partition(",")[0] for vm in self._pve.vms for value in vm.config.values()
        }
        volumes = self._pve.storages[STORAGE].get("volumes", {})
        return tuple(
            name for name in (f"{STORAGE}:{each}" for each in volumes) if name not in named
        )


def _refusal(fault: Fault) -> tuple[int, str]:
    """Return the answer that says what a fault is, where the peer can give it."""
    answers = {
        FaultName.REFUSE: (fault.status, fault.text),
        FaultName.UNREACHABLE: (595, "No route to host"),
        FaultName.PROXY_DOWN: (595, "No route to host"),
        FaultName.HTML: (502, "<html><body>Bad Gateway</body></html>"),
    }
    if fault.name not in answers or fault.nth != 1 or fault.errors:
        raise NotOfferedError(f"fakepve cannot do {fault.name.value}")
    return answers[fault.name]


@contextmanager
def peer_world(folder: Path) -> Iterator[World]:
    """Yield a world of the peer's, called with proxmoxer over TLS."""
    with Running(folder) as running:
        api = ProxmoxerApi(running.endpoint())
        try:
            yield world_of(api, nobody_sees, PeerHands(running), token=TOKEN)
        finally:
            close_and_join(api)
