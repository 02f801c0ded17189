"""What the id of a task tells: `UPID:node:pid:pstart:starttime:type:id:user:`.

The node is the one that the task runs on, which for a clone to another node is the template's; and
a clone's `id` is the template's VMID, not the new machine's.
"""

from provisioner.errors import Permanent


def node_of(upid: str) -> str:
    """Return the node that a task runs on."""
    return _fields(upid)[1]


def kind_of(upid: str) -> str:
    """Return what a task does, as `qmstart`."""
    return _fields(upid)[5]


def started_at(upid: str) -> int:
    """Return when a task began, in seconds on its node's wall clock."""
    return int(_fields(upid)[4], 16)


def booted_at(upid: str) -> int:
    """Return when a task's node had booted, by the clock that dates the task (wall seconds).

    A process knows how long after the boot it began, in hundredths of a second; so tasks of one
    boot are told from those of another whatever their clock was set to meanwhile.
    """
    return started_at(upid) - int(_fields(upid)[3], 16) // 100


def guest_of(upid: str) -> int | None:
    """Return the VMID that a task carries, None for one that is about no guest."""
    ident = _fields(upid)[6]
    return int(ident) if ident.isdecimal() else None


def user_of(upid: str) -> str:
    """Return who began a task: a user, or `user!token`."""
    return _fields(upid)[7]


def _fields(upid: str) -> list[str]:
    fields = upid.split(":")
    if len(fields) < 8 or fields[0] != "UPID":
        raise Permanent(f"{upid!r} is no task id of Proxmox")
    return fields
