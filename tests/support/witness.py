"""Somebody who watches the process list, as any user of a host can."""

import asyncio
from pathlib import Path


class Witness:
    """Remembers every command line that any process of this host had while it watched."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()

    async def watch(self) -> None:
        """Look at all processes, for ever."""
        while True:
            self.seen |= await asyncio.to_thread(_command_lines)
            await asyncio.sleep(0.05)


def _command_lines() -> set[bytes]:
    return {line for path in Path("/proc").glob("[0-9]*/cmdline") if (line := _bytes(path))}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has gone meanwhile
        return b""
