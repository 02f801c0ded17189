"""What somebody else does to a cluster while a suite looks on, whatever the cluster is made of.

Between the calls that a suite makes the world changes: time passes, somebody edits a guest, a
token is revoked. `Hands` is that somebody. What no API tells is asked here too, and little is: a
suite that looks inside one cluster says nothing of another. A cluster that cannot do a thing says
`NotOfferedError`; it never pretends.
"""

from collections.abc import Callable
from typing import Final, NoReturn, Protocol, TypeVar

from provisioner.simulator.cluster import OS_TEMPLATE, Cluster
from provisioner.simulator.faults import Fault
from provisioner.simulator.guests import ConfigValue, Power

R = TypeVar("R")

#: Where the roots of containers are; snapshots can be taken of them.
ROOTS: Final = "thin"


class NotOfferedError(Exception):
    """The cluster has no way to do that."""


class See(Protocol):
    """Does something with the simulated cluster, where it lives."""

    def __call__(self, work: Callable[[Cluster], R], /) -> R: ...


def nobody_sees(_: Callable[[Cluster], R], /) -> NoReturn:
    """Stand for `See` where the cluster is not the simulated one."""
    raise NotOfferedError("there is no simulated cluster to look into")


class Hands(Protocol):
    """Somebody who may do anything to a cluster; see the module."""

    def now(self) -> float:
        """Return what the cluster's clock says."""

    def advance(self, seconds: float) -> None:
        """Let `seconds` of the cluster's time pass."""

    def settle(self) -> None:
        """Let time pass until no task runs."""

    def let_boot(self, vmid: int) -> None:
        """Let a guest that was started come up, agent and all."""

    def calls(self) -> int:
        """Count the API calls so far."""

    def arm(self, *faults: Fault) -> None:
        """Have something go wrong, and nothing else that was armed before."""

    def add_guest(self, vmid: int) -> None:
        """Add a guest of somebody else's."""

    def offer_containers(self) -> None:
        """Have an archive to make containers from on `local`, and the storage ROOTS for them."""

    def edit_guest(self, vmid: int, **config: ConfigValue | None) -> None:
        """Change a guest's configuration behind everybody's back; None deletes a key."""

    def remove_guest(self, vmid: int) -> None:
        """Remove a guest behind everybody's back."""

    def pause(self, vmid: int) -> None:
        """Pause a guest that runs."""

    def ignore_the_button(self, vmid: int) -> None:
        """Have a guest that does nothing about a shutdown."""

    def silence(self, vmid: int, *, silent: bool) -> None:
        """Stop a guest's agent, or start it again."""

    def lose_quorum(self) -> None:
        """Leave the cluster without quorum."""

    def take_privileges(self, token: str) -> None:
        """Take every privilege from a token."""

    def revoke(self, token: str) -> Callable[[], None]:
        """Revoke a token; returns what makes it good again."""

    def enable_storage(self, *, enabled: bool) -> None:
        """Disable the storage that the disks are on, or enable it again."""

    def power_cycle(self, node: str) -> None:
        """Cut a node's power for a moment."""

    def leaked_volumes(self) -> tuple[str, ...]:
        """Name the volumes that no guest has."""


class SimulatedHands:
    """`Hands` on the simulated cluster."""

    def __init__(self, see: See) -> None:
        self._see = see

    def now(self) -> float:
        return self._see(lambda cluster: cluster.now)

    def advance(self, seconds: float) -> None:
        self._see(lambda cluster: cluster.advance(seconds))

    def settle(self) -> None:
        self._see(lambda cluster: cluster.settle())

    def let_boot(self, vmid: int) -> None:
        self._see(lambda cluster: cluster.guest(vmid))
        self.advance(60)

    def calls(self) -> int:
        return self._see(lambda cluster: sum(cluster.inventory().calls.values()))

    def arm(self, *faults: Fault) -> None:
        def arm(cluster: Cluster) -> None:
            cluster.state.faults.clear()
            for fault in faults:
                cluster.arm(fault)

        self._see(arm)

    def add_guest(self, vmid: int) -> None:
        self._see(lambda cluster: cluster.add_guest(vmid))

    def offer_containers(self) -> None:
        self._see(lambda cluster: cluster.add_os_template(OS_TEMPLATE))
        self._see(lambda cluster: cluster.add_storage(ROOTS, "lvmthin"))

    def edit_guest(self, vmid: int, **config: ConfigValue | None) -> None:
        self._see(lambda cluster: cluster.edit_guest(vmid, **config))

    def remove_guest(self, vmid: int) -> None:
        self._see(lambda cluster: cluster.remove_guest(vmid))

    def pause(self, vmid: int) -> None:
        self._see(lambda cluster: setattr(cluster.guest(vmid), "power", Power.PAUSED))

    def ignore_the_button(self, vmid: int) -> None:
        self._see(lambda cluster: setattr(cluster.guest(vmid), "ignores_acpi", True))

    def silence(self, vmid: int, *, silent: bool) -> None:
        self._see(lambda cluster: setattr(cluster.guest(vmid), "has_agent", not silent))

    def lose_quorum(self) -> None:
        self._see(lambda cluster: cluster.set_quorum(quorate=False))

    def take_privileges(self, token: str) -> None:
        self._see(lambda cluster: cluster.set_grants(token, everything=False))

    def revoke(self, token: str) -> Callable[[], None]:
        revoked = self._see(lambda cluster: cluster.state.tokens.pop(token))
        return lambda: self._see(
            lambda cluster: cluster.state.tokens.__setitem__(token, revoked),
        )

    def enable_storage(self, *, enabled: bool) -> None:
        self._see(lambda cluster: setattr(cluster.state.storages["local"], "enabled", enabled))

    def power_cycle(self, node: str) -> None:
        self._see(lambda cluster: cluster.power_cycle(node))

    def leaked_volumes(self) -> tuple[str, ...]:
        return self._see(lambda cluster: cluster.inventory().leaked_volumes())
