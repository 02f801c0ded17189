"""Child processes of the demo: started in sessions of their own, ended by pid, never left behind.

A child sits in its own session, so that Ctrl-C reaches the story alone and the story ends its
children in order; should the story be killed outright, the kernel kills them with it. What a child
writes to standard error goes into a file, whose end is quoted when the child ends too early.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chainwatch.errors import OperatorError

_ORDERLY_END_S = 5.0
_LAST_WORDS = 400


async def start(said: Path, *arguments: str) -> Process:
    """Start `chainwatch ARGUMENTS` with this interpreter; its standard error is added to `said`.

    Variables of ours are not handed down: the child's settings are those that it is given.
    """
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("CHAINWATCH_", "NOTIFY_"))}
    command = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "chainwatch", *arguments)
    with said.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=log, env=environ, start_new_session=True
        )


async def end(process: Process) -> int:
    """Ask a child to end, make it after 5 s, and give its exit code (negative: the signal)."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(_ORDERLY_END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    return await process.wait()


@asynccontextmanager
async def announced(said: Path, *arguments: str) -> AsyncIterator[str]:
    """Run a child for as long as the block lasts; gives the first line that it prints.

    Raises OperatorError with the child's last words when it ends without one.
    """
    process = await start(said, *arguments)
    try:
        if process.stdout is None:
            raise LookupError("a child was started without a pipe")
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            raise OperatorError(f"`chainwatch {arguments[0]}` ended at once: {last_words(said)}")
        yield line.decode()
    finally:
        await end(process)


class Daemon:
    """The daemon under the story: it can be started, killed and started again."""

    def __init__(self, config: Path, said: Path) -> None:
        self._config, self._said = config, said
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process id of the daemon that runs, or ran last; 0 before the first."""
        return self._process.pid if self._process else 0

    @property
    def ended(self) -> str | None:
        """What the daemon said last, if it has ended; None while it runs."""
        if self._process is None or self._process.returncode is None:
            return None
        return f"the daemon ended with {self._process.returncode}: {last_words(self._said)}"

    async def start(self) -> None:
        """Start it; it is ready when its socket says so."""
        self._process = await start(self._said, "run", "--config", str(self._config))

    async def kill(self) -> int:
        """Kill it outright (`kill -9`) and give its exit code, -9."""
        if self._process is None:
            raise LookupError("no daemon was started")
        os.kill(self._process.pid, signal.SIGKILL)
        return await self._process.wait()

    async def stop(self) -> int:
        """Ask it to end, as systemd does, and give its exit code; 0 when none was started."""
        return 0 if self._process is None else await end(self._process)


def last_words(said: Path) -> str:
    """Return the end of what a child wrote to standard error, in whole lines."""
    text = said.read_text(errors="replace").strip()
    if len(text) > _LAST_WORDS:
        text = text[-_LAST_WORDS:].partition("\n")[2] or text.rpartition("\n")[2]
    return text or "it said nothing"
