"""What the tests of the running daemon share: one chain and one cluster a module.

Folders are made close to the root: a unix socket's path may have 107 bytes.
"""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.daemon import Grounds, grounds


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short-named folder of the test's own."""
    with tempfile.TemporaryDirectory(prefix="chainwatch-") as name:
        yield Path(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Grounds]:
    """A chain and a cluster, which the installations of one module share."""
    async with grounds(tmp_path_factory.mktemp("grounds")) as found:
        yield found
