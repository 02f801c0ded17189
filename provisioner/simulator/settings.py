"""How the simulated cluster is made and how long its work takes.

Durations are virtual seconds and near what an 8.4.21 node measured (a linked clone 0.65 s, a full
one 1.1 to 1.9 s for 1.5 GB). A test that wants a slow cluster changes them here and nowhere else.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Durations:
    """How long tasks take, in virtual seconds; rates are bytes a second.

    `boot_scatter` is by which share of itself a machine's boot is longer or shorter at most.
    """

    linked_clone: float = 0.65
    full_clone_rate: float = 1.0e9
    backup_rate: float = 8.5e7
    restore_rate: float = 2.1e8
    start: float = 1.2
    stop: float = 0.3
    shutdown: float = 2.0
    destroy: float = 0.3
    resize: float = 0.2
    template: float = 0.4
    snapshot: float = 0.3
    boot: float = 8.0
    boot_scatter: float = 0.0
    container_create: float = 1.8
    container_boot: float = 1.0
    node_boot: float = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One cluster; `start` is virtual time at birth (seconds since the epoch).

    More than one node makes a cluster in the sense of `cluster/status`; a lone node stands alone.
    """

    nodes: tuple[str, ...] = ("pve",)
    start: float = 1_795_366_000.0
    storage: str = "local"
    storage_shared: bool = False
    storage_size: int = 270_553_174_016
    cluster_name: str = "cluster"
    node_cpus: int = 64
    node_memory: int = 512 * 2**30
    statistics_interval: float = 10.0
    durations: Durations = field(default_factory=Durations)
