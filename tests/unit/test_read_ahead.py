"""A step that is read while the one before is committed is the one that would have been read."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chainwatch.control.ahead import ReadAhead
from chainwatch.domain.batches import Batch, SourceState
from chainwatch.errors import RpcUnavailable
from tests.support.chain_model import ChainModel
from tests.support.ledger import Ledger
from tests.support.reading import busy_chain, reading, settings

NARROW = settings(max_range=10)


class Story:
    """A chain of a hundred blocks, an endpoint that may fail, and a ledger to commit into."""

    def __init__(self) -> None:
        self.chain: ChainModel = busy_chain(100)
        self.silent = False
        self.asked = asyncio.Event()
        endpoint = self.chain.endpoint("model", self._meddle)
        scanner, self.ledger = reading(self.chain, endpoint, using=NARROW)
        self.ahead = ReadAhead(scanner)
        self.endpoint = endpoint

    def _meddle(self, _: str, __: Sequence[object], result: object) -> object:
        self.asked.set()
        if self.silent:
            raise RpcUnavailable("model: no answer")
        return result

    async def batch(self) -> Batch:
        step = await self.ahead.next(self.ledger.state)
        assert isinstance(step, Batch)
        return step

    async def commit(self, batch: Batch) -> None:
        """Commit as a disk would that is slower than the node: not before the node is asked."""
        self.asked.clear()
        await self.asked.wait()
        self.ledger.apply(batch)

    async def asked_for_next(self) -> bool:
        """Whether the next step still has to be asked for."""
        before = len(self.endpoint.asked)
        await self.ahead.next(self.ledger.state)
        return len(self.endpoint.asked) > before


@pytest.fixture
def story() -> Story:
    return Story()


async def test_the_next_step_is_read_before_the_commit_has_ended(story: Story) -> None:
    first = await story.batch()
    await story.ahead.beside(story.commit(first), SourceState(), first)
    assert not await story.asked_for_next()


async def test_a_history_that_is_read_ahead_is_the_history(story: Story) -> None:
    ledger = story.ledger
    while (step := await story.ahead.next(ledger.state)) is not None:
        assert isinstance(step, Batch)
        await story.ahead.beside(_applied(ledger, step), ledger.state, step)
    assert ledger.canonical() == story.chain.events(98)
    assert ledger.caught_up


async def test_what_was_read_from_another_state_is_forgotten(story: Story) -> None:
    first = await story.batch()
    await story.ahead.beside(story.commit(first), SourceState(), first)
    story.ledger.state = replace(story.ledger.state, reread_to=50)
    assert await story.asked_for_next()


async def test_an_error_in_reading_ahead_is_nobodys_error(story: Story) -> None:
    first = await story.batch()
    story.silent = True
    await story.ahead.beside(story.commit(first), SourceState(), first)
    story.silent = False
    assert await story.asked_for_next()
    assert (await story.batch()).after == first.cursor


async def test_a_commit_that_fails_is_told_and_leaves_nothing_behind(story: Story) -> None:
    async def failing() -> None:
        raise OSError("the disk is full")

    first = await story.batch()
    with pytest.raises(OSError, match="full"):
        await story.ahead.beside(failing(), SourceState(), first)
    assert await story.asked_for_next()


async def test_nothing_is_read_ahead_of_blocks_that_are_not_final(story: Story) -> None:
    first = await story.batch()
    before = len(story.endpoint.asked)
    await story.ahead.beside(
        _applied(story.ledger, first), SourceState(), replace(first, final=None)
    )
    assert len(story.endpoint.asked) == before


async def _applied(ledger: Ledger, batch: Batch) -> None:
    ledger.apply(batch)
