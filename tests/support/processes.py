"""The processes of a daemon: its lives one after the other, and the commands that are typed."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from chainwatch.admin.client import Json
from provisioner import faultpoints
from tests.support.nursery import Born, Nursery

#: Seconds that anything may take before a test gives up on it.
PATIENCE: Final = 30.0

Started: TypeAlias = Process | Born


@dataclass(slots=True)
class Life:
    """The lives of one daemon: one at a time at most; `log` has what all of them said.

    It is born in the `nursery` if there is one.
    """

    config: Path
    log: Path
    nursery: Nursery | None = None
    process: Started | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "no daemon was started"
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self, point: str | None = None, **environ: str) -> None:
        """Start it, to die at fault point `point` if one is given."""
        assert not self.alive, "it is running"
        if point is not None:
            environ[faultpoints.ENVIRONMENT] = point
        words = ("run", "--config", str(self.config))
        self.process = await chainwatch(self.log, *words, nursery=self.nursery, **environ)

    async def end(self, seconds: float = PATIENCE) -> int:
        """Wait for its end and return its exit code; negative: the signal that killed it."""
        assert self.process is not None, "no daemon was started"
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def stop(self, seconds: float = 5.0) -> int:
        """Ask it to stop, as systemd does; TimeoutError when it takes longer than `seconds`."""
        os.kill(self.pid, signal.SIGTERM)
        return await self.end(seconds)

    async def kill(self) -> None:
        """Kill it outright; nothing happens when it is not alive."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def said(self) -> str:
        """Return all that it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def records(self, event: str) -> list[dict[str, Json]]:
        """Return the log records of a kind, oldest first."""
        found = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [record for record in found if record["event"] == event]


async def chainwatch(
    said: Path, *arguments: str, nursery: Nursery | None = None, **environ: str
) -> Started:
    """Start `chainwatch ARGUMENTS`; all that it says is added to the file `said`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CHAINWATCH_", "NOTIFY"))}
    if nursery is not None:
        return await nursery.bear(said, *arguments, environ=inherited | environ)
    guard = ("setpriv", "--pdeathsig", "KILL")
    with said.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *guard, sys.executable, "-m", "chainwatch", *arguments,
            stdin=DEVNULL, stdout=log, stderr=log, env=inherited | environ, start_new_session=True,
        )  # fmt: skip
