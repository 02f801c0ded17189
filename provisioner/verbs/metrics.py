"""What a machine uses, in numbers; −1 for every one that nobody tells.

The node counts; two looks a second apart make rates of its counters. A lock is no reason not to
look. The guest's agent is asked one
thing at the same time and never waited for: a guest that is silent, or lies for ever, costs a
monitoring round nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from provisioner.controls import UNKNOWN, Controls, GuestCommands, Inside, Usage
from provisioner.driver import Clock
from provisioner.errors import ProvisionError
from provisioner.model import Kind, PowerState
from provisioner.ports import Place
from provisioner.workshop import Workshop

#: Seconds between the two looks.
BETWEEN: Final = 1.0
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Metrics:
    """The numbers, under the names that monitoring asks for."""

    cpu_percent: float
    cpu_count: int
    memory_used_mb: int
    memory_total_mb: int
    disk_used_mb: int
    disk_total_mb: int
    disk_read_iops: int
    disk_write_iops: int
    disk_read_bytes_sec: int
    disk_write_bytes_sec: int
    net_rx_bytes_sec: int
    net_tx_bytes_sec: int
    net_connections: int
    guest_agent_responsive: bool
    uptime_seconds: int
    state: str


async def metrics(shop: Workshop, name: str) -> Metrics:
    """Measure a machine for a second."""
    found = await shop.shown(name)
    return await measured(
        shop.controls,
        lambda: shop.into(found),
        shop.clock,
        Place(found.vmid, found.node),
        found.kind,
    )


async def measured(
    controls: Controls, way: Callable[[], GuestCommands], clock: Clock, at: Place, kind: Kind
) -> Metrics:
    """Measure the machine that stands there for a second; `way` leads into it, or raises."""
    first = await controls.usage(at.node, at.vmid, kind=kind)
    if first.state is not PowerState.RUNNING:
        return summary(first, first, None, 1)
    begun = clock.monotonic()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(_inside(way, at))
        await clock.sleep(BETWEEN)
        inside = asked.result() if asked.done() else None
        asked.cancel()
    second = await controls.usage(at.node, at.vmid, kind=kind)
    return summary(first, second, inside, clock.monotonic() - begun)


async def _inside(way: Callable[[], GuestCommands], at: Place) -> Inside | None:
    try:
        return await way().inside(at.node, at.vmid)
    except ProvisionError:
        return None


def summary(first: Usage, second: Usage, inside: Inside | None, seconds: float) -> Metrics:
    """Return what two looks and the guest itself tell."""

    def rate(before: int, after: int) -> int:
        if first.state is PowerState.STOPPED:
            return 0
        if UNKNOWN in (before, after):
            return UNKNOWN
        return round(max(0, after - before) / max(seconds, 0.001))

    return Metrics(
        cpu_percent=round(second.cpu * 100, 2),
        cpu_count=second.cpus,
        memory_used_mb=second.memory // MIB,
        memory_total_mb=second.memory_total // MIB,
        disk_used_mb=_mib(inside.disk_used if inside else UNKNOWN),
        disk_total_mb=second.disk_total // MIB,
        disk_read_iops=rate(first.reads, second.reads),
        disk_write_iops=rate(first.writes, second.writes),
        disk_read_bytes_sec=rate(first.read, second.read),
        disk_write_bytes_sec=rate(first.written, second.written),
        net_rx_bytes_sec=rate(first.net_in, second.net_in),
        net_tx_bytes_sec=rate(first.net_out, second.net_out),
        net_connections=inside.connections if inside else UNKNOWN,
        guest_agent_responsive=inside is not None,
        uptime_seconds=second.uptime,
        state=str(second.state),
    )


def _mib(size: int) -> int:
    return UNKNOWN if size == UNKNOWN else size // MIB
