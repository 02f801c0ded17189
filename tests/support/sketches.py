"""Leases and machines drawn by hand, as the parts that only decide see them.

The constants and functions draw ordinary cases; a test says what is different about its own.
"""

from dataclasses import replace
from typing import Final

from chainwatch.domain.desired import Facts, Hold, Policy, SourceView
from chainwatch.domain.lease import Lease, LeaseId, Plan
from provisioner.allocate import AddressRange, Pool
from provisioner.identity import Signer, access_stamp
from provisioner.isolation import isolation
from provisioner.model import (
    Access,
    Archive,
    Backup,
    BackupPolicy,
    DesiredMachine,
    GuestConfig,
    GuestSettings,
    Kind,
    MachineSpec,
    Observed,
    PowerState,
    Presence,
    Retirement,
    Stamps,
)
from provisioner.site import Site

VMID: Final = 20000
NOW: Final = 1_700_000_000
DAY: Final = 86_400
NONCE: Final = "ab" * 16
OWNER: Final = "0x" + "a1" * 20
LEASE: Final = LeaseId(31337, "0x" + "c0" * 20, 7)
POLICY: Final = Policy(default_grace=DAY)
PLAN: Final = Plan(
    1, "small", cores=2, memory_mib=2048, disk_gib=20, grace=2 * DAY, on_sale=True, defined=True
)
ACCESS: Final = Access(0, OWNER, "ssh-ed25519 AAAA alice")
SITE: Final = Site(
    signer=Signer("here", b"k" * 32),
    pool=Pool(VMID, VMID + 9, "02:00:00", AddressRange("192.0.2.10/24", "192.0.2.1")),
    bridge="vmbr0",
    nameserver="192.0.2.53",
    user="debian",
    tags=frozenset({"chainwatch"}),
    shutdown_timeout=60,
    answer_timeout=300,
)
#: A machine that was provisioned and answered.
STAMPS: Final = Stamps(
    configured=isolation(("192.0.2.10/24",), SITE.tenants).stamp,
    access=access_stamp(ACCESS),
    generation=0,
    started=True,
)
#: A machine that was suspended two days ago, for its end.
SUSPENDED: Final = replace(STAMPS, started=False, suspended_at=NOW - 2 * DAY, ended=True)


#: A paid machine, as it should be.
PAID: Final = DesiredMachine(
    key=str(LEASE),
    nonce=NONCE,
    name="lease-7-abababab",
    presence=Presence.RUNNING,
    spec=MachineSpec(Kind.VM, 2, 2048, 20),
    access=ACCESS,
    held=False,
    ended=False,
    at=NOW,
)
#: A machine that nobody pays for any more, whose grace is over.
OVER: Final = replace(
    PAID,
    presence=Presence.SUSPENDED,
    ended=True,
    retirement=Retirement(ended_at=NOW - 3 * DAY, grace=DAY, final_time=NOW),
)
#: The same when the time for which a backup is kept is over too.
LATER: Final = replace(OVER, retirement=Retirement(NOW, DAY, NOW + 31 * DAY))
#: Where machines are backed up, and a backup of one.
BACKED: Final = replace(SITE, backups=BackupPolicy("vault", "stop", 30 * DAY))
BACKUP: Final = Backup(
    Archive("vault:x", VMID, NOW, 1, ""), ("pve",), SITE.identity(OVER, VMID), SUSPENDED, NOW
)
#: A backup that any pruning may take.
EXPOSED: Final = replace(BACKUP, archive=replace(BACKUP.archive, protected=False))
#: No machine at all.
ABSENT: Final = Observed(None, None, None, None, Stamps(), PowerState.UNKNOWN)


def observed(
    want: DesiredMachine,
    stamps: Stamps = STAMPS,
    power: PowerState = PowerState.RUNNING,
    *,
    settings: GuestSettings | None = None,
    disk_gib: int = 20,
    answers: bool | None = None,
    uptime: int = 0,
) -> Observed:
    """A machine that looks as `want` says, unless `settings` say otherwise."""
    blank = GuestConfig(_settings(), "", "scsi0", disk_gib, None, "digest", template=False)
    shown = settings or SITE.settings(want, VMID, blank, stamps)
    return Observed(
        vmid=VMID,
        node="pve",
        config=replace(blank, settings=shown, description=SITE.describe(want, VMID, stamps)),
        identity=SITE.identity(want, VMID),
        stamps=stamps,
        power=power,
        uptime=uptime,
        answers=answers,
        ever_existed=True,
    )


def facts(
    lease: Lease | None,
    final: Lease | None = None,
    *,
    plan: Plan | None = PLAN,
    hold: Hold | None = None,
    former: frozenset[str] = frozenset(),
    at: int = NOW,
    final_at: int | None = NOW,
    live: bool = True,
    halted: bool = False,
) -> Facts:
    """What is known of a lease on a source that is read to its head."""
    source = SourceView(at, final_at, caught_up=True, live=live, halted=halted)
    return Facts(LEASE, lease, final, plan, source, hold, former)


def lease(expires_at: int = NOW + DAY) -> Lease:
    """A lease that Alice bought."""
    return Lease(7, OWNER, NONCE, plan=1, expires_at=expires_at, ssh_key=ACCESS.ssh_key)


def _settings() -> GuestSettings:
    return GuestSettings(
        name="",
        cores=1,
        memory_mib=512,
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
        link_up=True,
        agent=True,
    )
