"""Which way leads into which kind of guest."""

from dataclasses import dataclass

from provisioner.model import Kind
from provisioner.ports import GuestShell


@dataclass(frozen=True, slots=True)
class Shells:
    """The way into virtual machines and the way into containers (`ports.GuestShells`)."""

    vms: GuestShell
    containers: GuestShell

    def of(self, kind: Kind) -> GuestShell:
        """Return the way into guests of a kind."""
        return self.vms if kind is Kind.VM else self.containers
