"""The verbs that modes of failure are played against: what leads up to each, and what is said then.

A verb is data. Each is there for virtual machines and for containers; those of a lease are said on
the chain, the others are an operator's orders, or what comes of a policy to keep backups.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from chainwatch.domain.events import PlanDefined
from provisioner.model import Kind
from provisioner.model import Verb as Word
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.settings import Settings
from provisioner.terms import Cloning
from tests.support.backing import BACKUPS, backing_up, long_over
from tests.support.chain_model import plan_events
from tests.support.lives import (
    Stage,
    bought,
    final,
    grace_over,
    keyed,
    lasting,
    renewed,
    run_out,
    sold,
)
from tests.support.ordering import ordering
from tests.support.realm import GRACE, Realm, realm

NODES: Final = ("pve", "pve2", "pve3")
SAN: Final = "san"
#: The disk that a plan sells, and the larger one (GiB).
SOLD, LARGER = 20, 40
#: What was written into a machine before a verb, which some verbs wipe away.
DIARY: Final = "/home/debian/diary"
#: Orders after which a machine is left off, and those after which it is another inside.
OFF: Final = frozenset({Word.STOP, Word.KILL})
WIPING: Final = frozenset({Word.REINSTALL, Word.ROLLBACK})
_KINDS: Final = {Kind.VM: 0, Kind.CONTAINER: 1}


def enlarged(kind: Kind) -> Stage:
    """Return the stage in which the plan is defined anew, with a larger disk."""

    async def defined(world: Realm) -> None:
        world.mine(PlanDefined(1, "small", _KINDS[kind], 2, 2048, LARGER, GRACE))
        world.confirm()

    return defined


async def powered_off(world: Realm) -> None:
    """Its owner powers it off, from within."""
    for vmid in world.guests():
        world.cluster.stop_guest(vmid)


@dataclass(frozen=True, slots=True)
class Verb:
    """`stages` after `before`, and the disk that is then sold (GiB).

    `order` is the operator's, where it is one; `backed` verbs are played where machines are backed
    up before they are destroyed, and `copied` ones where they are whole copies on thick storage.
    """

    name: str
    before: tuple[Stage, ...]
    stages: tuple[Stage, ...]
    kind: Kind = Kind.VM
    disk_gib: int = SOLD
    order: Word | None = None
    backed: bool = False
    copied: bool = False

    @property
    def id(self) -> str:
        """Return what it is called among the verbs of both kinds."""
        return f"{self.kind}-{self.name}{'-copied' if self.copied else ''}"

    def realm(self, folder: Path, *, over_ssh: bool) -> AbstractAsyncContextManager[Realm]:
        """Open the world in which it is played.

        A container's is one in which nodes are reached over SSH: nobody gets into one otherwise.
        """
        return realm(
            folder,
            plan=plan_events(kind=_KINDS[self.kind]),
            cluster=_cluster(self, over_ssh=over_ssh),
            adjust=_adjusting(self, over_ssh=over_ssh),
        )


def cluster() -> Cluster:
    """Return three nodes with a storage that all of them see."""
    return Cluster(Settings(nodes=NODES, storage="shared", storage_shared=True))


def _cluster(verb: Verb, *, over_ssh: bool) -> Cluster:
    made = cluster()
    if over_ssh or verb.kind is Kind.CONTAINER:
        made.add_storage("local")  # for snippets, and for what containers are made from
    if verb.kind is Kind.CONTAINER:
        made.state.storages["shared"].kind = "zfspool"  # where containers have snapshots
    if verb.backed:
        made.add_storage(BACKUPS.storage, "nfs")
    if verb.copied:
        made.add_storage(SAN, "lvm")
    return made


def _adjusting(verb: Verb, *, over_ssh: bool) -> Callable[[Config], Config]:
    def adjust(config: Config) -> Config:
        machines, nodes = config.machines, config.nodes
        if verb.kind is Kind.CONTAINER:
            machines = replace(machines, container_storage="shared")
        elif over_ssh:
            machines = replace(machines, cloud_init="base")
        if verb.copied:
            machines = replace(machines, cloning=Cloning(full=True, storage=SAN))
        if verb.kind is Kind.CONTAINER or over_ssh:
            known = tuple(f"{node} 192.0.2.11 t k" for node in NODES)
            nodes = NodesConfig("root", 22, Secret(b"not used here"), known)
        config = replace(config, machines=machines, nodes=nodes)
        return backing_up(config) if verb.backed else config

    return adjust


def _leases(kind: Kind) -> Sequence[Verb]:
    expired = (bought, run_out, final)
    return [
        Verb("provision", (), (lasting,), kind),
        Verb("extend", (bought,), (renewed,), kind),
        Verb("suspend", (bought,), (run_out,), kind),
        Verb("resume", (bought, run_out), (renewed,), kind),
        Verb("transfer", (lasting,), (sold, keyed, final), kind),
        Verb("resize", (lasting,), (enlarged(kind),), kind, LARGER),
        Verb("destroy", expired, (grace_over,), kind),
        Verb("backup", expired, (grace_over,), kind, backed=True),
        Verb("restore", (*expired, grace_over), (renewed,), kind, backed=True),
        Verb("drop-backup", (*expired, grace_over), (long_over,), kind, backed=True),
    ]


def _orders(kind: Kind) -> Sequence[Verb]:
    before: dict[Word, tuple[Stage, ...]] = {
        Word.REINSTALL: (),
        Word.START: (powered_off,),
        Word.STOP: (),
        Word.KILL: (),
        Word.REBOOT: (),
        Word.SNAPSHOT: (),
        Word.ROLLBACK: (ordering(Word.SNAPSHOT),),
    }
    return [
        Verb(word.value, (lasting, final, *more), (ordering(word),), kind, order=word)
        for word, more in before.items()
    ]


VERBS: Final = tuple(
    verb for kind in (Kind.VM, Kind.CONTAINER) for verb in (*_leases(kind), *_orders(kind))
)

#: The verbs that make a machine, or need room where it lies, for whole copies.
COPIED: Final = tuple(
    replace(verb, copied=True)
    for verb in VERBS
    if verb.kind is Kind.VM
    and verb.name in {"provision", "resize", "destroy", "restore", Word.REINSTALL.value}
)
