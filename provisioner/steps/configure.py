"""Make the settings those that were sold, and take away what a clone inherits.

A template's password, firewall rules, IP sets and extra devices must not reach a tenant. The first
time, cloud-init has not run yet, so the owner's key is let in by the same call. Later the step
repairs drift, and pulls the cable of a guest that still lets in somebody it should not. It ends by
growing the disk where that is due. Before a machine is shut down its start is taken back, so that
one that is paid for again meanwhile is owed a start, and not taken for powered off by its owner.
"""

from dataclasses import replace

from provisioner.identity import access_stamp
from provisioner.model import DesiredMachine, GuestSettings, Observed, Presence, Stamps
from provisioner.site import CONFIGURED, Site
from provisioner.steps.resize import grow
from provisioner.steps.step import Step, Target


def _due(site: Site, want: DesiredMachine, have: Observed) -> str | None:
    if have.config is None or have.vmid is None:
        return None
    if have.stamps.configured != CONFIGURED:
        return "it is a bare clone, or its stamps were lost"
    wanted = site.settings(want, have.vmid, have.config, have.stamps)
    if wanted == have.config.settings or site.drifted(wanted, have.config.settings, have.stamps):
        return "it is about to be suspended" if _takes_back_start(want, have) else None
    return f"its settings differ: {', '.join(differences(wanted, have.config.settings))}"


async def _effect(target: Target) -> str | None:
    stamps = target.have.stamps
    if stamps.configured != CONFIGURED:
        await target.hypervisor.scrub_firewall(target.node, target.vmid, kind=target.kind)
        stamps = _first(target, stamps)
    if _takes_back_start(target.want, target.have):
        stamps = replace(stamps, started=False)
    await target.put_config(stamps)
    return await grow(target)


def _takes_back_start(want: DesiredMachine, have: Observed) -> bool:
    return want.presence is Presence.SUSPENDED and have.stamps.started


def _first(target: Target, stamps: Stamps) -> Stamps:
    """Stamp the scrub; a clone that never ran gets its keys from cloud-init at its first boot.

    A container got them when it was made, and was stamped with them then. One that was restored
    has run: its disks let in whom its stamps say.
    """
    identity = target.site.identity(target.want, target.vmid)
    was_configured = target.site.bears(identity, target.config)
    restored = stamps.generation is not None
    stamps = replace(stamps, configured=CONFIGURED)
    if was_configured or restored:
        return stamps
    want = target.want.access
    return replace(stamps, access=access_stamp(want), generation=want.generation)


def differences(wanted: GuestSettings, have: GuestSettings) -> list[str]:
    """Name the settings that differ."""
    return [
        name for name in GuestSettings.__slots__ if getattr(wanted, name) != getattr(have, name)
    ]


CONFIGURE = Step("configure", _due, _effect)
