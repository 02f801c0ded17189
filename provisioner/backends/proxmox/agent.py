"""The way into a guest through the QEMU guest agent, which runs there as root.

What it assumes of the guest: the agent runs and may write files, run `pkill` and `usermod`;
cloud-init has made the user and its `~/.ssh/authorized_keys` at the first boot (a file that is only
overwritten keeps its owner and mode); sshd reads that file. What it cannot give: a former owner had
root inside and may have left other ways in; only a reinstall removes those. Whatever the guest
answers is hostile: nothing of it is used beyond "it answered", an exit code, and host keys that are
told to its own owner.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from provisioner.backends.proxmox.answers import flag, number, record, text
from provisioner.backends.proxmox.api import Api, ApiError, JsonValue, ParamValue
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading, sentence, writing
from provisioner.errors import AgentSilent, Permanent, Transient
from provisioner.faultpoints import guarded
from provisioner.gecos import command as gecos_command
from provisioner.hostkeys import FILES, host_keys

#: Proxmox refuses more (`value may only be 61440 characters long`).
LONGEST_FILE: Final = 61440
#: Seconds that a command of ours takes, so that the first look finds it ended; then how often, and
#: every how many seconds, its end is looked for.
QUICK: Final = 0.2
LOOKS: Final = 20
PAUSE: Final = 0.5

#: `pkill` says 1 when no process matched: there was nobody to end.
_ENDED: Final = frozenset({0, 1})


class AgentShell:
    """See `provisioner.ports.GuestShell`; `pause` waits so many seconds."""

    def __init__(self, api: Api, pause: Callable[[float], Awaitable[None]]) -> None:
        self._api: Api = ByNode(api)
        self._pause = pause

    @guarded("guest.answers")
    async def answers(self, node: str, vmid: int) -> bool:
        """Ping the agent; Proxmox takes 3 s to say that it is silent."""
        try:
            with reading(f"the agent of {vmid}"):
                await self._ask("POST", node, vmid, "ping")
        except AgentSilent:
            return False
        return True

    @guarded("guest.set_authorized_keys")
    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        """Overwrite the authorized keys of `user` and of root with `keys`.

        An account without the file lets nobody in by key. That is enough for root, and for `user`
        when `keys` is empty; otherwise it is Transient: the guest has not finished its first boot.
        """
        home = _home(user)
        content = f"{keys.rstrip()}\n" if keys.strip() else ""
        if len(content) > LONGEST_FILE:
            raise Permanent(f"{len(content)} characters of SSH keys, {LONGEST_FILE} at most")
        await self._write_keys(node, vmid, home, content, must_exist=bool(content))
        if home != "/root":
            await self._write_keys(node, vmid, "/root", content, must_exist=False)

    @guarded("guest.set_gecos")
    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        """Run `usermod`; a text that is more than letters, digits and `=,._-` is refused."""
        _home(user)
        command = gecos_command(user, gecos)
        with writing(f"GECOS of {user} on {vmid}"):
            started = await self._ask("POST", node, vmid, "exec", {"command": command})
            code = await self._exit_code(node, vmid, number(record(started, "exec"), "pid"))
        if code != 0:
            raise Transient(f"guest {vmid}: `usermod` ended with exit code {code}")

    @guarded("guest.end_sessions")
    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        """Kill every process of `user`, and see that the command has ended.

        Raises Transient when it does not end in time or cannot do it: a time-out is no exit code.
        """
        _home(user)
        command = ("pkill", "-KILL", "-u", user)
        with writing(f"end the sessions of {user} on {vmid}"):
            started = await self._ask("POST", node, vmid, "exec", {"command": command})
            code = await self._exit_code(node, vmid, number(record(started, "exec"), "pid"))
        if code not in _ENDED:
            raise Transient(f"guest {vmid}: `{' '.join(command)}` ended with exit code {code}")

    @guarded("guest.host_keys")
    async def host_keys(self, node: str, vmid: int) -> tuple[str, ...]:
        """Read the files in which they stand; one that is not there is left out."""
        said = []
        for path in FILES:
            with reading(f"host keys of guest {vmid}"):
                try:
                    data = await self._ask("GET", node, vmid, "file-read", {"file": path})
                except ApiError as error:
                    if "No such file or directory" not in sentence(error):
                        raise
                    continue
            said.append(text(record(data, "file-read"), "content"))
        return host_keys(said)

    async def _exit_code(self, node: str, vmid: int, pid: int) -> int:
        await self._pause(QUICK)
        for _ in range(LOOKS):
            data = await self._ask("GET", node, vmid, "exec-status", {"pid": pid})
            row = record(data, "exec-status")
            if flag(row, "exited"):
                return number(row, "exitcode", default=-1)
            await self._pause(PAUSE)
        raise Transient(f"guest {vmid}: process {pid} did not end within {LOOKS * PAUSE:g} s")

    async def _write_keys(
        self, node: str, vmid: int, home: str, content: str, *, must_exist: bool
    ) -> None:
        path = f"{home}/.ssh/authorized_keys"
        with writing(f"authorized keys in guest {vmid}"):
            try:
                await self._ask(
                    "POST", node, vmid, "file-write", {"file": path, "content": content}
                )
            except ApiError as error:
                missing = "No such file or directory" in sentence(error)
                if must_exist or not missing:
                    raise

    async def _ask(
        self,
        method: str,
        node: str,
        vmid: int,
        what: str,
        params: dict[str, ParamValue] | None = None,
    ) -> JsonValue:
        path = f"/nodes/{node}/qemu/{vmid}/agent/{what}"
        try:
            return await self._api.call(method, path, params, slow=True)
        except ApiError as error:
            if re.fullmatch(r"VM \d+ is not running", sentence(error)):
                raise AgentSilent(sentence(error)) from error
            raise


def _home(user: str) -> str:
    """Return the home of `user`; a name that is none must reach neither a path nor a command."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise Permanent(f"{user!r} is no user name")
    return "/root" if user == "root" else f"/home/{user}"
