"""Modes 6 to 12 and 32 to 42: locks, tasks, and the storages that they work on."""

from typing import Final

from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.modes import world as w
from provisioner.simulator.modes.mode import (
    CLONE,
    CONFIG,
    DESTROY,
    DROP_BACKUP,
    MAKING,
    OF_GUEST,
    RESIZE,
    SHUTDOWN,
    SNAPSHOTS,
    START,
    STOP,
    TASKS,
    VZDUMP,
    Effect,
    Form,
    Mode,
    Told,
    on_task,
    refused,
    task_fails,
    world,
)

VM_LOCKED: Final = "can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
CT_LOCKED: Final = "can't lock file '/run/lock/lxc/pve-config-{vmid}.lock' - got timeout"
STORAGE_LOCKED: Final = "can't lock file '/var/lock/pve-manager/pve-storage-{storage}'"
LOCKS: Final = (
    "backup",
    "create",
    "migrate",
    "rollback",
    "snapshot",
    "snapshot-delete",
    "suspending",
    "suspended",
    "clone",
)
OF_CONTAINER: Final = tuple((verb, path.replace("{kind}", "lxc")) for verb, path in OF_GUEST)
#: For how long others hold a file lock, and a guest, in seconds.
FILE_HELD, GUEST_HELD = 30.0, 45.0

LOCKED: Final = (
    Mode(
        6,
        "configuration file locked",
        OF_GUEST,
        Effect.NONE,
        "By itself, when whoever has the lock is done.",
        (
            world(VM_LOCKED, w.file_locked(FILE_HELD)),
            world(VM_LOCKED, w.file_locked(FILE_HELD), told=Told.TASK),
        ),
    ),
    Mode(
        7,
        "container's configuration file locked",
        OF_CONTAINER,
        Effect.NONE,
        "By itself, when whoever has the lock is done.",
        (
            world(CT_LOCKED, w.file_locked(FILE_HELD)),
            world(CT_LOCKED, w.file_locked(FILE_HELD), told=Told.TASK),
        ),
    ),
    Mode(
        8,
        "storage locked on the node",
        MAKING,
        Effect.NONE,
        "By itself; if it goes on, allow fewer clones at once (`clones_per_storage`).",
        (
            task_fails(
                f"{STORAGE_LOCKED} - got timeout",
                says=f"clone failed: {STORAGE_LOCKED} - got timeout",
            ),
        ),
    ),
    Mode(
        9,
        "storage locked in the cluster",
        MAKING,
        Effect.NONE,
        "By itself; if it goes on, allow fewer clones at once (`clones_per_storage`).",
        (
            task_fails(
                "cfs-lock 'storage-{storage}' error: got lock request timeout",
                says="clone failed: cfs-lock 'storage-{storage}' error: got lock request timeout",
            ),
        ),
    ),
    Mode(
        10,
        "storage too slow",
        (*MAKING, RESIZE),
        Effect.NONE,
        "By itself; if it goes on, look at the storage.",
        (task_fails("'storage-{storage}'-locked command timed out - aborting"),),
    ),
    Mode(
        11,
        "guest locked for a while",
        (CLONE, CONFIG, DESTROY, SHUTDOWN, STOP, START, RESIZE, VZDUMP, *SNAPSHOTS),
        Effect.NONE,
        "By itself, when the other work is done; of a lock that stays, see 12.",
        tuple(world(f"VM is locked ({word})", w.locked(word, GUEST_HELD)) for word in LOCKS),
    ),
    Mode(
        12,
        "lock that is never released",
        (CONFIG, CLONE, DESTROY, SHUTDOWN, STOP, START, RESIZE, VZDUMP, *SNAPSHOTS),
        Effect.NONE,
        "See that no task is working on it, then unlock it (`qm unlock N`, `pct unlock N`).",
        (
            world("VM is locked (backup)", w.locked("backup")),
            world("CT is locked (backup)", w.locked("backup")),
        ),
        lasts=True,
    ),
)

