"""The status socket: HTTP over a unix socket, and health and numbers over loopback TCP if wanted.

The socket is made closed to everybody and opened to its group only when that is set; who connects
is told by the kernel. A socket file that nobody answers on is what a killed daemon left behind and
is replaced; one that somebody answers on is not ours to take. How it fails: at the start, with
Fatal and what to do.
"""

import os
import socket
import stat
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog
from aiohttp import web

from chainwatch.admin.peers import permissions
from chainwatch.admin.routes import LARGEST_BODY, Routes, doorkeeper, errors
from chainwatch.config import AdminConfig
from chainwatch.control.desk import Desk
from chainwatch.errors import Fatal

log = structlog.get_logger(__name__)

#: Seconds that answers under way get when the daemon stops.
LAST_WORDS: Final = 0.5


class AdminServer:
    """Serves one desk while it is entered."""

    def __init__(self, config: AdminConfig, desk: Desk) -> None:
        self._config = config
        self._routes = Routes(desk)
        self._held = AsyncExitStack()

    @property
    def metrics_listen(self) -> str | None:
        """Address and port of the TCP listener; None when there is none."""
        return self._routes.listening

    async def __aenter__(self) -> Self:
        """Listen. Raises Fatal when the socket or the port cannot be had."""
        async with AsyncExitStack() as held:
            await self._listen_locally(held)
            await self._listen_on_loopback(held)
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.aclose()

    async def _listen_locally(self, held: AsyncExitStack) -> None:
        allowed, path = permissions(self._config), self._config.socket
        listener = _bound(path, allowed.read_gid)
        held.callback(_remove, path, path.stat().st_ino)
        application = web.Application(
            middlewares=[errors, doorkeeper(allowed)], client_max_size=LARGEST_BODY
        )
        application.add_routes(self._routes.all())
        await web.SockSite(await _runner(application, held), listener).start()
        log.info("listening", socket=str(path))

    async def _listen_on_loopback(self, held: AsyncExitStack) -> None:
        if self._config.metrics_listen is None:
            return
        host, port = self._config.metrics_listen
        application = web.Application(middlewares=[errors])
        application.add_routes(self._routes.public())
        runner = await _runner(application, held)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise Fatal(
                f"admin.metrics_listen: {host}:{port} cannot be listened on ({error.strerror}); "
                "write a free port"
            ) from error
        address = runner.addresses[0]
        self._routes.listening = f"{f'[{host}]' if ':' in host else host}:{address[1]}"
        log.info("listening", metrics=self._routes.listening)


async def _runner(application: web.Application, held: AsyncExitStack) -> web.AppRunner:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=LAST_WORDS)
    await runner.setup()
    held.push_async_callback(runner.cleanup)
    return runner


def _bound(path: Path, gid: int) -> socket.socket:
    """Return a socket bound to `path`, open (0660) to the daemon's user and group `gid`."""
    _make_room(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise Fatal(
            f"admin.socket: {path} cannot be made ({error.strerror}); its folder must exist and "
            "be the daemon's"
        ) from error
    finally:
        os.umask(before)
    try:
        _open_to(path, gid)
    except Fatal:
        listener.close()
        path.unlink()
        raise
    return listener


def _open_to(path: Path, gid: int) -> None:
    try:
        if path.stat().st_gid != gid:
            os.chown(path, -1, gid)
    except PermissionError:
        raise Fatal(
            f"admin.read_group: the daemon is not in group {gid} and cannot hand {path} to it; "
            "make its user a member, or leave read_group out"
        ) from None
    path.chmod(0o660)


def _make_room(path: Path) -> None:
    """Remove a socket file that nobody answers on. Raises Fatal for anything else there."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Fatal(f"admin.socket: {path} cannot be looked at ({error.strerror})") from error
    if not stat.S_ISSOCK(mode):
        raise Fatal(f"admin.socket: {path} exists and is no socket; move it, or write another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as caller:
        caller.settimeout(2)
        try:
            caller.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as error:
            raise Fatal(f"admin.socket: {path} is in use ({error}); stop who uses it") from error
    raise Fatal(f"admin.socket: another daemon answers on {path}; stop it, or write another path")


def _remove(path: Path, inode: int) -> None:
    """Remove our socket file, and not one that somebody has put there since."""
    with suppress(FileNotFoundError):
        if path.lstat().st_ino == inode:
            path.unlink()
