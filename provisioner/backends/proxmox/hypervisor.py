"""A Proxmox VE cluster as a `Hypervisor`: one method, one effect or one reading.

Nothing here waits, retries or decides; what an error means says the table in `errors`. A lost
answer to a read is `Transient`, because a read changes nothing; a lost answer to a write is
`UnknownOutcome`, for somebody may have a machine now. Sources: the API schema, and an 8.4.21.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from provisioner.backends.proxmox import containerconfig, guestconfig
from provisioner.backends.proxmox.answers import Record, flag, number, record, records, text, upid
from provisioner.backends.proxmox.api import Api, ApiError, ParamValue
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import absent, parameter_errors, reading, sentence, writing
from provisioner.backends.proxmox.firewall import GuestFirewall
from provisioner.backends.proxmox.guestsnapshots import named, read_snapshots
from provisioner.backends.proxmox.paths import guest_path
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.backends.proxmox.snapshot import MonotonicClock, read_snapshot
from provisioner.backends.proxmox.tasks import (
    read_clock,
    read_freed,
    read_left,
    read_rows,
    read_states,
)
from provisioner.errors import NO_CONTAINERS, HypervisorDown, Permanent, Transient
from provisioner.faultpoints import guarded
from provisioner.isolation import Isolation
from provisioner.model import GuestConfig, GuestSettings, Kind, Power, PowerState
from provisioner.ports import ClusterSnapshot, SnapshotRow, TaskRow, TaskState
from provisioner.terms import LINKED, Cloning


@dataclass(frozen=True, slots=True)
class Form:
    """How a configuration of one kind is read, and what makes it another."""

    parse: Callable[[Record], GuestConfig]
    changes: Callable[[Record, GuestSettings, str], dict[str, str]]


#: How a configuration of each kind is read and written.
_FORMS: Final[Mapping[Kind, Form]] = {
    Kind.VM: Form(guestconfig.parse, guestconfig.changes),
    Kind.CONTAINER: Form(containerconfig.parse, containerconfig.changes),
}
#: What is told where a storage holds disks.
_DISKS: Final = frozenset({"images", "rootdir"})
#: How many configurations read are kept for the write that may follow.
_REMEMBERED: Final = 256


class ProxmoxHypervisor:
    """One cluster, called as one token; see `provisioner.ports.Hypervisor`.

    `monotonic` stamps snapshots, in seconds; the list of freed VMIDs is kept for `freed_for`.
    """

    def __init__(
        self, api: Api, settings: ProxmoxSettings, monotonic: MonotonicClock, freed_for: float = 60
    ) -> None:
        self._api: Api = ByNode(api)
        self._settings = settings
        self._monotonic = monotonic
        self._read: dict[int, Record] = {}
        self._freed: Mapping[int, int] = {}
        self._freed_since, self._freed_at, self._freed_for = 0, -math.inf, freed_for

    # ------------------------------------------------------------------------------- readings

    @guarded("hypervisor.snapshot")
    async def snapshot(self) -> ClusterSnapshot:
        """Read the whole cluster. Raises Untrusted when it is not evidence."""
        try:
            with reading("the cluster"):
                return await read_snapshot(self._api, self._settings.templates, self._monotonic)
        except Transient as error:
            raise HypervisorDown(str(error)) from error

    @guarded("hypervisor.vmid_is_free")
    async def vmid_is_free(self, vmid: int) -> bool:
        """Ask `nextid`, which needs no privilege and so cannot be fooled by a lost one."""
        with reading(f"VMID {vmid}"):
            try:
                await self._api.call("GET", "/cluster/nextid", {"vmid": vmid})
            except ApiError as error:
                if "already exists" in parameter_errors(error).get("vmid", ""):
                    return False
                raise
        return True

    @guarded("hypervisor.config")
    async def config(
        self, node: str, vmid: int, *, kind: Kind = Kind.VM, running: bool = False
    ) -> GuestConfig | None:
        """Read a VM's configuration, what is pending included unless `running`; None if none is."""
        with reading(f"the configuration of {vmid}"):
            try:
                raw = await self._config(node, vmid, kind, current=running)
            except ApiError as error:
                if absent(error):
                    self._read.pop(vmid, None)
                    return None
                raise
        if not running:
            self._remember(vmid, raw)
        return _FORMS[kind].parse(raw)

    @guarded("hypervisor.power")
    async def power(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Power:
        """Read `status/current`: `status` says running or stopped, `qmpstatus` how it runs."""
        with reading(f"the state of {vmid}"):
            data = await self._api.call("GET", f"{guest_path(node, vmid, kind)}/status/current")
        row = record(data, f"the state of {vmid}")
        cores, memory = number(row, "cpus"), number(row, "maxmem") // 2**20
        return Power(_power(row), number(row, "uptime"), cores, memory)

    @guarded("hypervisor.isolation")
    async def isolation(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Isolation:
        """Read a guest's firewall: options, rules, and the sets and aliases of its own."""
        with reading(f"the firewall of {vmid}"):
            return await GuestFirewall(self._api, node, vmid, kind).read()

    @guarded("hypervisor.task_states")
    async def task_states(self, upids: Collection[str]) -> Mapping[str, TaskState]:
        """Read where tasks of one node stand, by one call; one that it forgot proves nothing."""
        with reading("tasks"):
            return await read_states(self._api, upids)

    @guarded("hypervisor.tasks")
    async def tasks(
        self, node: str, since: int, *, vmid: int | None = None, kind: str | None = None
    ) -> Sequence[TaskRow]:
        """List a node's tasks started at or after `since` (wall seconds), newest first."""
        with reading(f"tasks of {node}"):
            return await read_rows(self._api, node, since, kind, vmid)

    @guarded("hypervisor.clock")
    async def clock(self, node: str) -> int:
        """Ask a node for its time (UTC), which needs `Sys.Audit` there."""
        with reading(f"the clock of {node}"):
            return await read_clock(self._api, node)

    @guarded("hypervisor.freed")
    async def freed(self, since: int) -> AbstractSet[int]:
        """Return the VMIDs whose destruction was begun on a node that is online.

        What was read is kept for a while: a VMID that we free ourselves is in our own records.
        """
        if since < self._freed_since or self._monotonic() - self._freed_at >= self._freed_for:
            with reading("the task lists"):
                self._freed = await read_freed(self._api, since)
            self._freed_since, self._freed_at = since, self._monotonic()
        return frozenset(vmid for vmid, began in self._freed.items() if began >= since)

    @guarded("hypervisor.volumes")
    async def volumes(
        self, node: str, vmid: int, *, destroyed_by: str | None = None
    ) -> Sequence[str]:
        """List the disks of `vmid`. Raises Transient while an enabled storage is away.

        What lies on a storage that is disabled, or no longer the cluster's, nobody lists: there the
        log of the task that destroyed the guest is asked which volumes it had to leave.
        """
        found: list[str] = []
        with reading(f"the volumes of {vmid}"):
            storages = await self._storages(node)
            for storage in storages:
                path = f"/nodes/{node}/storage/{storage}/content"
                rows = records(await self._api.call("GET", path, {"vmid": vmid}), path)
                of_guest = (row for row in rows if number(row, "vmid") == vmid)
                found += [text(r, "volid") for r in of_guest if text(r, "content") != "backup"]
            if destroyed_by is not None:
                left = await read_left(self._api, destroyed_by)
                found += [volume for volume in left if volume.partition(":")[0] not in storages]
        return sorted(found)

    # -------------------------------------------------------------------------------- effects

    @guarded("hypervisor.clone")
    async def clone(
        self,
        node: str,
        template: int,
        vmid: int,
        name: str,
        description: str,
        *,
        target: str | None = None,
        cloning: Cloning = LINKED,
    ) -> str:
        """Clone `template` on `node` to `vmid`, which reserves it. Returns the template's UPID.

        To stand on another node as `target` it needs storages that both share.
        """
        params: dict[str, ParamValue] = {
            "newid": vmid,
            "name": name,
            "description": description.rstrip(),
            "full": cloning.full,
        }
        if target is not None and target != node:
            params["target"] = target
        if self._settings.pool is not None:
            params["pool"] = self._settings.pool
        if cloning.full and cloning.storage is not None:
            params["storage"] = cloning.storage
        return await self._task("POST", f"{guest_path(node, template)}/clone", params)

    @guarded("hypervisor.create_container")
    async def create_container(
        self,
        node: str,
        vmid: int,
        settings: GuestSettings,
        description: str,
        *,
        disk_gib: int,
        keys: str,
        storage: str | None = None,
    ) -> str:
        """Make a container out of the OS template; its VMID is taken when this answers.

        Raises Permanent where the configuration names no OS template.
        """
        settled = self._settings
        if settled.os_template is None or settled.container_storage is None:
            raise Permanent(NO_CONTAINERS)
        params: dict[str, ParamValue] = {
            "vmid": vmid,
            "ostemplate": settled.os_template,
            "rootfs": f"{storage or settled.container_storage}:{disk_gib}",
            "unprivileged": True,
            "features": "nesting=1",
            **containerconfig.changes({}, settings, description),
        }
        if keys:
            params["ssh-public-keys"] = keys
        if settled.pool is not None:
            params["pool"] = settled.pool
        return await self._task("POST", f"/nodes/{node}/lxc", params)

    @guarded("hypervisor.configure")
    async def configure(
        self,
        node: str,
        vmid: int,
        settings: GuestSettings,
        description: str,
        digest: str,
        *,
        kind: Kind = Kind.VM,
    ) -> None:
        """Make a VM's configuration `settings` and `description`; delete what it inherited.

        One `PUT`, guarded by `digest`; none when nothing differs. Raises Transient when `digest`
        is no longer the configuration's.
        """
        raw = await self._raw_at(node, vmid, kind, digest)
        params = _FORMS[kind].changes(raw, settings, description)
        if params:
            with writing(f"configure {vmid}"):
                path = f"{guest_path(node, vmid, kind)}/config"
                await self._api.call("PUT", path, {**params, "digest": digest})

    @guarded("hypervisor.isolate")
    async def isolate(
        self,
        node: str,
        vmid: int,
        wanted: Isolation,
        *,
        base: Isolation | None = None,
        kind: Kind = Kind.VM,
    ) -> None:
        """Make a guest's firewall exactly `wanted`, by as few calls as that takes."""
        with writing(f"the firewall of {vmid}"):
            await GuestFirewall(self._api, node, vmid, kind).make(wanted, base)

    @guarded("hypervisor.resize")
    async def resize(
        self, node: str, vmid: int, disk: str, gib: int, *, kind: Kind = Kind.VM
    ) -> str | None:
        """Grow `disk` to `gib` GiB, absolute, so that doing it twice is doing it once."""
        with writing(f"resize {disk} of {vmid}"):
            path, size = f"{guest_path(node, vmid, kind)}/resize", f"{gib}G"
            data = await self._api.call("PUT", path, {"disk": disk, "size": size})
        return data if isinstance(data, str) else None

    @guarded("hypervisor.start")
    async def start(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Start a VM; that it runs already is the task's error, not the call's."""
        return await self._task("POST", f"{guest_path(node, vmid, kind)}/status/start")

    @guarded("hypervisor.shutdown")
    async def shutdown(
        self, node: str, vmid: int, force_after: int, *, kind: Kind = Kind.VM
    ) -> str:
        """Shut a VM down, by force after so many seconds; a paused one can only be stopped."""
        path = f"{guest_path(node, vmid, kind)}/status"
        with writing(f"shutdown of {vmid}"):
            try:
                data = await self._api.call(
                    "POST", f"{path}/shutdown", {"timeout": force_after, "forceStop": True}
                )
            except ApiError as error:
                if "is paused" not in sentence(error):
                    raise
                data = await self._api.call("POST", f"{path}/stop")
        return upid(data, f"shutdown of {vmid}")

    @guarded("hypervisor.stop")
    async def stop(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Cut a guest's power; one that stands still already is the task's affair."""
        path = f"{guest_path(node, vmid, kind)}/status/stop"
        return await self._task("POST", path, {"overrule-shutdown": True})

    @guarded("hypervisor.snapshots")
    async def snapshots(
        self, node: str, vmid: int, *, kind: Kind = Kind.VM
    ) -> Sequence[SnapshotRow]:
        """List a guest's snapshots."""
        with reading(f"the snapshots of {vmid}"):
            return await read_snapshots(self._api, guest_path(node, vmid, kind))

    @guarded("hypervisor.take_snapshot")
    async def take_snapshot(self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM) -> str:
        """Take a snapshot of the disks, without what is in memory."""
        path = f"{guest_path(node, vmid, kind)}/snapshot"
        return await self._task("POST", path, {"snapname": named(name)})

    @guarded("hypervisor.roll_back")
    async def roll_back(self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM) -> str:
        """Roll a guest back; it stands still afterwards."""
        path = f"{guest_path(node, vmid, kind)}/snapshot/{named(name)}/rollback"
        return await self._task("POST", path)

    @guarded("hypervisor.destroy")
    async def destroy(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> str:
        """Destroy a stopped VM with the disks that its configuration names, and no others.

        An unreferenced volume with this VMID may belong to somebody who had the VMID before.
        """
        params = {"purge": True, "destroy-unreferenced-disks": False}
        return await self._task("DELETE", guest_path(node, vmid, kind), params)

    # -------------------------------------------------------------------------------- details

    async def _task(
        self, method: str, path: str, params: Mapping[str, ParamValue] | None = None
    ) -> str:
        with writing(f"{method} {path}"):
            return upid(await self._api.call(method, path, params), f"{method} {path}")

    async def _config(self, node: str, vmid: int, kind: Kind, *, current: bool = False) -> Record:
        path, params = f"{guest_path(node, vmid, kind)}/config", {"current": True}
        return record(await self._api.call("GET", path, params if current else None), path)

    def _remember(self, vmid: int, raw: Record) -> None:
        self._read.pop(vmid, None)
        self._read[vmid] = raw
        if len(self._read) > _REMEMBERED:
            del self._read[next(iter(self._read))]

    async def _raw_at(self, node: str, vmid: int, kind: Kind, digest: str) -> Record:
        """Return the configuration that has `digest`: as read before, else read again."""
        raw = self._read.pop(vmid, {})
        if text(raw, "digest") != digest:
            with reading(f"the configuration of {vmid}"):
                raw = await self._config(node, vmid, kind)
        if text(raw, "digest") != digest:
            raise Transient(f"the configuration of {vmid} was changed by somebody else meanwhile")
        return raw

    async def _storages(self, node: str) -> list[str]:
        """Return the storages of disks that can be looked at."""
        told = records(await self._api.call("GET", f"/nodes/{node}/storage"), "storages")
        rows = [row for row in told if not _DISKS.isdisjoint(text(row, "content").split(","))]
        enabled = [row for row in rows if number(row, "enabled", 1)]
        away = [text(row, "storage") for row in enabled if not flag(row, "active")]
        if away:
            raise Transient(f"storage {', '.join(away)} is away: bring it back or disable it")
        return [text(row, "storage") for row in enabled]


def _power(row: Record) -> PowerState:
    """Return the state; a guest that QEMU holds (paused, prelaunch) runs for Proxmox."""
    status = text(row, "status")
    if status == "stopped":
        return PowerState.STOPPED
    if status != "running":
        return PowerState.UNKNOWN
    if text(row, "qmpstatus", status) == "running":
        return PowerState.RUNNING
    return PowerState.PAUSED  # prelaunch, io-error, guest-panicked: a process that can be stopped
