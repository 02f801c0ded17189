"""Where people type commands: the real programs, each command a process of its own.

What is typed is typed for a script (`--yes --json`): nobody is there to answer a question, and what
a program did is read from its one JSON document.
"""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chainwatch.demo.processes import end, last_words
from chainwatch.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object on standard output; empty when the command failed."""
        return dict(json.loads(self.out)) if self.code == 0 else {}


@dataclass(frozen=True, slots=True)
class Terminal:
    """A terminal whose commands begin in one folder, made by `opened`; one command at a time."""

    process: Process
    said: Path
    typing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def types(self, *words: str, **environ: str) -> Ended:
        """Type a command with variables of its own, and wait for its end."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("CHAINWATCH_")}
        line = json.dumps({"words": words, "environ": {**inherited, **environ}})
        if self.process.stdin is None or self.process.stdout is None:
            raise LookupError("a terminal was opened without pipes")
        async with self.typing:
            self.process.stdin.write(f"{line}\n".encode())
            await self.process.stdin.drain()
            ended = await self.process.stdout.readline()
        if not ended:
            raise OperatorError(f"nothing can be typed any more: {last_words(self.said)}")
        return Ended(**json.loads(ended))


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Terminal]:
    """A terminal in `folder`, for as long as the block lasts."""
    said = folder / "terminal.log"
    guard = ("setpriv", "--pdeathsig", "KILL")
    with said.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(*guard, sys.executable, "-m", "chainwatch.demo.programs"),
            cwd=folder,
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
            start_new_session=True,
            limit=2**20,
        )
    try:
        yield Terminal(process, said)
    finally:
        await end(process)
