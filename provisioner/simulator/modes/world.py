"""What can change in a cluster behind a controller's back, and how it is put right again.

Each function changes the world right before a call (`Struck`) is judged and returns the remedy,
where there is one to be had. Strangers are people with the web interface: what they make is theirs.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, Struck
from provisioner.simulator.guests import Guest, Power, format_size, parse_size
from provisioner.simulator.modes.mode import Happening, Remedy
from provisioner.simulator.state import HaResource, Storage, Token
from provisioner.simulator.timeline import Hold
from provisioner.simulator.wire import ApiRequest

OTHER = "buyer@pve!other"
#: How many VMIDs a range has that strangers fill.
SPAN = 20

# ---------------------------------------------------------------------------------------- VMIDs


def taken(cluster: Cluster, struck: Struck) -> None:
    """Somebody else makes a machine with this VMID, on the same node."""
    if struck.newid not in cluster.state.guests:
        cluster.add_guest(struck.newid, node=struck.target)


def taken_elsewhere(cluster: Cluster, struck: Struck) -> None:
    """Somebody else makes a machine with this VMID, on another node."""
    others = [node for node in cluster.state.nodes if node != struck.target]
    if struck.newid not in cluster.state.guests:
        cluster.add_guest(struck.newid, node=others[-1])


def raced(cluster: Cluster, struck: Struck) -> None:
    """Another client was told the same next id, and its clone comes first."""
    if OTHER not in cluster.state.tokens:
        cluster.add_token(Token(OTHER, "secret"))
    template = next(guest for guest in cluster.state.guests.values() if guest.template)
    path = f"/nodes/{template.node}/{template.kind}/{template.vmid}/clone"
    params = {"newid": str(struck.newid), "name": "theirs"}
    cluster.submit(ApiRequest("POST", path, params, f"{OTHER}=secret"))


def range_full(cluster: Cluster, struck: Struck) -> Remedy:
    """Others fill the range of VMIDs."""
    first = max(struck.newid - struck.newid % SPAN, 100)
    before = cluster.state.vmids
    cluster.state.vmids = range(first, first + SPAN)
    made = [vmid for vmid in cluster.state.vmids if vmid not in cluster.state.guests]
    for vmid in made:
        cluster.add_guest(vmid)

    def emptied() -> None:
        cluster.state.vmids = before
        for vmid in made:
            cluster.remove_guest(vmid)

    return emptied


# ---------------------------------------------------------------------------------------- locks


def file_locked(seconds: float) -> Happening:
    """Return how a worker of somebody else holds the configuration's file lock for a while."""

    def happens(cluster: Cluster, struck: Struck) -> Remedy:
        locks = cluster.state.timeline.locks
        hold = Hold(f"config-{struck.vmid}", "")
        locks.take(hold, lambda: None)
        cluster.state.timeline.after(seconds, partial(locks.release, hold))
        return partial(locks.release, hold)

    return happens


def backups_locked(cluster: Cluster, struck: Struck) -> Remedy:
    """Another backup on the node does not end."""
    locks = cluster.state.timeline.locks
    hold = Hold(f"vzdump-{struck.node}", "")
    locks.take(hold, lambda: None)
    return partial(locks.release, hold)


def locked(word: str, seconds: float | None = None) -> Happening:
    """Return how a guest comes to carry a lock, which goes again or (None) is left behind."""

    def happens(cluster: Cluster, struck: Struck) -> Remedy:
        def unlock() -> None:
            guest = cluster.state.guests.get(struck.vmid)
            if guest is not None and guest.lock == word:
                cluster.edit_guest(struck.vmid, lock=None)

        if struck.vmid in cluster.state.guests:
            cluster.edit_guest(struck.vmid, lock=word)
        if seconds is not None:
            cluster.state.timeline.after(seconds, unlock)
        return unlock

    return happens


# -------------------------------------------------------------------------------- the cluster


def quorum_lost(cluster: Cluster, _: Struck) -> Remedy:
    """Most of the nodes do not see each other any more."""
    cluster.set_quorum(quorate=False)
    return partial(cluster.set_quorum, quorate=True)


