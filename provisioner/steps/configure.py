"""Make the settings those that were sold, and take away what a clone inherits.

A template's password, firewall rules, IP sets and extra devices must not reach a tenant, and a
tenant must not reach another: the firewall is made first, so that no guest ever starts without it,
and again when it is to be another one, or was found to be. The first time, cloud-init has not run
yet, so the owner's key is let in by the same call. Later the step repairs drift, and pulls the
cable of a guest that still lets in somebody it should not. It ends by growing the disk where that
is due. Before a machine is shut down its start is taken back, so that one that is paid for again
meanwhile is owed a start, and not taken for powered off by its owner.
"""

from dataclasses import replace

from provisioner.identity import access_stamp, gecos_stamp
from provisioner.model import DesiredMachine, GuestSettings, Observed, Presence, Stamps
from provisioner.site import Site
from provisioner.steps.resize import grow
from provisioner.steps.step import Step, Target


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is None or have.vmid is None:
        return None
    if have.stamps.configured is None:
        return "it is a bare clone, or its stamps were lost"
    if not site.isolated(want, have):
        return "its plan gives it another firewall than it has"
    if _tampered(have):
        return "somebody changed its firewall"
    wanted = site.settings(want, have.vmid, have.config, have.stamps)
    if wanted == have.config.settings or site.drifted(wanted, have.config.settings, have.stamps):
        return "it is about to be suspended" if _takes_back_start(want, have) else None
    return f"its settings differ: {', '.join(differences(wanted, have.config.settings))}"


async def _effect(target: Target) -> str | None:
    stamps = target.have.stamps
    if not target.site.isolated(target.want, target.have) or _tampered(target.have):
        wanted = target.site.isolation(target.want, target.vmid)
        await target.hypervisor.isolate(
            target.node, target.vmid, wanted, base=target.base, kind=target.kind
        )
        stamps = _first(target, replace(stamps, configured=wanted.stamp))
    if _takes_back_start(target.want, target.have):
        stamps = replace(stamps, started=False)
    await target.put_config(stamps)
    return await grow(target)


def _tampered(have: Observed) -> bool:
    """Say whether the firewall was read and is not the one that the machine is stamped with."""
    return have.isolation is not None and have.isolation.stamp != have.stamps.configured


def _takes_back_start(want: DesiredMachine, have: Observed) -> bool:
    return want.presence is Presence.SUSPENDED and have.stamps.started


def _first(target: Target, stamps: Stamps) -> Stamps:
    """Stamp who is let in: a clone that never ran gets its keys from cloud-init as it boots.

    A container got them when it was made, and was stamped with them then. One that was restored
    has run: its disks let in whom its stamps say.
    """
    identity = target.site.identity(target.want, target.vmid)
    if target.site.bears(identity, target.config) or stamps.generation is not None:
        return stamps
    want, gecos = target.want.access, target.want.gecos
    wanted = target.site.settings(target.want, target.vmid, target.config, stamps)
    if gecos and wanted.cicustom:  # user-data of ours says it
        stamps = replace(stamps, gecos=gecos_stamp(gecos))
    return replace(stamps, access=access_stamp(want), generation=want.generation)


def differences(wanted: GuestSettings, have: GuestSettings) -> list[str]:
    """Name the settings that differ."""
    return [
        name for name in GuestSettings.__slots__ if getattr(wanted, name) != getattr(have, name)
    ]


CONFIGURE = Step("configure", _due, _effect)
