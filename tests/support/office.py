"""A realm with a desk in it, and a socket where wanted: the daemon as its operators meet it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from chainwatch.admin.server import AdminServer
from chainwatch.app import Adapters, desk
from chainwatch.config import Config
from chainwatch.config.sender import SenderChainConfig, SenderConfig
from chainwatch.control.desk import Desk
from chainwatch.control.pulse import Pulse
from chainwatch.credentials import Secret
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.ssh.direct import DirectWays
from tests.support.realm import Realm, realm

NOBODY = 65534
#: The command line, as the installed program starts it.
PROGRAM = (sys.executable, "-c", "from chainwatch.cli.main import main; main()")


def desk_of(made: Realm) -> Desk:
    """Return a desk over a realm's daemon."""
    nodes = DirectWays(made.cluster) if made.config.nodes else None
    api = DirectApi(made.cluster, made.credential)
    ways = Adapters({"model": made.chain.rpc}, api, nodes)
    pulse = Pulse(made.daemon.supervisor.clock, lambda: None)
    return desk(made.config, ways, made.daemon, pulse)


@asynccontextmanager
async def office(
    folder: Path, *, adjust: Callable[[Config], Config] = lambda same: same
) -> AsyncIterator[tuple[Realm, Desk]]:
    """Open a realm and a desk over it; `adjust` changes the configuration."""
    async with realm(folder, adjust=adjust) as made:
        yield made, desk_of(made)


def sending(settings: Config) -> Config:
    """Return a configuration with a hot key that sends on the model's chain."""
    chain = SenderChainConfig(31337, ceiling=10**10, least_balance=1)
    return replace(settings, sender=SenderConfig(Secret(b"\x5e" * 32), (chain,)))


@dataclass(frozen=True, slots=True)
class Said:
    """What a program printed, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Counter:
    """A desk behind a socket, and those who stand before it."""

    realm: Realm
    desk: Desk
    server: AdminServer
    socket: Path

    async def type(self, *words: str) -> Said:
        """Type a command at a shell whose CHAINWATCH_SOCKET is this one's."""
        return await ran(*PROGRAM, *words, CHAINWATCH_SOCKET=str(self.socket))

    async def curl(self, route: str, *words: str) -> Said:
        """Ask with curl, which prints the body and then, on a line of its own, the status."""
        url = f"http://daemon{route}"
        return await ran(
            "curl", "-sS", "-w", "\n%{http_code}", "--unix-socket", str(self.socket), url, *words
        )


async def ran(*words: str, nobody: bool = False, **environment: str) -> Said:
    """Run a program to its end, as user `nobody` if wanted (and we may); it reads nothing."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", **environment},
        user=NOBODY if nobody else None,
        group=NOBODY if nobody else None,
        extra_groups=() if nobody else None,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def counter(
    folder: Path,
    *,
    metrics: tuple[str, int] | None = None,
    adjust: Callable[[Config], Config] = lambda same: same,
) -> AsyncIterator[Counter]:
    """Open an office behind a socket in `folder`."""
    async with office(folder, adjust=adjust) as (made, the_desk):
        config = replace(made.config.admin, metrics_listen=metrics)
        async with AdminServer(config, the_desk) as server:
            yield Counter(made, the_desk, server, config.socket)
