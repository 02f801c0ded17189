"""What is the same for every machine that one installation makes.

The site turns a desired machine into the settings that Proxmox should show. It is pure: it reads
no file and asks nobody, so that the plan can compare wanted with observed settings for equality.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from provisioner.allocate import Pool
from provisioner.identity import Signer, settings_stamp, uuid_of
from provisioner.isolation import Isolation, common, with_addresses
from provisioner.model import (
    Addresses,
    BackupPolicy,
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
from provisioner.ranges import AddressRange
from provisioner.snippets import Snippets, name_in, vmid_of
from provisioner.terms import LINKED, OPEN, Cloning, Inbound, Terms

#: Settings that are always repaired: who may enter, whose machine it is, and that it stays off.
GUARDED: Final = frozenset(
    {"uuid", "mac", "ipconfig", "ssh_keys", "user", "link_up", "onboot", "protection"}
)


@dataclass(frozen=True, slots=True)
class Site:
    """One installation's pool, network and habits; timeouts in seconds.

    `snippets` is None where cloud-init knows what Proxmox's own settings say and no more;
    `plan_ranges` are the addresses that plans hand out besides the pool's; `inbound` and `smtp`
    are for the plans that do not say. `backups` is None where a machine is destroyed without one;
    `repairs` is false where settings that somebody changed by hand are left so, and told of.
    `wallet_login` says that virtual machines have a login that asks their account whose it is;
    `cloning` is how they are cloned where their plan does not say. `token` is the id of the token
    that our tasks are begun with; None where that is not known.
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
    backups: BackupPolicy | None = None
    repairs: bool = True
    wallet_login: bool = False
    inbound: Inbound = OPEN
    smtp: bool = False
    plan_ranges: tuple[AddressRange, ...] = ()
    cloning: Cloning = LINKED
    token: str | None = None

    def cloned(self, terms: Terms, kind: Kind) -> Cloning:
        """Return how the disks of a machine with these terms come to be, and where they lie."""
        if kind is Kind.CONTAINER:
            return Cloning(storage=terms.container_storage)
        return terms.cloning or self.cloning

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

        Where it is not known what was sold, hardware and network stay as they are, unless it was
        never configured. What a plan does not say of VLAN, rate and the disk's limits stays the
        template's. The cable is pulled while a former owner may still enter the guest.
        """
        have, terms, identity = config.settings, want.terms, self.identity(want, vmid)
        cloud_init = config.kind is Kind.VM
        known = want.spec is not None or not self.bears(identity, config)
        throttled = want.card is not None and want.card.throttled
        addresses = self.pool.addresses(vmid, terms)
        vlan = terms.vlan if known and terms.vlan else None
        rate = terms.rate if known and terms.rate else None
        return GuestSettings(
            name=want.name,
            cores=want.spec.cores if want.spec else have.cores,
            memory_mib=want.spec.memory_mib if want.spec else have.memory_mib,
            bridge=terms.bridge or self.bridge if known else have.bridge,
            mac=addresses.mac,
            ipconfig=_ipconfig(addresses) if known else have.ipconfig,
            nameserver=self.nameserver,
            user=self.user if cloud_init else "",
            ssh_keys=want.access.ssh_key if cloud_init else "",
            uuid=uuid_of(identity) if cloud_init else "",
            tags=self.tags,
            onboot=_onboot(want.presence, have),
            protection=want.held,
            link_up=stamps.generation == want.access.generation,
            agent=cloud_init,
            cicustom=self._cicustom(want, vmid, have) if cloud_init else "",
            vlan=vlan or have.vlan,
            trunks="" if vlan else have.trunks,
            rate=rate or have.rate,
            cpu_limit=have.cpu_limit if throttled or not known else terms.cpu_limit or 0,
            disk_limits=terms.disk if known and cloud_init and terms.disk else have.disk_limits,
        )

    def addressed(self, want: DesiredMachine, have: Observed) -> bool:
        """Say whether a machine of ours is set to the addresses that `want` has where it stands."""
        if have.config is None or have.vmid is None or have.vmid not in self.pool:
            return False
        addresses = self.pool.addresses(have.vmid, want.terms)
        return want.spec is None or have.config.settings.ipconfig == _ipconfig(addresses)

    def drifted(self, wanted: GuestSettings, have: GuestSettings, stamps: Stamps) -> frozenset[str]:
        """Name the settings that somebody changed by hand and that are left so.

        None are where drift is repaired, nor where something else is wanted than was written last;
        nor where it is about who may enter, or about whose machine it is.
        """
        if self.repairs or stamps.applied != settings_stamp(wanted):
            return frozenset()
        differ = {n for n in GuestSettings.__slots__ if getattr(wanted, n) != getattr(have, n)}
        return frozenset() if differ & GUARDED else frozenset(differ)

    def _cicustom(self, want: DesiredMachine, vmid: int, have: GuestSettings) -> str:
        """Return the snippet that is wanted; a machine that nobody starts keeps the one it has.

        So does one that was made by hand, when what it was made with is not at hand any more.
        """
        if self.snippets is not None and want.presence is Presence.RUNNING:
            return self.snippets.cicustom(want, vmid, uuid_of(self.identity(want, vmid)))
        if self.snippets is None and want.card is None:
            return ""
        name = name_in(have.cicustom)
        return have.cicustom if name and vmid_of(name) == vmid else ""

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

    def isolation(self, want: DesiredMachine, vmid: int) -> Isolation:
        """Return the firewall that `want` should have at `vmid`."""
        own = self.pool.addresses(vmid, want.terms).own
        return with_addresses(self.frame(want.terms), own)

    def frame(self, terms: Terms) -> Isolation:
        """Return the firewall of all machines of a plan, without their addresses."""
        smtp = self.smtp if terms.smtp is None else terms.smtp
        return common(self.tenants, terms.inbound or self.inbound, smtp=smtp)

    @property
    def tenants(self) -> tuple[str, ...]:
        """Return the ranges of addresses that any machine of this installation may have."""
        return _spans((*self.pool.ranges(), *self.plan_ranges), self.pool.size)

    def isolated(self, want: DesiredMachine, have: Observed) -> bool:
        """Say whether the machine carries the stamp of the firewall that it should have.

        Where its plan is not known, that of whatever firewall it was given.
        """
        stamp = have.stamps.configured
        if stamp is None or have.vmid is None or want.spec is None:
            return stamp is not None
        return stamp == self.isolation(want, have.vmid).stamp

    def proven(self, want: DesiredMachine, have: Observed) -> bool:
        """Say whether the observed machine is provably the one wanted, finished or not."""
        return (
            have.vmid is not None
            and have.vmid in self.pool
            and have.identity == self.identity(want, have.vmid)
        )


def _onboot(presence: Presence, have: GuestSettings) -> bool:
    return have.onboot if presence is Presence.AS_IS else presence is Presence.RUNNING


def _ipconfig(addresses: Addresses) -> str:
    parts = (
        ("ip", addresses.ipv4),
        ("gw", addresses.gateway4),
        ("ip6", addresses.ipv6),
        ("gw6", addresses.gateway6),
    )
    return ",".join(f"{name}={value}" for name, value in parts if value)


@lru_cache(maxsize=16)
def _spans(ranges: tuple[AddressRange, ...], size: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.span(size) for each in ranges))
