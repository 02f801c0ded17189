"""One node's SSH connection: opened when it is needed, kept, shared by a few sessions at a time.

The node has to show a host key that is pinned; another one is Permanent for that node, and says
what to compare. What a command says is kept up to a limit, above which the session ends. How it
fails: nothing has happened before a session is open (Transient), and whatever is lost after that
is an UnknownOutcome, for whoever called to judge by what the command does.
"""

import asyncio
import logging
from typing import Final

import asyncssh

from provisioner.errors import Permanent, ProvisionError, Transient, UnknownOutcome
from provisioner.guest.doors import Door, Login
from provisioner.guest.ended import Ended

#: Sessions at once on one node; sshd allows ten (MaxSessions) unless told otherwise.
SESSIONS: Final = 4
#: Seconds that a connection may take to come up, and for which one that failed is not tried again.
CONNECT: Final = 10.0
REST: Final = 5.0
#: Bytes that a command may say on each of its two streams.
MOST_SAID: Final = 2**20
#: Seconds between two signs of life, and how many may be missed.
KEEPALIVE: Final = 15
MISSED: Final = 3

# It tells of connections, users and commands at lower levels, and nobody asked.
logging.getLogger("asyncssh").setLevel(logging.WARNING)


class Connections:
    """The ways to all nodes that the configuration names."""

    def __init__(self, login: Login) -> None:
        self._to = {name: Connection(door, login) for name, door in login.doors.items()}

    @property
    def nodes(self) -> tuple[str, ...]:
        """Name the nodes."""
        return tuple(self._to)

    async def run(self, node: str, command: str, content: bytes, patience: float) -> Ended:
        """Run a command on a node; see `Connection.run`."""
        if node not in self._to:
            raise Permanent(
                f"node {node} has no line in nodes_ssh.known_hosts: write one, see "
                "docs/howto/nodes-ssh.md"
            )
        return await self._to[node].run(command, content, patience)

    def close(self) -> None:
        """Cut all connections; what runs on a node goes on there until its own time is over."""
        for connection in self._to.values():
            connection.close()


class Connection:
    """The way to one node."""

    def __init__(self, door: Door, login: Login) -> None:
        self._door, self._login = door, login
        self._key = asyncssh.import_private_key(login.key)
        self._pinned = [asyncssh.import_public_key(key) for key in door.keys]
        self._open: asyncssh.SSHClientConnection | None = None
        self._opening = asyncio.Lock()
        self._sessions = asyncio.Semaphore(SESSIONS)
        self._failed: tuple[float, ProvisionError] | None = None

    async def run(self, command: str, content: bytes, patience: float) -> Ended:
        """Run `command` with `content` on its standard input, for `patience` seconds at most.

        Raises Permanent and Transient when nothing was run, UnknownOutcome when its end was not
        seen.
        """
        async with self._sessions:
            session = _Session(str(self))
            channel = await self._channel(command, session)
            try:
                channel.write(content)
                channel.write_eof()
                async with asyncio.timeout(patience):
                    return await session.ended
            except TimeoutError:
                raise UnknownOutcome(f"{self}: no end within {patience:g} s") from None
            except (asyncssh.Error, OSError) as error:
                raise UnknownOutcome(f"{self}: the connection was lost ({error})") from None
            finally:
                channel.abort()

    def close(self) -> None:
        """Cut the connection."""
        if self._open is not None:
            self._open.abort()
            self._open = None

    async def _channel(
        self, command: str, session: "_Session"
    ) -> "asyncssh.SSHClientChannel[bytes]":
        """Open a session; a kept connection that turns out to be gone is opened anew, once."""
        for kept in (True, False):
            connection = await self._connected()
            try:
                async with asyncio.timeout(CONNECT):
                    channel, _ = await connection.create_session(
                        lambda: session, command, encoding=None
                    )
                    return channel
            except TimeoutError:
                connection.abort()
                raise UnknownOutcome(f"{self}: no session within {CONNECT:g} s") from None
            except (asyncssh.Error, OSError) as error:
                if not (kept and connection.is_closed()):
                    raise Transient(f"{self} opens no session ({error})") from None
        raise AssertionError

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._opening:
            if self._open is not None and not self._open.is_closed():
                return self._open
            now = asyncio.get_running_loop().time()
            if self._failed is not None and now < self._failed[0] + REST:
                raise self._failed[1]
            try:
                self._open = await self._connect()
            except ProvisionError as error:
                self._failed = (now, error)
                raise
            self._failed = None
            return self._open

    async def _connect(self) -> asyncssh.SSHClientConnection:
        witness = _Witness()
        try:
            async with asyncio.timeout(CONNECT):
                return await asyncssh.connect(
                    self._door.host,
                    self._door.port,
                    config=None,
                    username=self._login.user,
                    client_keys=[self._key],
                    agent_path=None,
                    known_hosts=(self._pinned, [], []),
                    client_factory=lambda: witness,
                    preferred_auth="publickey",
                    gss_kex=False,
                    gss_auth=False,
                    compression_algs=None,
                    keepalive_interval=KEEPALIVE,
                    keepalive_count_max=MISSED,
                )
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
            raise Permanent(self._stranger(witness.shown)) from None
        except asyncssh.PermissionDenied:
            raise Transient(
                f"{self} refuses our key as {self._login.user}: put the line that `chainwatch node "
                "authorize` prints into its authorized_keys"
            ) from None
        except TimeoutError:
            raise Transient(f"{self} does not answer within {CONNECT:g} s") from None
        except (asyncssh.Error, OSError) as error:
            raise Transient(
                f"{self} cannot be reached ({error}): is the node up, and its SSH server?"
            ) from None

    def _stranger(self, shown: str | None) -> str:
        pinned = ", ".join(key.get_fingerprint() for key in self._pinned)
        return (
            f"{self} shows the host key {shown or 'of another kind'}, pinned is {pinned}: nothing "
            "was sent. Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the "
            "node's console; only if that is its key, write it into nodes_ssh.known_hosts"
        )

    def __str__(self) -> str:
        return f"node {self._door.node} (SSH, {self._door.host} port {self._door.port})"


class _Witness(asyncssh.SSHClient):
    """Remembers the fingerprint of a host key that is not pinned, and refuses it."""

    shown: str | None = None

    def validate_host_public_key(
        self,
        host: str,  # noqa: ARG002 - asyncssh's signature
        addr: str,  # noqa: ARG002 - as above
        port: int,  # noqa: ARG002 - as above
        key: asyncssh.SSHKey,
    ) -> bool:
        self.shown = key.get_fingerprint()
        return False


class _Session(asyncssh.SSHClientSession[bytes]):
    """Collects what a command says, up to the limit, and how it ends."""

    def __init__(self, where: str) -> None:
        self.ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._where = where
        self._output, self._error = bytearray(), bytearray()
        self._code: int | None = None
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stream = self._output if datatype is None else self._error
        stream.extend(data[: MOST_SAID + 1 - len(stream)])
        if len(stream) > MOST_SAID and self._channel is not None:
            self._fail(UnknownOutcome(f"{self._where}: a command said more than {MOST_SAID} bytes"))
            self._channel.abort()

    def exit_status_received(self, status: int) -> None:
        self._code = status

    def connection_lost(self, exc: Exception | None) -> None:
        if self.ended.done():
            return
        if exc is not None or self._code is None:
            self._fail(UnknownOutcome(f"{self._where}: the connection was lost ({exc})"))
        else:
            self.ended.set_result(Ended(self._code, bytes(self._output), bytes(self._error)))

    def _fail(self, error: UnknownOutcome) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # whoever gave up waiting for it need not be told again