WORKERS: Final = (
    Mode(
        32,
        "success with a warning",
        TASKS,
        Effect.DONE,
        "Nothing is wrong; the task's log says what was odd.",
        (on_task(FaultName.TASK_WARNS, "WARNINGS: 1"),),
    ),
    Mode(
        33,
        "worker killed",
        TASKS,
        Effect.UNKNOWN,
        "By itself; what a clone left locked is looked at, unlocked and destroyed by hand.",
        (on_task(FaultName.TASK_KILLED, "unexpected status"),),
        lasts=True,
    ),
    Mode(
        34,
        "task forgotten",
        TASKS,
        Effect.DONE,
        "By itself: the guest is looked at instead.",
        (on_task(FaultName.TASK_FORGOTTEN),),
    ),
    Mode(
        35,
        "task without an end",
        TASKS,
        Effect.NONE,
        "Look at the task's log, and stop it if nothing moves.",
        (on_task(FaultName.TASK_ENDLESS),),
        lasts=True,
    ),
    Mode(
        36,
        "clone interrupted, VMID reused",
        MAKING,
        Effect.NONE,
        "By itself: another VMID is chosen.",
        (
            Form(
                "clone failed: interrupted by signal",
                Fault(FaultName.TASK_FAILS, text="interrupted by signal"),
                Told.TASK,
            ),
        ),
    ),
    Mode(
        37,
        "clone under way, without an owner",
        MAKING,
        Effect.DONE,
        "By itself: nothing that holds a lock is judged.",
        (on_task(FaultName.TASK_SLOW, seconds=90),),
    ),
)

STORAGES: Final = (
    Mode(
        38,
        "storage away",
        (*MAKING, START, RESIZE, DESTROY, VZDUMP, DROP_BACKUP),
        Effect.NONE,
        "Bring the storage back: enable it, mount it, give it to the node.",
        (
            world("storage '{storage}' is disabled", w.storage_changed(w.disabled)),
            world("storage '{storage}' does not exist", w.storage_removed),
            world(
                "storage '{storage}' is not online", w.storage_changed(w.offline), told=Told.TASK
            ),
            world(
                "storage '{storage}' is not available on node '{node}'",
                w.storage_changed(w.elsewhere_only),
            ),
        ),
        lasts=True,
    ),
    Mode(
        39,
        "storage full",
        (*MAKING, RESIZE, VZDUMP),
        Effect.NONE,
        "Make room on the storage.",
        (
            world("not enough free space (* < *)", w.storage_full, told=Told.TASK),
            task_fails("lvcreate 'pve/vm-{newid}-disk-0' error: insufficient free space"),
            task_fails(
                "Cannot create new thin volume, free space in thin pool pve/data reached"
                " threshold (thin pool full)."
            ),
        ),
        lasts=True,
    ),
    Mode(
        40,
        "clone to a node that lacks the storage",
        (CLONE,),
        Effect.NONE,
        "Put the template on a shared storage, or give each node a template, then retry.",
        (
            refused("can't clone VM to node '{target}' (VM uses local storage)", lasting=True),
            refused("can't clone to non-shared storage '{storage}'", lasting=True),
        ),
        lasts=True,
    ),
    Mode(
        41,
        "storage without linked clones, or named for one",
        (CLONE,),
        Effect.NONE,
        'Write `clone = "full"`, or name no `clone_storage`, then retry.',
        (
            refused("parameter 'storage' not allowed for linked clones", lasting=True),
            refused(
                "Linked clone feature is not supported for '{storage}:vm-{vmid}-disk-0' (scsi0)",
                lasting=True,
            ),
        ),
        lasts=True,
    ),
    Mode(
        42,
        "base volume in use",
        (DESTROY,),
        Effect.NONE,
        "Destroy the clones that hang on it, then retry.",
        (
            task_fails(
                "base volume '{storage}:{vmid}/base-{vmid}-disk-0.qcow2' is still in use by"
                " linked cloned",
                lasting=True,
            ),
        ),
        lasts=True,
    ),
)
