"""Looks at the machines' firewalls, one after the other, and has what somebody changed made again.

A firewall is not read when a machine is looked at: that would be four calls of every pass. Instead
each machine's turn comes once an hour, as far as so many calls a minute and node go; beyond that
the round takes longer. What is read is held against the stamp on the machine. One that differs is a
suspect, which its next pass reads for itself and repairs; an alarm tells of it until then.
Suspicion is memory only: after a restart the next round finds the same again.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.workqueue import WorkQueue
from provisioner.errors import ProvisionError
from provisioner.ports import ClusterSnapshot, GuestRow, Hypervisor, Snapshots
from provisioner.site import Site

log = structlog.get_logger(__name__)

#: Seconds between two looks, and in which every machine should have had its turn.
LOOK_EVERY: Final = 60.0
ROUND: Final = 3600.0
#: How many machines a look reads at most for each node: five calls each, one in two seconds.
MOST_PER_NODE: Final = 6
#: How old a snapshot (in seconds) serves to find where they stand.
FRESH: Final = 300.0
ALARM: Final = "firewall-changed"


class Index(Protocol):
    """Which VMIDs prove to be a machine, by key and nonce, as the last survey saw it."""

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[int, ...]]: ...


@dataclass(slots=True)
class FirewallWatch:
    """`suspects` are VMIDs that the passes read the firewall of; `keys` are whose those are."""

    hypervisor: Hypervisor
    snapshots: Snapshots
    index: Index
    work: WorkQueue
    alarms: Alarms
    site: Site
    clock: Clock
    suspects: set[int]
    wake: Callable[[], None]
    keys: dict[int, str] = field(default_factory=dict)
    _last: int = -1

    async def run(self) -> None:
        """Look for ever."""
        for alarm in await self.alarms.all():
            if alarm.name == ALARM:
                await self.alarms.clear(ALARM, alarm.subject)
        while True:
            await self.clock.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """Read those whose turn it is; end the alarms about those that are right again."""
        await self._settle()
        try:
            snapshot = await self.snapshots.get(max_age=FRESH)
        except ProvisionError:
            return
        for vmid, key in self._turn(snapshot):
            try:
                await self._read(snapshot.guests[vmid], key)
            except ProvisionError as error:  # it has its turn again in the next round
                log.info("firewall not read", vmid=vmid, error=str(error))
            self._last = vmid

    def _turn(self, snapshot: ClusterSnapshot) -> list[tuple[int, str]]:
        """Return the machines that come next, each with its key."""
        places = self.index.places.items()
        whose = {vmids[0]: key for (key, _), vmids in places if len(vmids) == 1}
        there = [v for v in whose if v in snapshot.guests]
        read = [v for v in there if snapshot.guests[v].node in snapshot.nodes]
        share = math.ceil(len(read) * LOOK_EVERY / ROUND)
        count = min(share, MOST_PER_NODE * len(snapshot.nodes))
        later = sorted(read, key=lambda vmid: (vmid <= self._last, vmid))
        return [(vmid, whose[vmid]) for vmid in later[:count]]

    async def _read(self, row: GuestRow, key: str) -> None:
        node, vmid = row.node, row.vmid
        before = await self._stamp(row)
        if before is None:
            return  # not configured yet, or not ours to judge: that is for its pass to say
        firewall = await self.hypervisor.isolation(node, vmid, kind=row.kind)
        if firewall.stamp == before or await self._stamp(row) != before:
            return  # it is right, or is just being made another one
        self.suspects.add(vmid)
        self.keys[vmid] = key
        text = f"VM {vmid}: somebody changed its firewall; it is made again as its plan says"
        log.warning("firewall changed", lease=key, vmid=vmid, node=node)
        await self.alarms.raise_(ALARM, key, "warning", text, self.clock.now())
        await self.work.enqueue([key], "its firewall was changed")
        self.wake()

    async def _stamp(self, row: GuestRow) -> str | None:
        """Return the stamp of the firewall that a machine was given; None where it has none."""
        config = await self.hypervisor.config(row.node, row.vmid, kind=row.kind)
        proof = self.site.signer.prove(config.description, row.vmid) if config else None
        if config is None or config.lock or proof is None:
            return None
        return proof[1].configured

    async def _settle(self) -> None:
        """End the alarms about machines that a pass found right, or that are gone."""
        stand = {vmid for vmids in self.index.places.values() for vmid in vmids}
        for vmid, key in list(self.keys.items()):
            if vmid not in self.suspects or vmid not in stand:
                self.suspects.discard(vmid)
                del self.keys[vmid]
                await self.alarms.clear(ALARM, key)
