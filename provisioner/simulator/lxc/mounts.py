"""A container's mount points: `STORAGE:GIB` asks for a new volume, anything else names one.

A volume keeps its size whatever a caller says of it; only a resize changes that.
"""

import re

from provisioner.simulator.guests import MIB, SIZE_UNITS, format_size, size_of
from provisioner.simulator.state import State, Volume
from provisioner.simulator.task import Task
from provisioner.simulator.volumes import container_format, new_volume, usable_storage
from provisioner.simulator.wire import Refused

NEW = re.compile(r"([A-Za-z][\w.-]*):(\d+(?:\.\d+)?)")


def storage_asked(text: str) -> str | None:
    """Return on which storage a mount point's new volume is wanted, None without a new one."""
    wanted = NEW.fullmatch(_volume_of(text))
    return None if wanted is None else wanted[1]


def mount_line(state: State, vmid: int, text: str, old: str = "", task: Task | None = None) -> str:
    """Return the config line for a mount point wanted as `text`, its volume made if it is new."""
    options = [part for part in text.split(",")[1:] if part and not part.startswith("size=")]
    volid = _volume_of(text)
    wanted = NEW.fullmatch(volid)
    if wanted is not None:
        size = int(float(wanted[2]) * SIZE_UNITS["G"] / MIB) * MIB
        volume = _made(state, vmid, wanted[1], size, task)
        return line_of(volume, options)
    if volid == old.split(",", maxsplit=1)[0]:
        return ",".join([volid, *sorted([*options, f"size={format_size(size_of(old))}"])])
    if volid not in state.volumes:
        usable_storage(state, volid.split(":")[0], state.guests[vmid].node)
        raise Refused(f"volume '{volid}' does not exist")
    return line_of(state.volumes[volid], options)


def line_of(volume: Volume, options: list[str]) -> str:
    """Return the config line of `volume` mounted with `options`."""
    size = format_size(volume.size) if volume.size else "0T"
    return ",".join([volume.volid, *sorted([*options, f"size={size}"])])


def _volume_of(text: str) -> str:
    return text.split(",", maxsplit=1)[0].removeprefix("volume=")


def _made(state: State, vmid: int, name: str, size: int, task: Task | None) -> Volume:
    storage = usable_storage(state, name, state.guests[vmid].node)
    form = container_format(storage, size)
    volume = new_volume(state, storage, vmid, (size, form))
    if task is not None and form == "raw":
        file = volume.volid.partition(":")[2]
        task.log.append(f"Formatting '{file}', fmt=raw size={size} preallocation=off")
    return volume
