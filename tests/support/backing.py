"""A realm in which machines are backed up before they are destroyed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config
from chainwatch.domain.events import Event
from provisioner.model import BackupPolicy
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.settings import Settings
from tests.support.realm import GRACE, Realm, realm

BACKUPS: Final = BackupPolicy("vault", "stop", 10 * GRACE)


def backing_up(settings: Config) -> Config:
    """Have machines backed up before they are destroyed."""
    return replace(settings, policy=replace(settings.policy, backups=BACKUPS))


def keeping(
    folder: Path,
    *nodes: str,
    kind: str = "nfs",
    plan: Sequence[Event] | None = None,
    adjust: Callable[[Config], Config] = lambda same: same,
) -> AbstractAsyncContextManager[Realm]:
    """Return such a realm, with a storage of `kind` for the backups.

    `adjust` changes the configuration further.
    """
    cluster = Cluster(Settings(nodes=nodes or ("pve",)))
    cluster.add_storage(BACKUPS.storage, kind)
    return realm(folder, cluster=cluster, adjust=lambda same: adjust(backing_up(same)), plan=plan)


def bare(world: Realm) -> None:
    """Somebody takes the protection off every backup."""
    files = world.cluster.state.files
    for volid, file in files.items():
        files[volid] = replace(file, protected=False)


async def found_bare(world: Realm) -> None:
    """Somebody does so; backups and every lease are looked at."""
    bare(world)
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")


async def long_over(world: Realm) -> None:
    """The time for which backups are kept is over, and every lease is looked at."""
    world.pass_time(BACKUPS.keep + 1)
    world.finalize()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
