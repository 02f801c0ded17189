"""What the steps are called in a node's task list, and which of them have an odd end."""

from typing import Final

from provisioner.ports import TaskRow

#: How many tasks a node's list shows at most: more than it makes in days.
LONGEST_LIST: Final = 5000
#: Which tasks carry a step out, as a node's task list calls them.
TASKS: Final = {
    "start": ("qmstart", "vzstart", "hastart"),
    "shutdown": ("qmshutdown", "qmstop", "vzshutdown", "vzstop", "hastop"),
    "destroy": ("qmdestroy", "vzdestroy"),
    "resize": ("resize",),
    "configure": ("resize",),
    "switch-off": ("qmshutdown", "qmstop", "vzshutdown", "vzstop", "hastop"),
    "kill": ("qmstop", "vzstop", "hastop"),
    "reinstall": ("qmdestroy", "vzdestroy"),
    "snapshot": ("qmsnapshot", "vzsnapshot"),
    "rollback": ("qmrollback", "vzrollback"),
    "backup": ("vzdump",),
    "restore": ("qmrestore", "vzrestore"),
}
#: Steps whose doing again is another deed: what was lost of them is searched for among ended tasks.
ONCE: Final = frozenset({"rollback"})
#: Steps that are not asked for again while a call without an answer may still be carried out: the
#: one would lose more than once, the other would leave two where one was wanted.
PATIENT: Final = ONCE | {"backup"}
#: What begins with a machine and ends with none.
REMOVING: Final = frozenset({"destroy", "reinstall"})
#: Tasks after which another guest than before may stand at the VMID that they carry, or none.
REPLACING: Final = frozenset(
    {"qmdestroy", "vzdestroy", "qmcreate", "vzcreate", "qmrestore", "vzrestore"}
)
#: Tasks that are begun of a machine of ours only once it is configured.
LATER: Final = frozenset({"qmstart", "vzstart", "resize"})


def over_before(row: TaskRow, made: TaskRow) -> bool:
    """Say whether a task was surely over when another one of the same node began, to the second."""
    return row.ended is not None and row.started < made.started and row.ended <= made.started


def succeeded(exit_status: str | None) -> bool:
    """Say whether a task ended well, by its exit status: `OK` or `WARNINGS: n`; None has no end."""
    return exit_status is not None and exit_status.split(":")[0] in ("OK", "WARNINGS")


def makes(task: str) -> bool:
    """Say whether tasks of this kind make guests, whose VMID they need not carry."""
    return task.endswith(("clone", "create", "restore"))
