"""The SSH side of one simulated cluster: a real server for each node, on a port of the kernel's.

Whoever has the one authorized key gets what the helper gives, for every command line, and neither a
shell nor a terminal, a forwarding or a file transfer. `change_host_key` makes a node a stranger;
faults strike by verb, or at the login.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import asyncssh

from provisioner.guest.ended import Ended
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import FaultName
from provisioner.simulator.ssh.verbs import LARGEST_CONTENT, Failed, noted, serve
from provisioner.simulator.wire import Refused

HOST = "127.0.0.1"


class SshFront:
    """All nodes of a cluster; `poke` tells whoever drives virtual time that something waits.

    `connections` counts those there ever were, `most_sessions` how many were open at once.
    """

    def __init__(
        self, cluster: Cluster, authorized: Iterable[str], poke: Callable[[], object] | None = None
    ) -> None:
        self.cluster = cluster
        self._authorized = {" ".join(line.split()[:2]) for line in authorized}
        self._poke = poke
        self._keys = {name: _new_key() for name in cluster.state.nodes}
        self._acceptors: dict[str, asyncssh.SSHAcceptor] = {}
        self._there: set[asyncssh.SSHServerConnection] = set()
        self.connections, self.sessions, self.most_sessions = 0, 0, 0

    async def __aenter__(self) -> Self:
        for node, key in self._keys.items():
            self._acceptors[node] = await self._listen(node, key)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()
        for acceptor in self._acceptors.values():
            acceptor.close()
            await acceptor.wait_closed()

    def known_hosts(self) -> list[str]:
        """Return the lines that a configuration needs: node, address and host key."""
        return [
            f"{node} [{HOST}]:{acceptor.get_port()} {_public(self._keys[node])}"
            for node, acceptor in self._acceptors.items()
        ]

    def fingerprint(self, node: str) -> str:
        """Return the fingerprint of the host key that a node shows."""
        return self._keys[node].get_fingerprint()

    def change_host_key(self, node: str) -> None:
        """Show another host key on new connections: the node was made anew, or is another."""
        self._keys[node] = _new_key()
        self._acceptors[node].update(server_host_keys=[self._keys[node]])

    def cut(self) -> None:
        """Cut every connection."""
        for connection in list(self._there):
            connection.abort()

    async def _listen(self, node: str, key: asyncssh.SSHKey) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            HOST,
            0,
            server_factory=lambda: _Node(self, node),
            server_host_keys=[key],
            process_factory=None,
            allow_pty=False,
            agent_forwarding=False,
            sftp_factory=None,
            allow_scp=False,
            encoding=None,
            gss_host=None,
        )

    def admits(self, node: str, key: asyncssh.SSHKey) -> bool:
        """Say whether `key` may enter `node` now."""
        state = self.cluster.state
        fault = state.faults.match("SSH", noted(state, node, "login"))
        struck = fault is not None and fault.name is FaultName.UNAUTHORIZED
        return _public(key) in self._authorized and not struck

    def came(self, connection: asyncssh.SSHServerConnection) -> None:
        """Take note of a connection."""
        self._there.add(connection)
        self.connections += 1

    def went(self, connection: asyncssh.SSHServerConnection) -> None:
        """Forget a connection."""
        self._there.discard(connection)

    def counted(self, change: int) -> None:
        """Take note of a session that began (1) or ended (-1)."""
        self.sessions += change
        self.most_sessions = max(self.most_sessions, self.sessions)

    async def run(self, node: str, command: str, content: bytes) -> Ended | None:
        """Run a command line on virtual time; without `poke` nobody else drives it, so we do."""
        ends: asyncio.Future[Ended | None] = asyncio.get_running_loop().create_future()

        def ended(value: Ended | None, _: Refused | None) -> None:
            if not ends.done():
                ends.set_result(value)

        timeline = self.cluster.state.timeline
        timeline.spawn(serve(self.cluster.state, node, command, content), ended)
        if self._poke is not None:
            self._poke()
        while not ends.done() and self._poke is None:
            due = timeline.next_due()
            if due is None:
                break
            self.cluster.advance_to(due)
        return await ends


class _Node(asyncssh.SSHServer):
    """One connection to one node."""

    def __init__(self, front: SshFront, node: str) -> None:
        self._front, self._node = front, node
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._front.came(conn)
        if not self._front.cluster.state.nodes[self._node].online:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._front.went(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        del username
        return self._front.admits(self._node, key)

    def session_requested(self) -> "_Session":
        return _Session(self._front, self._node)


class _Session(asyncssh.SSHServerSession[bytes]):
    """One session: a command line, or a refusal."""

    def __init__(self, front: SshFront, node: str) -> None:
        self._front, self._node = front, node
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._command = ""
        self._content = bytearray()
        self._work: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan
        self._front.counted(1)

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        del subsystem
        return True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        self._content.extend(data[: LARGEST_CONTENT + 1 - len(self._content)])

    def eof_received(self) -> bool:
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._serve())
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._front.counted(-1)
        if self._work is not None:
            self._work.cancel()

    async def _serve(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            ended = await self._front.run(self._node, self._command, bytes(self._content))
        except Failed as failed:
            ended = failed.ended
        with suppress(OSError):
            if ended is None:
                channel.get_connection().abort()
                return
            channel.write(ended.output)
            channel.write_stderr(ended.error)
            channel.exit(ended.code)


def new_login() -> tuple[str, str]:
    """Make a key for whoever is to enter: the private one, and the public half."""
    key = _new_key()
    return key.export_private_key().decode(), _public(key)


def _new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def _public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])
