"""A Proxmox VE cluster's `Controls`: what somebody does to one guest by hand.

As in `hypervisor`, nothing here waits, retries or decides. Limits are written into the keys that
hold them, beside what else those keys say, against the digest of what was read: a disk's line names
its volume, and a line that was written from an old reading could name another one.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from provisioner.backends.proxmox import disklimits
from provisioner.backends.proxmox.answers import Record, number, record, text, upid
from provisioner.backends.proxmox.api import Api, ApiError, JsonValue, ParamValue
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading, sentence, writing
from provisioner.backends.proxmox.guestconfig import parse
from provisioner.backends.proxmox.guestsnapshots import named
from provisioner.backends.proxmox.paths import guest_path
from provisioner.controls import UNKNOWN, ConsoleTicket, Throttle, Usage
from provisioner.errors import NO_DISK_LIMITS, Declined, Permanent, Transient
from provisioner.faultpoints import guarded
from provisioner.model import Kind, PowerState

#: Bytes in a megabyte, as Proxmox counts the rate of a network card.
_RATE: Final = 2**20


class ProxmoxControls:
    """See `provisioner.controls.Controls`."""

    def __init__(self, api: Api) -> None:
        self._api: Api = ByNode(api)

    # ---------------------------------------------------------------------------------- power

    @guarded("controls.shut_down")
    async def shut_down(
        self, node: str, vmid: int, patience: int, *, kind: Kind = Kind.VM
    ) -> str | None:
        """Ask only: without `forceStop` a guest that does not listen goes on."""
        path, wanted = f"{guest_path(node, vmid, kind)}/status/shutdown", {"timeout": patience}
        with writing(f"shutdown of {vmid}"):
            try:
                return upid(await self._api.call("POST", path, wanted), path)
            except ApiError as error:
                if re.fullmatch(r"(VM|CT) \d+ not running", sentence(error)):
                    return None
                raise

    @guarded("controls.reboot")
    async def reboot(self, node: str, vmid: int, patience: int, *, kind: Kind = Kind.VM) -> str:
        path = f"{guest_path(node, vmid, kind)}/status/reboot"
        return await self._task("POST", path, {"timeout": patience})

    # --------------------------------------------------------------------------------- looking

    @guarded("controls.usage")
    async def usage(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> Usage:
        with reading(f"the state of {vmid}"):
            data = await self._api.call("GET", f"{guest_path(node, vmid, kind)}/status/current")
        return _usage(record(data, f"the state of {vmid}"))

    @guarded("controls.console")
    async def console(self, node: str, vmid: int, *, kind: Kind = Kind.VM) -> ConsoleTicket:
        path = f"{guest_path(node, vmid, kind)}/vncproxy"
        with writing(f"console of {vmid}"):
            row = record(await self._api.call("POST", path, {"websocket": True}), path)
        port, ticket = number(row, "port"), text(row, "ticket")
        return ConsoleTicket(node, vmid, port, text(row, "user"), ticket)

    # ---------------------------------------------------------------------------------- limits

    @guarded("controls.throttle")
    async def throttle(
        self,
        node: str,
        vmid: int,
        limits: Throttle,
        description: str,
        digest: str,
        *,
        kind: Kind = Kind.VM,
    ) -> None:
        path = f"{guest_path(node, vmid, kind)}/config"
        with reading(f"the configuration of {vmid}"):
            raw = record(await self._api.call("GET", path), f"VM {vmid}")
        if text(raw, "digest") != digest:
            raise Transient(f"the configuration of {vmid} was changed by somebody else meanwhile")
        params: dict[str, ParamValue] = {**_limited(raw, limits, kind), "description": description}
        with writing(f"limits of {vmid}"):
            await self._api.call("PUT", path, {**params, "digest": digest})

    # ------------------------------------------------------------------------------- snapshots

    @guarded("controls.delete_snapshot")
    async def delete_snapshot(
        self, node: str, vmid: int, name: str, *, kind: Kind = Kind.VM
    ) -> str:
        return await self._task("DELETE", f"{guest_path(node, vmid, kind)}/snapshot/{named(name)}")

    async def _task(
        self, method: str, path: str, params: Mapping[str, ParamValue] | None = None
    ) -> str:
        with writing(f"{method} {path}"):
            return upid(await self._api.call(method, path, params), f"{method} {path}")


# --------------------------------------------------------------------------------- what is read


def _usage(row: Record) -> Usage:
    reads, writes = _operations(row)
    return Usage(
        state=_state(row),
        uptime=number(row, "uptime"),
        cpu=_fraction(row, "cpu"),
        cpus=number(row, "cpus"),
        memory=number(row, "mem"),
        memory_total=number(row, "maxmem"),
        disk_total=number(row, "maxdisk"),
        net_in=number(row, "netin", UNKNOWN),
        net_out=number(row, "netout", UNKNOWN),
        read=number(row, "diskread", UNKNOWN),
        written=number(row, "diskwrite", UNKNOWN),
        reads=reads,
        writes=writes,
    )


def _operations(row: Record) -> tuple[int, int]:
    """Add up the operations of all disks, where QEMU was asked for them and has told.

    A node that had no answer from it in time leaves them out, and the bytes too.
    """
    disks = row.get("blockstat")
    counted = list(disks.values()) if isinstance(disks, dict) else []
    return _sum(counted, "rd_operations"), _sum(counted, "wr_operations")


def _sum(disks: Sequence[JsonValue], key: str) -> int:
    counts = [number(disk, key, UNKNOWN) if isinstance(disk, dict) else UNKNOWN for disk in disks]
    return sum(counts) if counts and min(counts) > UNKNOWN else UNKNOWN


def _fraction(row: Record, key: str) -> float:
    try:
        return max(0.0, float(text(row, key, "0")))
    except ValueError:
        return 0.0


def _state(row: Record) -> PowerState:
    if text(row, "status") == "stopped":
        return PowerState.STOPPED
    if text(row, "status") != "running":
        return PowerState.UNKNOWN
    running = text(row, "qmpstatus", "running") == "running"
    return PowerState.RUNNING if running else PowerState.PAUSED


# ------------------------------------------------------------------------------ what is written


def _limited(raw: Record, limits: Throttle, kind: Kind) -> dict[str, ParamValue]:
    """Return the keys that hold `limits`, changed; `delete` names those that are lifted."""
    send: dict[str, ParamValue] = {}
    gone: list[str] = []
    for key, value in (("cpuunits", limits.cpu_units), ("cpulimit", _cores(limits.cpu_limit))):
        if value:
            send[key] = value
        elif value is not None and key in raw:
            gone.append(key)
    if limits.rate is not None:
        send["net0"] = _with(_line(raw, "net0"), {"rate": _megabytes(limits.rate)})
    operations = (limits.iops_read, limits.iops_write)
    if kind is Kind.CONTAINER:
        if any(operations):
            raise Declined(NO_DISK_LIMITS)
    elif operations != (None, None):
        disk = parse(raw).disk
        if disk is None:
            raise Permanent("it has no boot disk to limit: mend its boot order")
        line = text(raw, disk)
        send[disk] = disklimits.write(line, limits.on(disklimits.read(line)))
    if gone:
        send["delete"] = ",".join(gone)
    return {key: value for key, value in send.items() if value != raw.get(key)}


def _line(raw: Record, key: str) -> str:
    line = text(raw, key)
    if not line:
        raise Permanent(f"it has no {key} to limit")
    return line


def _with(line: str, given: Mapping[str, str]) -> str:
    """Return a property string with `given` in place of what it says; empty takes one away."""
    kept = [part for part in line.split(",") if part.partition("=")[0] not in given]
    return ",".join([*kept, *(f"{key}={value}" for key, value in given.items() if value)])


def _cores(hundredths: int | None) -> str | None:
    if hundredths is None:
        return None
    return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".") if hundredths else ""


def _megabytes(kilobits: int) -> str:
    """Return kilobits a second as Proxmox's megabytes a second; "" for no limit."""
    return f"{kilobits * 125 / _RATE:.6f}".rstrip("0").rstrip(".") if kilobits else ""
