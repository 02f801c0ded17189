"""Whatever the chain does, the rows are the fold of what is canonical, and nothing is forgotten."""

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.domain.batches import Batch, Rewind
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Block,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    Logged,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from chainwatch.domain.lease import fold_all, nonce_of
from chainwatch.store.database import Database
from chainwatch.store.journal import Journal
from chainwatch.store.leases import Leases
from chainwatch.store.rereads import Rereads
from chainwatch.store.standings import Standings
from chainwatch.store.verify import verify
from chainwatch.store.workqueue import WorkQueue
from tests.support.stored import ALICE, BOB, SOURCE, lease_id, opened, time_of

MAIN = SOURCE.name
TOKENS = (0, 1, 2**256 - 1)
tokens = st.sampled_from(TOKENS)
people = st.sampled_from((ALICE, BOB, ZERO_ADDRESS))
numbers = st.sampled_from((0, 1, 2**63, 2**64 - 1, 2**256 - 1))

events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Transferred, tokens, st.just(ZERO_ADDRESS), st.sampled_from((ALICE, BOB))),
    st.builds(Transferred, tokens, st.just(ALICE), people),
    st.builds(LeaseMinted, tokens, st.integers(0, 1), people, numbers, numbers),
    st.builds(ExpiryUpdated, tokens, numbers),
    st.builds(KeysChanged, tokens, st.text(st.characters(codec="utf-8"), max_size=5), st.just("")),
    st.builds(
        PlanDefined, st.integers(0, 1), st.text(max_size=3), *([st.integers(0, 1)] * 4), numbers
    ),
    st.builds(PlanTerms, st.integers(0, 1), people, numbers, numbers, st.booleans()),
)


@dataclass(frozen=True, slots=True)
class Grow:
    """The chain goes on by blocks with these events; the last `final` blocks are not final."""

    blocks: tuple[tuple[Event, ...], ...]
    unfinal: int


@dataclass(frozen=True, slots=True)
class Reorg:
    """The last `depth` blocks (as far as they are not final) are taken back."""

    depth: int


@dataclass(frozen=True, slots=True)
class Return:
    """What the last reorg took back is canonical again, if nothing came in its place."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The last batch is offered once more."""


@dataclass(frozen=True, slots=True)
class Again:
    """An operator has the last `depth` blocks, final or not, read again; and they are."""

    depth: int


@dataclass(frozen=True, slots=True)
class Restart:
    """The process ends and starts again."""


Happening = Grow | Reorg | Return | Replay | Again | Restart

