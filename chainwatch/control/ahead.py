"""The next step of a source, read while the one before is being committed.

A node answers and a disk writes at the same time, so a long history takes the longer of the two and
not their sum. What was read ahead counts only if the commit left exactly the state that it was read
from; whatever else came of it, also an error, is forgotten and asked for again. Only blocks that
are final are read ahead of: what follows them never has to be compared with what is stored.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TypeVar

from chainwatch.chain.scanner import Scanner
from chainwatch.domain.batches import Batch, Rewind, SourceState
from chainwatch.errors import SourceHalted, Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read ahead, and from which state."""

    state: SourceState
    batch: Batch


class ReadAhead:
    """Asks a scanner for the next step, one step early where that is possible."""

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._read: _Read | None = None

    async def next(self, state: SourceState) -> Batch | Rewind | None:
        """The next step from `state`; raises what the scanner raises."""
        read, self._read = self._read, None
        if read is not None and read.state == state:
            return read.batch
        return await self._scanner.next(state)

    async def beside(
        self, commit: Coroutine[object, object, T], state: SourceState, batch: Batch
    ) -> T:
        """Commit `batch`, which follows `state`, and read what comes after it meanwhile.

        Raises what the commit raises; neither goes on when the other is cancelled.
        """
        if batch.caught_up or batch.final != batch.cursor:
            return await commit
        coming = replace(state, cursor=batch.cursor, final=batch.final, head=batch.head)
        both = await asyncio.gather(commit, self._after(coming), return_exceptions=True)
        committed, read = both
        if isinstance(committed, BaseException):
            raise committed
        if isinstance(read, BaseException):
            raise read
        self._read = read
        return committed

    async def _after(self, coming: SourceState) -> _Read | None:
        try:
            found = await self._scanner.next(coming)
        except (Transient, SourceHalted):
            return None
        return _Read(coming, found) if isinstance(found, Batch) else None
