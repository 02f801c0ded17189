"""Modes 43 to 62: what befalls a guest while somebody works on it, and what no API call shows."""

from typing import Final

from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.modes import world as w
from provisioner.simulator.modes.mode import (
    AGENT,
    ANY,
    CLONE,
    CONFIG,
    CURRENT,
    DESTROY,
    OF_GUEST,
    PING,
    READ_CONFIG,
    RESIZE,
    RESOURCES,
    SHUTDOWN,
    START,
    STOP,
    SUSPEND,
    VZDUMP,
    Effect,
    Form,
    Mode,
    Told,
    on_task,
    task_fails,
    world,
)
from provisioner.simulator.modes.working import FILE_HELD, VM_LOCKED

GONE: Final = "Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"
IN_HA: Final = "unable to remove VM {vmid} - used in HA resources and purge parameter not set."

GUESTS: Final = (
    Mode(
        43,
        "guest gone",
        (CONFIG, START, RESIZE, SHUTDOWN, STOP, DESTROY, CURRENT, READ_CONFIG),
        Effect.NONE,
        "By itself: what is owed is made again; a template has to be put back.",
        (world(GONE, w.deleted),),
        lasts=True,
    ),
    Mode(
        44,
        "guest runs when it is to be destroyed",
        (DESTROY,),
        Effect.NONE,
        "By itself: it is stopped first.",
        (world("VM {vmid} is running - destroy failed", w.started),),
    ),
    Mode(
        45,
        "guest under HA when it is to be destroyed",
        OF_GUEST,
        Effect.NONE,
        "By itself: a destroy purges it from HA too.",
        (world(IN_HA, w.under_ha),),
        lasts=True,
    ),
    Mode(
        46,
        "guest protected",
        (DESTROY,),
        Effect.NONE,
        "By itself: protection is what a hold sets, and only a hold.",
        (world("can't remove VM {vmid} - protection mode enabled", w.protected),),
        lasts=True,
    ),
    Mode(
        47,
        "destroyed, and a disk stays",
        (DESTROY,),
        Effect.DONE,
        "Bring the storage back, and remove the volume that is named by hand.",
        (
            world(
                "Could not remove disk '*', check manually*",
                w.storage_changed(w.unmounted),
                told=Told.LOG,
            ),
        ),
        lasts=True,
    ),
    Mode(
        48,
        "destroy begins and finds a lock",
        (DESTROY,),
        Effect.NONE,
        "By itself: it is tried again.",
        (world(VM_LOCKED, w.file_locked(FILE_HELD), told=Told.TASK),),
    ),
    Mode(
        49,
        "power is already so",
        (START, SHUTDOWN, STOP),
        Effect.DONE,
        "By itself: its power is looked at.",
        (
            world("VM {vmid} already running", w.started, told=Told.TASK),
            world("", w.stopped, told=Told.NOWHERE),
        ),
    ),
    Mode(
        50,
        "start failed",
        (START,),
        Effect.UNKNOWN,
        "By itself: its power is looked at; if it goes on, read the task's log.",
        (
            task_fails("start failed: QEMU exited with code 1"),
            on_task(
                FaultName.TASK_LIES,
                "start failed: QEMU exited with code 1",
                text="start failed: QEMU exited with code 1",
            ),
        ),
    ),
    Mode(
        51,
        "shutdown ignored",
        (SHUTDOWN,),
        Effect.NONE,
        "By itself: it is asked again, and stopped by force.",
        (
            task_fails("VM quit/powerdown failed - got timeout"),
            world("VM is paused - cannot shutdown", w.paused),
        ),
    ),
    Mode(
        52,
        "suspend under HA",
        (SUSPEND,),
        Effect.NONE,
        "Nothing: a suspension here is a shutdown.",
        (world("Cannot suspend HA managed VM to disk", w.under_ha),),
        lasts=True,
    ),
    Mode(
        53,
        "agent silent",
        AGENT,
        Effect.NONE,
        "Start qemu-guest-agent in the guest, or reboot it.",
        (
            world("QEMU guest agent is not running", w.agent_changed(w.agent_dead)),
            Form("", Fault(FaultName.HANG, seconds=60.0, status=0)),
            world("", w.agent_changed(w.link_local), told=Told.NOWHERE),
        ),
        lasts=True,
    ),
    Mode(
        54,
        "disk larger than asked for",
        (RESIZE,),
        Effect.NONE,
        "By itself: a larger disk is left as it is.",
        (world("shrinking disks is not supported", w.grown, told=Told.TASK),),
    ),
    Mode(
        55,
        "configuration changed meanwhile",
        (CONFIG,),
        Effect.NONE,
        "By itself: it is read again.",
        (world("checksum mismatch (file change by other user?)", w.edited),),
    ),
    Mode(
        56,
        "backup failed",
        (VZDUMP,),
        Effect.NONE,
        "Read the task's log: another backup, a lock, no room.",
        (
            task_fails("job errors"),
            world(
                "can't acquire lock '/var/run/vzdump.lock' - got timeout",
                w.backups_locked,
                told=Told.TASK,
            ),
        ),
    ),
)

OTHERS: Final = (
    Mode(
        57,
        "guest moved to another node",
        (CONFIG, START, RESIZE, SHUTDOWN, STOP, DESTROY, CURRENT),
        Effect.NONE,
        "By itself: it is found where it is now.",
        (world(GONE, w.migrated),),
    ),
    Mode(
        58,
        "list of the cluster grows old",
        (CLONE, START, SHUTDOWN, DESTROY, CONFIG, RESOURCES),
        Effect.NONE,
        "By itself: the list only selects; restart pvestatd if it stays so.",
        (world("", w.statistics_stop, told=Told.NOWHERE),),
        lasts=True,
    ),
    Mode(
        59,
        "somebody else at work",
        (CONFIG, CURRENT, READ_CONFIG, START, SHUTDOWN, STOP, DESTROY, CLONE),
        Effect.NONE,
        "By itself: what was changed is changed back, who is no guest of ours is let be.",
        (
            world("", w.stranger_near, told=Told.NOWHERE),
            world("", w.edited, told=Told.NOWHERE),
            world("", w.stopped, told=Told.NOWHERE),
        ),
    ),
    Mode(
        60,
        "SSH to a node or into a container",
        (),
        Effect.UNKNOWN,
        "Compare the host key, make room on the node, look at what the program said.",
        (),
        elsewhere="SSH",
    ),
    Mode(
        61,
        "chain and machine at the same time",
        (),
        Effect.UNKNOWN,
        "By itself: the next pass takes another step.",
        (),
        elsewhere="chain",
    ),
    Mode(
        62,
        "clocks apart",
        (CLONE, START, SHUTDOWN, DESTROY, CONFIG, RESIZE, PING, ANY),
        Effect.DONE,
        "Have the nodes' clocks set (chrony); a few minutes do no harm.",
        (
            world("", w.clock_off(240.0), told=Told.NOWHERE),
            world("", w.clock_off(-240.0), told=Told.NOWHERE),
        ),
        lasts=True,
    ),
)
