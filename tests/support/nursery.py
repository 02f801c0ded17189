"""Where daemons are born quickly: forked from a process that has imported what all of them import.

What is born is a process like any other: a session, an environment and a log of its own, ended by
any signal, and by the kernel should we die first. What is read from the environment at an import,
the fault points, is imported again by the child. This file is the parent of them all too, as a
program: it takes one line of JSON for each birth, and tells of each birth and death in the same
way.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

#: What a daemon and the commands import, and what takes its time.
COMMON: Final = (
    "chainwatch.cli.main",
    "chainwatch.app",
    "provisioner.guest.connection",
    "provisioner.guest.doors",
)
_PR_SET_PDEATHSIG: Final = 1


@dataclass(slots=True)
class Born:
    """A process that was born here, as far as its starter needs to know it."""

    pid: int
    returncode: int | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> int:
        """Wait for its end; negative: the signal that killed it."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        """Kill it outright."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def ended(self, code: int) -> None:
        """Take note of its end."""
        self.returncode = code
        self._ended.set()


class Nursery(asyncio.SubprocessProtocol):
    """The parent of daemons, made by `nursery`, as its standard output tells of them."""

    def __init__(self) -> None:
        self._asked: asyncio.WriteTransport | None = None
        self._heard = b""
        self._awaited: deque[asyncio.Future[Born]] = deque()
        self._alive: dict[int, Born] = {}
        self.over = asyncio.Event()

    async def bear(self, said: Path, *arguments: str, environ: Mapping[str, str]) -> Born:
        """Start `chainwatch ARGUMENTS`; all that it says is added to the file `said`."""
        assert self._asked is not None
        wanted = {"said": str(said), "arguments": arguments, "environ": dict(environ)}
        born: asyncio.Future[Born] = asyncio.get_running_loop().create_future()
        self._awaited.append(born)
        self._asked.write(json.dumps(wanted).encode() + b"\n")
        return await born

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the pipe to its standard input."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        asked = transport.get_pipe_transport(0)
        assert isinstance(asked, asyncio.WriteTransport)
        self._asked = asked

    def pipe_data_received(self, _: int, data: bytes) -> None:
        """Hear of births and deaths."""
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            pid, code = json.loads(line)
            if code is None:
                self._alive[pid] = Born(pid)
                self._awaited.popleft().set_result(self._alive[pid])
            else:
                self._alive.pop(pid).ended(code)

    def process_exited(self) -> None:
        """End with all who were born here, and with who waits for a birth."""
        for born in self._alive.values():
            born.ended(-signal.SIGKILL)
        for awaited in self._awaited:
            awaited.set_exception(ChildProcessError("the nursery has ended"))
        self.over.set()


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """Keep a nursery for as long as the block lasts; what was born in it ends with it."""
    guard = ("setpriv", "--pdeathsig", "KILL")
    transport, made = await asyncio.get_running_loop().subprocess_exec(
        *(Nursery, *guard, sys.executable, "-P", __file__), stderr=None, start_new_session=True
    )
    try:
        yield made
    finally:
        transport.kill()
        await made.over.wait()
        transport.close()


# ------------------------------------------------------------------------------------ the parent


def main() -> None:
    """Bear whoever is asked for, until nobody asks any more; returns in a child at its end too."""
    for name in COMMON:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # so that no child looks through all that again
    deaths, told = os.pipe()
    os.set_blocking(told, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(told)
    asked = b""
    while True:
        ready, _, _ = select.select([0, deaths], [], [])
        if deaths in ready:
            os.read(deaths, 4096)
            _tell_deaths()
        if 0 not in ready:
            continue
        more = os.read(0, 1 << 20)
        if not more:
            return
        *lines, asked = (asked + more).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                _live(json.loads(line))
                return
            print(json.dumps([pid, None]), flush=True)  # noqa: T201 - this is how it tells


def _tell_deaths() -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            code = os.waitstatus_to_exitcode(status)
            print(json.dumps([pid, code]), flush=True)  # noqa: T201 - this is how it tells


def _live(wanted: dict[str, object]) -> None:
    """Be the daemon that was asked for."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    said = os.open(str(wanted["said"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, said), (2, said)):
        os.dup2(source, target)
    os.closerange(3, 256)
    environ, arguments = wanted["environ"], wanted["arguments"]
    assert isinstance(environ, dict)
    assert isinstance(arguments, list)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["chainwatch", *arguments]
    importlib.reload(importlib.import_module("provisioner.faultpoints"))
    runpy.run_module("chainwatch", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