def spreading(path: str, mode: str, fault: Fault) -> Happening:
    """Return how every call that `path` means fails from now on as this one does."""

    def happens(cluster: Cluster, struck: Struck) -> None:
        everywhere = path.replace("{node}", struck.node or "*")
        cluster.arm(
            Fault(
                fault.name,
                path=everywhere,
                status=fault.status,
                text=fault.text,
                lasting=True,
                mode=mode,
            )
        )

    return happens


def clock_off(seconds: float) -> Happening:
    """Return how the clocks of all nodes come to be wrong."""

    def happens(cluster: Cluster, _: Struck) -> Remedy:
        def put(ahead: float) -> None:
            for node in cluster.state.nodes.values():
                node.clock_ahead = ahead

        put(seconds)
        return partial(put, 0.0)

    return happens


def statistics_stop(cluster: Cluster, _: Struck) -> Remedy:
    """The statistics daemon stops, and `cluster/resources` grows old."""
    cluster.state.statistics_stopped_at = cluster.now

    def again() -> None:
        cluster.state.statistics_stopped_at = None

    return again


# ------------------------------------------------------------------------------------ storages


#: What may be changed of a storage.
_CHANGING: Final = ("enabled", "active", "nodes", "size", "kind")


def storage_changed(change: Callable[[Storage], None]) -> Happening:
    """Return how something befalls the storage that a call is about."""

    def happens(cluster: Cluster, struck: Struck) -> Remedy:
        storage = _storage_of(cluster, struck)
        kept = {name: getattr(storage, name) for name in _CHANGING}
        change(storage)
        changed = {name: was for name, was in kept.items() if getattr(storage, name) != was}

        def back() -> None:  # and nothing that somebody else had changed before
            for name, was in changed.items():
                setattr(storage, name, was)

        return back

    return happens


def storage_removed(cluster: Cluster, struck: Struck) -> Remedy:
    """The storage is taken out of the cluster's configuration."""
    storage = _storage_of(cluster, struck)
    del cluster.state.storages[storage.name]
    return partial(cluster.state.storages.__setitem__, storage.name, storage)


def storage_full(cluster: Cluster, struck: Struck) -> Remedy:
    """Somebody fills the storage to its last byte."""
    storage = _storage_of(cluster, struck)
    before = storage.size
    taken = [size for (name, _), size in cluster.state.used().items() if name == storage.name]
    storage.size = max(taken, default=0)

    def roomy() -> None:
        storage.size = before

    return roomy


def offline(storage: Storage) -> None:
    """What is below the storage is away."""
    storage.active, storage.kind = False, "nfs"


def unmounted(storage: Storage) -> None:
    """The folder of a storage is no mount point any more."""
    storage.active, storage.kind = False, "dir"


def disabled(storage: Storage) -> None:
    """Somebody disables the storage."""
    storage.enabled = False


def elsewhere_only(storage: Storage) -> None:
    """Somebody takes the storage away from every node that is used."""
    storage.nodes = ("another",)


def _storage_of(cluster: Cluster, struck: Struck) -> Storage:
    guest = cluster.state.guests.get(struck.vmid)
    saved = struck.path.endswith("/vzdump")  # what it is about is where the backup goes
    copied = struck.path.endswith("/clone") and struck.storage != cluster.settings.storage
    of_guest = [] if guest is None or saved or copied else guest.disks().values()
    lines = [line for line in of_guest if "cdrom" not in line]
    name = lines[0].split(":")[0] if lines else struck.storage
    return cluster.state.storages[name]


# -------------------------------------------------------------------------------------- guests


def deleted(cluster: Cluster, struck: Struck) -> Remedy | None:
    """Somebody destroys the guest by hand; a template can be put back."""
    guest = cluster.state.guests.get(struck.vmid)
    if guest is None:
        return None
    volumes = cluster.state.volumes_of(struck.vmid)
    firewall = cluster.state.firewalls.get(struck.vmid)
    cluster.stop_guest(struck.vmid)
    cluster.remove_guest(struck.vmid)
    if not guest.template:
        return None

    def restored() -> None:
        cluster.state.add_guest(guest)
        cluster.state.volumes.update({volume.volid: volume for volume in volumes})
        if firewall is not None:
            cluster.state.firewalls[struck.vmid] = firewall

    return restored


