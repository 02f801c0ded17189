"""A way to a server that can be held up, closed, and led elsewhere, behind one lasting address.

It stands between a client and what it talks to, knowing nothing of either: bytes go through, wait,
or meet a closed door. So an outage happens without the server's help, and what comes back after it
may be another process on another port.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_CHUNK: Final = 65_536


@dataclass(slots=True)
class Relay:
    """An address in front of `target` (a port of this host; None: whoever connects is sent away).

    While it is held up, what is connected stays so and hears nothing; `kept_waiting` is set once
    somebody waits.
    """

    target: int | None
    port: int = 0
    kept_waiting: asyncio.Event = field(default_factory=asyncio.Event)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _links: set[StreamWriter] = field(default_factory=set)

    def lead_to(self, target: int | None) -> None:
        """Cut every connection; the next ones go to `target`."""
        self.target = target
        for link in self._links:
            link.transport.abort()

    def hold_up(self) -> None:
        """Let nothing through from now on."""
        self.kept_waiting.clear()
        self._open.clear()

    def let_go(self) -> None:
        """Let everything through again."""
        self._open.set()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection to its end."""
        self._links.add(writer)
        try:
            with suppress(OSError):
                await self._carry(reader, writer)
        finally:
            self._links.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        await self._passage()
        if self.target is None:
            return
        from_target, to_target = await asyncio.open_connection("127.0.0.1", self.target)
        self._links.add(to_target)
        try:
            ways = (self._pump(reader, to_target), self._pump(from_target, writer))
            await asyncio.gather(*ways)
        finally:
            self._links.discard(to_target)
            to_target.transport.abort()

    async def _pump(self, source: StreamReader, sink: StreamWriter) -> None:
        while chunk := await source.read(_CHUNK):
            await self._passage()
            sink.write(chunk)
            await sink.drain()
        sink.close()

    async def _passage(self) -> None:
        if not self._open.is_set():
            self.kept_waiting.set()
        await self._open.wait()


@asynccontextmanager
async def relay(target: int | None) -> AsyncIterator[Relay]:
    """Listen on a port of the kernel's choice, for as long as the block lasts."""
    made = Relay(target)
    made.let_go()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.let_go()
        made.lead_to(None)
        await server.wait_closed()
