"""Who laid hands on a guest that somebody else made: noted before the call is judged.

Cloning a guest, talking to its agent's `ping`, reading, and writing settings with the digest of
others than stand there leave it as it is; anything else that names a guest, its volume or its
backup is a touch, whether it is allowed or not.
"""

from provisioner.simulator.access import Ask
from provisioner.simulator.guests import Guest
from provisioner.simulator.state import State

LEAVE_IT_AS_IT_IS = ("/clone", "/agent/ping")


def note_touches(state: State, ask: Ask, pattern: str) -> None:
    """Note whom of others' guests a changing call is about."""
    if pattern.endswith(LEAVE_IT_AS_IT_IS):
        return
    for vmid in _meant(state, ask, pattern):
        guest = state.guests.get(vmid)
        if guest is None or guest.created_by == ask.token.id:
            continue
        if not _overtaken(guest, ask, pattern):
            state.touched.add((ask.token.id, vmid))


def _overtaken(guest: Guest, ask: Ask, pattern: str) -> bool:
    """Say whether settings are written of which what stands there has become another."""
    return pattern.endswith("/config") and ask.text("digest") not in ("", guest.digest())


def _meant(state: State, ask: Ask, pattern: str) -> list[int]:
    if "vmid" in ask.names:
        return [ask.vmid]
    if "volume" in ask.names:
        name = ask.names["volume"]
        volume, file = state.volumes.get(name), state.files.get(name)
        if file is not None and file.made_by == ask.token.id:
            return []  # his own backup, whoever has the VMID by now
        return [each.vmid for each in (volume, file) if each is not None]
    if pattern.endswith("/vzdump"):
        words = ask.text("vmid").replace(",", " ").split()
        return [int(word) for word in words if word.isdigit()]
    return [ask.number("vmid", 0)] if ask.flag("force") else []