def migrated(cluster: Cluster, struck: Struck) -> Remedy | None:
    """HA, or somebody, moves the guest to another node."""
    guest = cluster.state.guests.get(struck.vmid)
    others = [n for n, node in cluster.state.nodes.items() if node.online and n != struck.node]
    if guest is None or not others:
        return None
    guest.node = others[0]
    for volume in cluster.state.volumes_of(struck.vmid):
        volume.node = volume.node and others[0]
    return None


def started(cluster: Cluster, struck: Struck) -> None:
    """Somebody starts the guest."""
    if not cluster.guest(struck.vmid).running:
        cluster.start_guest(struck.vmid)


def stopped(cluster: Cluster, struck: Struck) -> None:
    """Somebody, or the guest itself, powers the guest off, if there is one yet."""
    if struck.vmid in cluster.state.guests:
        cluster.stop_guest(struck.vmid)


def paused(cluster: Cluster, struck: Struck) -> Remedy:
    """Somebody pauses the guest."""
    guest = cluster.state.changing(cluster.guest(struck.vmid))
    guest.power = Power.PAUSED

    def resumed() -> None:
        if guest.power is Power.PAUSED:
            cluster.state.changing(guest).power = Power.RUNNING

    return resumed


def edited(cluster: Cluster, struck: Struck) -> None:
    """Somebody changes the guest's configuration, if there is one yet."""
    if struck.vmid in cluster.state.guests:
        cluster.edit_guest(struck.vmid, cores=1, memory="1024")


def protected(cluster: Cluster, struck: Struck) -> Remedy:
    """Somebody protects the guest."""
    cluster.edit_guest(struck.vmid, protection=1)
    return partial(_unprotect, cluster, struck.vmid)


def _unprotect(cluster: Cluster, vmid: int) -> None:
    if vmid in cluster.state.guests:
        cluster.edit_guest(vmid, protection=None)


def grown(cluster: Cluster, struck: Struck) -> None:
    """Somebody makes the guest's disk larger than was sold."""
    guest = cluster.guest(struck.vmid)
    key = next(key for key, line in guest.disks().items() if "cdrom" not in line)
    volid, *options = str(guest.config[key]).split(",")
    size = parse_size("100G")
    cluster.state.volumes[volid].size = size
    kept = [option for option in options if not option.startswith("size=")]
    line = ",".join([volid, *kept, f"size={format_size(size)}"])
    cluster.edit_guest(struck.vmid, **{key: line})


def under_ha(cluster: Cluster, struck: Struck) -> Remedy:
    """Somebody puts the guest under HA, as it is."""
    guest = cluster.guest(struck.vmid)
    word = "ct" if guest.kind == "lxc" else "vm"
    state = "started" if guest.running else "stopped"
    cluster.state.ha[struck.vmid] = HaResource(f"{word}:{struck.vmid}", state)
    return partial(_forget, cluster, struck.vmid)


def _forget(cluster: Cluster, vmid: int) -> None:
    cluster.state.ha.pop(vmid, None)


def agent_changed(change: Callable[[Guest, bool], None]) -> Happening:
    """Return how something befalls the guest's agent."""

    def happens(cluster: Cluster, struck: Struck) -> Remedy:
        guest = cluster.guest(struck.vmid)
        change(guest, True)
        return partial(change, guest, False)

    return happens


def agent_dead(guest: Guest, on: bool) -> None:
    """The agent does not run."""
    guest.has_agent = not on


def link_local(guest: Guest, on: bool) -> None:
    """The agent knows of link-local addresses only."""
    guest.link_local_only = on


def stranger_near(cluster: Cluster, struck: Struck) -> None:
    """Somebody makes a machine of theirs in our range of VMIDs."""
    vmid = next(v for v in range(max(struck.newid, 100), 10**9) if v not in cluster.state.guests)
    cluster.add_guest(vmid)


def taken_afterwards(cluster: Cluster, struck: Struck) -> None:
    """The VMID of a clone that came to nothing is somebody else's now."""
    taken(cluster, struck)
