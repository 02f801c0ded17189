"""What is the same for every machine that one installation makes.

The site turns a desired machine into the settings that Proxmox should show. It is pure: it reads
no file and asks nobody, so that the plan can compare wanted with observed settings for equality.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from provisioner.allocate import Pool
from provisioner.identity import Signer, uuid_of
from provisioner.model import (
    Addresses,
    DesiredMachine,
    GuestConfig,
    GuestSettings,
    Identity,
    Kind,
    MachineSpec,
    Observed,
    Presence,
    Stamps,
)
from provisioner.snippets import Snippets, name_in, vmid_of

#: Stamp of having removed the firewall rules that a clone inherits; a new rule set is a new stamp.
CONFIGURED: Final = hashlib.sha256(b"firewall: nothing inherited").hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Site:
    """One installation's pool, network and habits; timeouts in seconds.

    `snippets` is None where cloud-init knows what Proxmox's own settings say and no more.
    """

    signer: Signer
    pool: Pool
    bridge: str
    nameserver: str
    user: str
    tags: frozenset[str]
    shutdown_timeout: int
    answer_timeout: int
    snippets: Snippets | None = None

    def identity(self, want: DesiredMachine, vmid: int) -> Identity:
        """Return the identity of `want` standing at `vmid`."""
        return Identity(self.signer.installation, want.key, want.nonce, vmid)

    def describe(self, want: DesiredMachine, vmid: int, stamps: Stamps) -> str:
        """Return the description that `want` has at `vmid` with `stamps`."""
        return self.signer.describe(self.identity(want, vmid), stamps, want.card)

    def settings(
        self, want: DesiredMachine, vmid: int, config: GuestConfig, stamps: Stamps
    ) -> GuestSettings:
        """Return the settings that `want` should show, given what was stamped on it.

        Where it is not known what was sold, the hardware stays as it is. The cable is pulled
        while a former owner may still enter the guest.
        """
        have, addresses = config.settings, self.pool.addresses(vmid)
        cloud_init = config.kind is Kind.VM
        return GuestSettings(
            name=want.name,
            cores=want.spec.cores if want.spec else have.cores,
            memory_mib=want.spec.memory_mib if want.spec else have.memory_mib,
            bridge=self.bridge,
            mac=addresses.mac,
            ipconfig=_ipconfig(addresses),
            nameserver=self.nameserver,
            user=self.user if cloud_init else "",
            ssh_keys=want.access.ssh_key if cloud_init else "",
            uuid=uuid_of(self.identity(want, vmid)) if cloud_init else "",
            tags=self.tags,
            onboot=_onboot(want.presence, have),
            protection=want.held,
            link_up=stamps.generation == want.access.generation,
            agent=cloud_init,
            cicustom=self._cicustom(want, vmid, have) if cloud_init else "",
            leftovers=_spared(want, have),
        )

    def _cicustom(self, want: DesiredMachine, vmid: int, have: GuestSettings) -> str:
        """Return the snippet that is wanted; a machine that nobody starts keeps the one it has."""
        if self.snippets is None:
            return ""
        if want.presence is not Presence.RUNNING:
            name = name_in(have.cicustom)
            return have.cicustom if name and vmid_of(name) == vmid else ""
        return self.snippets.cicustom(want, vmid, uuid_of(self.identity(want, vmid)))

    def unmade(self, spec: MachineSpec) -> GuestConfig:
        """Return the configuration of a guest that is about to be made: nothing is set."""
        blank = GuestSettings(
            name="",
            cores=spec.cores,
            memory_mib=spec.memory_mib,
            bridge="",
            mac="",
            ipconfig="",
            nameserver="",
            user="",
            ssh_keys="",
            uuid="",
            tags=frozenset(),
            onboot=False,
            protection=False,
            link_up=False,
            agent=False,
        )
        return GuestConfig(blank, "", None, 0, None, "", template=False, kind=spec.kind)

    def account(self, kind: Kind) -> str:
        """Return the account that the owner's key opens; in a container there is only root."""
        return self.user if kind is Kind.VM else "root"

    def bears(self, identity: Identity, config: GuestConfig) -> bool:
        """Say whether a guest has what only a configured machine with this identity has.

        For a virtual machine that is its SMBIOS uuid, which follows from the identity; a container
        has none, and there it is net0's MAC, which follows from the VMID.
        """
        if config.kind is Kind.VM:
            return config.settings.uuid == uuid_of(identity)
        mine = identity.vmid in self.pool
        return mine and config.settings.mac == self.pool.addresses(identity.vmid).mac

    def proven(self, want: DesiredMachine, have: Observed) -> bool:
        """Say whether the observed machine is provably the one wanted, finished or not."""
        return (
            have.vmid is not None
            and have.vmid in self.pool
            and have.identity == self.identity(want, have.vmid)
        )


def _onboot(presence: Presence, have: GuestSettings) -> bool:
    return have.onboot if presence is Presence.AS_IS else presence is Presence.RUNNING


def _spared(want: DesiredMachine, have: GuestSettings) -> frozenset[str]:
    """Return what may stay though a clone must not inherit it: a limit that was set since."""
    throttled = want.card is not None and want.card.throttled
    return have.leftovers & {"cpulimit"} if throttled else frozenset()


def _ipconfig(addresses: Addresses) -> str:
    parts = (
        ("ip", addresses.ipv4),
        ("gw", addresses.gateway4),
        ("ip6", addresses.ipv6),
        ("gw6", addresses.gateway6),
    )
    return ",".join(f"{name}={value}" for name, value in parts if value)
