"""The database without a thread of its own: SQLite does at once what it is asked for.

For tests that live through many thousands of passes on virtual time. It is the real database, with
real files; but nobody changes threads for each statement, and no disk is waited for, since no
process dies here.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import aiosqlite.core
import pytest

from chainwatch.store import database

_Asked = tuple[asyncio.Future[object] | None, Callable[[], object]]
_WRITER: Final = tuple(each.replace("=FULL", "=OFF") for each in database.WRITER)


class _AtOnce:
    """What a connection puts its work into; it is done when it was put."""

    def put_nowait(self, asked: _Asked) -> None:
        future, work = asked
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is for whoever waits
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


class _NoThread:
    """Stands where a connection has its thread."""

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> None:
        """Nothing has to run."""


@contextmanager
def at_once() -> Iterator[None]:
    """Have every connection that is opened meanwhile work so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiosqlite.core, "SimpleQueue", _AtOnce)
        patch.setattr(aiosqlite.core, "Thread", _NoThread)
        patch.setattr(database, "WRITER", _WRITER)
        yield
