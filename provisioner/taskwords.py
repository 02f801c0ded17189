"""What the steps are called in a node's task list, and which of them have an odd end."""

from typing import Final

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
#: What begins with a machine and ends with none.
REMOVING: Final = frozenset({"destroy", "reinstall"})


def makes(task: str) -> bool:
    """Say whether tasks of this kind make guests, whose VMID they need not carry."""
    return task.endswith(("clone", "create", "restore"))
