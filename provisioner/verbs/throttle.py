"""Limit what a machine takes of its node, or lift every limit; a line for each change.

Proxmox has one rate for a network card, in both directions: asked for two, the smaller holds, and
it is said. A quota is a part of the cores that were sold. The card notes that there are limits, so
that no later command takes them for something a template left behind.
"""

from dataclasses import dataclass, replace
from typing import Final

from provisioner.controls import Throttle
from provisioner.driver import PASSING
from provisioner.errors import Declined
from provisioner.verbs.cards import card_of
from provisioner.workshop import Workshop

_MOST_SHARES: Final = 10_000
_MOST_RATE: Final = 100_000_000
_MOST_IOPS: Final = 10_000_000
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """What was asked for: shares, percent, kilobits and operations a second; `reset` lifts all."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None
    bandwidth_in: int | None = None
    bandwidth_out: int | None = None
    iops_read: int | None = None
    iops_write: int | None = None
    reset: bool = False

    def __post_init__(self) -> None:
        given = (
            ("--cpu-shares", self.cpu_shares, 1, _MOST_SHARES),
            ("--cpu-quota", self.cpu_quota, 1, _WHOLE),
            ("--bandwidth-in", self.bandwidth_in, 1, _MOST_RATE),
            ("--bandwidth-out", self.bandwidth_out, 1, _MOST_RATE),
            ("--iops-read", self.iops_read, 1, _MOST_IOPS),
            ("--iops-write", self.iops_write, 1, _MOST_IOPS),
        )
        for name, value, least, most in given:
            if value is not None and not least <= value <= most:
                raise Declined(f"{name} {value}: write a number from {least} to {most}")
        if self.reset == any(value is not None for _, value, *_ in given):
            raise Declined("write what to limit, or --reset alone")


async def throttle(shop: Workshop, name: str, limits: Limits) -> list[str]:
    """Set or lift the limits; returns the lines."""
    while True:
        found = await shop.existing(name)
        card = replace(card_of(found), throttled=not limits.reset)
        wanted, lines = meant(limits, found.config.settings.cores)
        text = shop.settings.site.signer.describe(found.identity, found.stamps, card)
        try:
            await shop.controls.throttle(
                found.node, found.vmid, wanted, text, found.config.digest, kind=found.kind
            )
        except PASSING as error:
            await shop.patience.outlast(error)
            continue
        return lines


def meant(limits: Limits, cores: int) -> tuple[Throttle, list[str]]:
    """Return what to set on a machine with so many cores, and what to say of it."""
    if limits.reset:
        return Throttle(0, 0, 0, 0, 0), ["cpu, bandwidth and iops: no limits"]
    lines = []
    if limits.cpu_shares is not None:
        lines.append(f"cpu shares: {limits.cpu_shares}")
    quota = None if limits.cpu_quota is None else limits.cpu_quota * cores
    if quota is not None:
        lines.append(f"cpu quota: {limits.cpu_quota} % of {cores} cores, {quota / 100:g} cores")
    rates = [each for each in (limits.bandwidth_in, limits.bandwidth_out) if each is not None]
    rate = min(rates, default=None)
    if rate is not None:
        lines.append(f"bandwidth: {rate} kbit/s in each direction, which have one limit")
    if limits.iops_read is not None:
        lines.append(f"iops read: {limits.iops_read}")
    if limits.iops_write is not None:
        lines.append(f"iops write: {limits.iops_write}")
    return Throttle(limits.cpu_shares, quota, rate, limits.iops_read, limits.iops_write), lines