happenings: st.SearchStrategy[Happening] = st.one_of(
    st.builds(
        Grow,
        st.lists(st.lists(events, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple),
        st.integers(0, 5),
    ),
    st.builds(Reorg, st.integers(1, 4)),
    st.just(Return()),
    st.just(Replay()),
    st.builds(Again, st.integers(0, 9)),
    st.just(Restart()),
)

Place = tuple[Block, tuple[Logged, ...]]


@dataclass
class Oracle:
    """The chain as it is, the events that were ever said, and what the store should know."""

    chain: list[Place] = field(default_factory=list)
    taken_back: list[Place] = field(default_factory=list)
    said: set[Logged] = field(default_factory=set)
    final: int = -1
    last: Batch | None = None
    forks: int = 0

    @property
    def tip(self) -> Block | None:
        return self.chain[-1][0] if self.chain else None

    def extended(self, places: Iterable[Place], unfinal: int) -> Batch:
        after = self.tip
        new = list(places)
        self.chain += new
        self.final = max(self.final, len(self.chain) - 1 - unfinal)
        self.taken_back = []
        spoken = tuple(logged for _, spoken in new for logged in spoken)
        self.said |= set(spoken)
        final = self.chain[self.final][0] if self.final >= 0 else None
        kept = tuple(block for block, _ in new)
        self.last = Batch(after, kept[-1], final, kept[-1].number, kept, spoken, True)
        return self.last

    def mined(self, spoken: Iterable[tuple[Event, ...]]) -> list[Place]:
        places: list[Place] = []
        for number, said in enumerate(spoken, start=len(self.chain)):
            parent = places[-1][0] if places else self.tip
            block = Block(
                number, f"{self.forks}-{number}", parent.hash if parent else "", time_of(number)
            )
            logs = tuple(
                Logged(event, number, block.hash, i, f"0x{number:060x}{i:04x}")
                for i, event in enumerate(said)
            )
            places.append((block, logs))
        return places

    def rewound(self, depth: int) -> Rewind | None:
        keep = max(len(self.chain) - depth, self.final + 1)
        if keep == len(self.chain):
            return None
        self.taken_back = self.chain[keep:]
        del self.chain[keep:]
        self.forks += 1
        return Rewind(self.tip, keep)

    def events(self, token: int, upto: int) -> list[Logged]:
        return [
            logged
            for block, spoken in self.chain
            for logged in spoken
            if block.number <= upto and getattr(logged.event, "token", None) == token
        ]

    def nonces(self, token: int) -> set[str]:
        return {
            nonce_of(logged.tx_hash, token)
            for logged in self.said
            if isinstance(logged.event, Transferred)
            and logged.event.token == token
            and logged.event.sender == ZERO_ADDRESS
        }


async def agrees(db: Database, oracle: Oracle) -> None:
    """Hold everything stored against the oracle."""
    assert await verify(db) == []
    state = await Journal(db).state(MAIN)
    assert state.cursor == oracle.tip
    assert (state.final.number if state.final else -1) == oracle.final
    for token in TOKENS:
        standing = await Standings(db).of(lease_id(token))
        lease = fold_all(oracle.events(token, len(oracle.chain)))
        if standing is None:
            assert lease is None
            continue
        assert standing.lease == lease
        assert standing.final == fold_all(oracle.events(token, oracle.final))
        current = {lease.nonce} if lease else set()
        assert standing.former == oracle.nonces(token) - current
    entries = await Journal(db).events(limit=1000)
    assert {entry.logged for entry in entries} == oracle.said
    assert len(entries) == len(oracle.said)
    canonical = {logged for _, spoken in oracle.chain for logged in spoken}
    assert {entry.logged for entry in entries if entry.orphaned_at is None} == canonical
    for block, _ in oracle.chain[max(oracle.final, 0) :]:
        assert await Journal(db).block(MAIN, block.number) == block


async def happens(db: Database, oracle: Oracle, what: Happening) -> None:
    """Let one thing happen to the chain and to the store; every lease it changes must be due."""
    journal, work = Journal(db), WorkQueue(db)
    for item in await work.due(0, 1000):
        await work.done(item)
    before = {row.id: row for row in await Leases(db).all()}
    match what:
        case Grow(spoken, unfinal):
            grown = oracle.extended(oracle.mined(spoken), unfinal)
            await journal.commit_batch(MAIN, grown, 1)
        case Return() if oracle.taken_back:
            await journal.commit_batch(MAIN, oracle.extended(oracle.taken_back, 9), 1)
        case Reorg(depth):
            rewind = oracle.rewound(depth)
            if rewind is not None:
                await journal.commit_rewind(MAIN, rewind, 2)
        case Again(depth) if oracle.chain:
            await read_again(db, oracle, max(0, len(oracle.chain) - depth - 1))
        case Replay() if oracle.last is not None and oracle.last.cursor == oracle.tip:
            assert (await journal.commit_batch(MAIN, oracle.last, 3)).dirty == frozenset()
        case _:
            pass
    due = {item.key for item in await work.due(0, 1000)}
    after = {row.id: row for row in await Leases(db).all()}
    assert {str(each) for each in after if after[each] != before.get(each)} <= due


async def read_again(db: Database, oracle: Oracle, number: int) -> None:
    """Have everything from a block on taken back, and read again."""
    said = await Rereads(db).reread(MAIN, number, "a doubt", 0, now=2)
    assert said.first <= number
    assert await verify(db) == []
    state = await Journal(db).state(MAIN)
    places = oracle.chain[said.first :]
    tip, final = places[-1][0], oracle.chain[oracle.final][0] if oracle.final >= 0 else None
    assert (state.reread_to, tip.number) == (said.last, said.last)
    blocks = tuple(block for block, _ in places)
    spoken = tuple(logged for _, logs in places for logged in logs)
    batch = Batch(state.cursor, tip, final, tip.number, blocks, spoken, True)
    await Journal(db).commit_batch(MAIN, batch, 3)
    assert (await Journal(db).state(MAIN)).reread_to is None


async def story(path: Path, plot: list[Happening]) -> None:
    oracle = Oracle()
    chapters: list[list[Happening]] = [[]]
    for what in plot:
        chapters += [[]] if isinstance(what, Restart) else []
        chapters[-1].append(what)
    for chapter in chapters:
        async with opened(path) as db:
            for what in chapter:
                await happens(db, oracle, what)
                await agrees(db, oracle)


@settings(max_examples=60, deadline=None)
@given(st.lists(happenings, max_size=10))
def test_the_rows_are_always_the_fold_of_the_canonical_events(plot: list[Happening]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder) / "db", plot))
