"""Looks at the machines' firewalls, one after the other, and has what somebody changed made again.

A firewall is not read when a machine is looked at: that would be four calls of every pass. Instead
each machine has its turn, once an hour where a node has few of them, once in six hours where it has
many (`turns`). What is read is held against the stamp that the last settled pass saw on the
machine, or else against the one that it carries now. One that differs is a suspect, which its next
pass reads for itself and repairs; an alarm tells of it until then. Suspicion is memory only: after
a restart the next round finds the same again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from chainwatch.control.sights import Sights
from chainwatch.control.turns import LOOK_EVERY, Turns
from chainwatch.runtime.clock import Clock
from chainwatch.store.alarms import Alarms
from chainwatch.store.workqueue import WorkQueue
from provisioner.errors import NodeDown, ProvisionError
from provisioner.ports import ClusterSnapshot, GuestRow, Hypervisor, Snapshots
from provisioner.site import Site

log = structlog.get_logger(__name__)

#: How old a snapshot (in seconds) serves to find where they stand.
FRESH: Final = 300.0
ALARM: Final = "firewall-changed"


class Index(Protocol):
    """Which VMIDs prove to be a machine, by key and nonce, as the last survey saw it."""

    @property
    def places(self) -> Mapping[tuple[str, str], tuple[int, ...]]: ...


@dataclass(slots=True)
class FirewallWatch:
    """`suspects` are VMIDs that the passes read the firewall of; `keys` are whose those are.

    `sights` are what passes saw of settled leases.
    """

    hypervisor: Hypervisor
    snapshots: Snapshots
    index: Index
    work: WorkQueue
    alarms: Alarms
    site: Site
    clock: Clock
    suspects: set[int]
    sights: Sights
    wake: Callable[[], None]
    keys: dict[int, str] = field(default_factory=dict)
    _turns: Turns = field(default_factory=Turns)

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
        whose = self._whose(snapshot)
        standing = {vmid: snapshot.guests[vmid].node for vmid in whose}
        for node, vmids in self._turns.next(standing).items():
            await self._look_on(node, {v: whose[v] for v in vmids}, snapshot)

    def _whose(self, snapshot: ClusterSnapshot) -> Mapping[int, str]:
        """Return the machines that can be read now, each with its key."""
        places = self.index.places.items()
        whose = {vmids[0]: key for (key, _), vmids in places if len(vmids) == 1}
        rows = {vmid: snapshot.guests[vmid] for vmid in whose if vmid in snapshot.guests}
        return {vmid: whose[vmid] for vmid, row in rows.items() if row.node in snapshot.nodes}

    async def _look_on(
        self, node: str, machines: Mapping[int, str], snapshot: ClusterSnapshot
    ) -> None:
        """Read machines of one node; one that does not answer has them read the next time."""
        for vmid, key in machines.items():
            try:
                await self._read(snapshot.guests[vmid], key)
            except NodeDown:
                return
            except ProvisionError as error:  # it has its turn again in the next round
                log.info("firewall not read", vmid=vmid, error=str(error))
            self._turns.had(node, vmid)

    async def _read(self, row: GuestRow, key: str) -> None:
        node, vmid = row.node, row.vmid
        before = self.sights.firewall(key, vmid) or await self._stamp(row)
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
