"""However a chain grows and forks, whoever lags or fails: what is stored becomes what is true."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.chain import profiles
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import Source
from chainwatch.domain.events import Event, ExpiryUpdated, Logged
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel, ModelPool, minted
from tests.support.ledger import Ledger

OWNER = "0x" + "a1" * 20
FINAL_LAG = 6
SOURCE = Source("shop", 31337, CONTRACT, 1, "lease")
SETTINGS = SourceSettings(SOURCE, (), (), 0, "finalized", 1, 60, 5, 5)


@dataclass(frozen=True)
class Mine:
    """Blocks with so many events each."""

    events: tuple[int, ...]


@dataclass(frozen=True)
class Fork:
    """The last blocks replaced by others, at least as many."""

    depth: int
    events: tuple[int, ...]


@dataclass(frozen=True)
class Return:
    """Back to the chain as it was before the last fork, if that is still the longer one."""


@dataclass(frozen=True)
class Poll:
    """So many steps of reading."""

    steps: int


@dataclass(frozen=True)
class Lag:
    """The second endpoint stays where the chain is now."""


@dataclass(frozen=True)
class During:
    """The next fork happens in the middle of reading, after so many answers."""

    answers: int
    fork: Fork


@dataclass(frozen=True)
class Fail:
    """The first endpoint does not answer so many of the next calls."""

    calls: int


Action = Mine | Fork | Return | Poll | Lag | During | Fail

SAID = st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple)
FORKS = st.builds(Fork, st.integers(1, FINAL_LAG), SAID)
ACTIONS: st.SearchStrategy[list[Action]] = st.lists(
    st.one_of(
        st.builds(Mine, SAID),
        FORKS,
        st.builds(Return),
        st.builds(Poll, st.integers(1, 4)),
        st.builds(Lag),
        st.builds(During, st.integers(1, 12), FORKS),
        st.builds(Fail, st.integers(1, 5)),
    ),
    max_size=25,
)


class World:
    """A chain, two endpoints of it, a scanner, and a store."""

    def __init__(self, confirmations: int) -> None:
        self.chain = ChainModel(final_lag=FINAL_LAG)
        self.late = ChainModel(final_lag=FINAL_LAG)
        self.ledger = Ledger()
        self._before = self.chain.fork()
        self._said = 0
        self._failing = 0
        self._during: list[During] = []
        first = self.chain.endpoint("first", self._meddle)
        self._settings = replace(SETTINGS, confirmations=confirmations)
        self._left = self.late.endpoint("late")
        pool = ModelPool([first, self._left])
        self.scanner = Scanner(self._settings, pool, profiles.get("lease"), self.ledger)

    def _meddle(self, _: str, __: Sequence[object], result: object) -> object:
        if self._failing:
            self._failing -= 1
            raise RpcUnavailable("first: no answer")
        if self._during:
            left = self._during[0].answers - 1
            self._during[0] = replace(self._during[0], answers=left)
            if left <= 0:
                self._fork(self._during.pop(0).fork)
        return result

    async def act(self, action: Action) -> None:
        match action:
            case Mine(events):
                self._mine(events)
            case Fork():
                self._fork(action)
            case Return():
                if len(self._before) >= len(self.chain.blocks):
                    self.chain.blocks = [*self._before]
                    self._mine((1, 0))
            case Poll(steps):
                for _ in range(steps):
                    await self.poll()
            case Lag():
                self.late.blocks = self.chain.fork()
            case During():
                self._during.append(action)
            case Fail(calls):
                self._failing += calls

    def _mine(self, counts: Sequence[int]) -> None:
        for count in counts:
            self.chain.mine(self._events(count))

    def _events(self, count: int) -> list[Event]:
        events: list[Event] = []
        for _ in range(count):
            self._said += 1
            events += minted(self._said, OWNER, plan=1, expires_at=self._said)
            events.append(ExpiryUpdated(self._said, 2 * self._said))
        return events

    def _fork(self, fork: Fork) -> None:
        self._before = self.chain.fork()
        depth = min(fork.depth, len(self.chain.blocks) - 1)
        self.chain.drop(depth)
        self._mine((*fork.events, *(0 for _ in range(depth - len(fork.events)))))

    async def poll(self) -> None:
        try:
            step = await self.scanner.next(self.ledger.state)
        except (NotAChain, RpcUnavailable):
            return
        if step is not None:
            self.ledger.apply(step)

    def final_events(self) -> list[Logged]:
        final = self.ledger.state.final
        return [e for e in self.ledger.canonical() if final and e.block <= final.number]

    async def settle(self) -> list[Logged]:
        """Let everything come to rest, and give what is true at the confirmed head.

        By then whoever lags has not moved for long.
        """
        self._left.still = self._settings.stale_after
        self._failing = 0
        self._during.clear()
        self._mine((0,) * (FINAL_LAG + 1))
        await self.ledger.follow(self.scanner)
        return self.chain.events(self.chain.head.number - self._settings.confirmations)


async def _live(actions: Sequence[Action], confirmations: int) -> None:
    world = World(confirmations)
    for action in actions:
        final = world.final_events()
        await world.act(action)
        assert world.final_events()[: len(final)] == final
    truth = await world.settle()
    assert world.ledger.canonical() == truth
    assert world.ledger.caught_up
    assert world.scanner.take_unread() == ()


@settings(deadline=None, max_examples=300)
@given(actions=ACTIONS, confirmations=st.integers(0, 3))
def test_what_is_stored_becomes_what_is_true(actions: list[Action], confirmations: int) -> None:
    asyncio.run(_live(actions, confirmations))
