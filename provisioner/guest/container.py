"""The way into a container: `pct exec` on its node, which runs there as the container's root.

What it assumes of the guest: GNU or busybox `head`, `id`, `install`, `pkill` and `usermod`, and
`useradd` where the account is missing. Arguments are arguments and never meet a shell, in the
container either; keys go in over standard input. Whatever the guest answers is hostile: nothing of
it is used beyond an exit code and host keys, and what it said is shown to people only, bounded.

What is called here is the node, so the fault points on this way are `node.pct_exec`'s; those of
`guest.*` belong to whoever leads here (`backends.proxmox.containershell`).
"""

import re
from collections.abc import Sequence
from typing import Final

from provisioner.errors import AgentSilent, Permanent, Transient, UnknownOutcome
from provisioner.gecos import command as gecos_command
from provisioner.guest.node import SHOWN
from provisioner.hostkeys import FILES, LONGEST, host_keys
from provisioner.ports import Finished, NodeShell

#: Seconds that each of our own commands may take in the guest, and that a question may.
OURS: Final = 20
ANSWER: Final = 5
#: The most characters of keys, as for virtual machines.
LONGEST_KEYS: Final = 61_440

#: `pkill` says 1 when no process matched: there was nobody to end.
_ENDED: Final = (0, 1)


class PctShell:
    """See `provisioner.ports.GuestShell`; `run` is for who wants to run a command of theirs."""

    def __init__(self, nodes: NodeShell) -> None:
        self._nodes = nodes

    async def answers(self, node: str, vmid: int) -> bool:
        """Run `true` in the container: who can run it is up."""
        try:
            return (await self._nodes.pct_exec(node, vmid, ["true"], limit=ANSWER)).code == 0
        except (AgentSilent, UnknownOutcome):
            return False

    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        """Overwrite the authorized keys of `user`, whose account is made if need be, and of root.

        Where `keys` is empty and there is no such account, nobody could enter by it.
        """
        _user(user)
        content = f"{keys.rstrip()}\n".encode() if keys.strip() else b""
        if len(content) > LONGEST_KEYS:
            raise Permanent(f"{len(content)} characters of SSH keys, {LONGEST_KEYS} at most")
        await self._ours(node, vmid, _install("root"), content)
        if user == "root":
            return
        if (await self._ours(node, vmid, ["id", "-u", user], codes=(0, 1))).code:
            if not content:
                return
            await self._ours(node, vmid, ["useradd", "-m", "-s", "/bin/bash", user])
        await self._ours(node, vmid, _install(user), content)

    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        """Run `usermod`; a text that is more than letters, digits and `=,._-` is refused."""
        _user(user)
        await self._ours(node, vmid, gecos_command(user, gecos))

    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        """Kill every process of `user` (of root: its logins), and see that the command has ended.

        Raises Transient when it cannot do it: a time-out is no exit code.
        """
        _user(user)
        # Everything in a container is root's: there it is what sshd opened for root that ends.
        whose = ["-f", "^sshd(-session)?: root[ @]"] if user == "root" else ["-u", user]
        await self._ours(node, vmid, ["pkill", "-KILL", *whose], codes=_ENDED)

    async def host_keys(self, node: str, vmid: int) -> tuple[str, ...]:
        """Read the beginning of the files in which they stand; one that is missing says nothing."""
        words = ["head", "-q", "-c", str(LONGEST), *FILES]
        ended = await self._ours(node, vmid, words, codes=(0, 1))
        return host_keys(ended.output.decode(errors="replace").splitlines())

    async def run(
        self, node: str, vmid: int, words: Sequence[str], content: bytes = b"", limit: int = 30
    ) -> Finished:
        """Run somebody's command in the container; its exit code is its own.

        Raises AgentSilent when the container does not run, and UnknownOutcome when the command did
        not end within `limit` seconds or said too much: that is never a success.
        """
        return await self._nodes.pct_exec(node, vmid, words, content, limit)

    async def _ours(
        self,
        node: str,
        vmid: int,
        words: Sequence[str],
        content: bytes = b"",
        codes: Sequence[int] = (0,),
    ) -> Finished:
        """Run a command that may be repeated. Raises Transient for an exit code not of `codes`."""
        try:
            ended = await self._nodes.pct_exec(node, vmid, words, content, OURS)
        except UnknownOutcome as error:
            raise Transient(f"{error}; it is done again") from None
        if ended.code not in codes:
            said = ended.error.decode(errors="replace").strip()[:SHOWN]
            raise Transient(
                f"guest {vmid}: `{' '.join(words)}` ended with exit code {ended.code}: {said}; "
                "mend that in the container, or let it be reinstalled"
            )
        return ended


def _install(user: str) -> list[str]:
    """Return the command that makes standard input `user`'s authorized keys.

    The folder is root's, which sshd accepts, where it has to be made.
    """
    path = f"{'/root' if user == 'root' else f'/home/{user}'}/.ssh/authorized_keys"
    return ["install", "-D", "-m", "600", "-o", user, "-g", user, "/dev/stdin", path]


def _user(user: str) -> None:
    """Refuse what is no user name; it must reach neither a path nor a command."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", user):
        raise Permanent(f"{user!r} is no user name")
