"""A real database in a folder of the test's own, and a small history to put into it."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from chainwatch.domain.batches import Batch, Source
from chainwatch.domain.events import (
    ZERO_ADDRESS,
    Block,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    Logged,
    PlanDefined,
    Transferred,
)
from chainwatch.domain.lease import LeaseId
from chainwatch.store.database import Database
from chainwatch.store.installation import check_installation
from chainwatch.store.journal import Journal
from provisioner import faultpoints

SOURCE = Source("main", 31337, "0x" + "ab" * 20, 0, "lease")
ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
PLAN = 1
GENESIS_TIME = 1_700_000_000


class Crash(Exception):
    """The process died here, as far as the database can tell."""


@asynccontextmanager
async def opened(path: Path, source: Source = SOURCE) -> AsyncIterator[Database]:
    """Open (and make) a database that follows a source; closed at the end, whatever happens."""
    db = await Database.open(path, create=True)
    try:
        await check_installation(db, "test", [source])
        yield db
    finally:
        await db.close()


@contextmanager
def crash_at(point: str) -> Iterator[None]:
    """Crash whoever passes `point`."""
    assert point in faultpoints.POINTS

    def die(reached: str) -> None:
        if reached == point:
            raise Crash(point)

    faultpoints.arm(die)
    try:
        yield
    finally:
        faultpoints.arm(None)


def block(number: int, fork: str = "a") -> Block:
    """Return block `number` of a fork; forks share nothing but block 0."""
    own, before = (f"{fork}-{number}", f"{fork}-{number - 1}" if number > 1 else "0")
    return Block(number, own if number else "0", before if number else "", time_of(number))


def time_of(number: int) -> int:
    return GENESIS_TIME + 12 * number


def logged(where: Block, *events: Event) -> tuple[Logged, ...]:
    """Put events into a block, one after the other, each in a transaction of its own."""
    return tuple(
        Logged(event, where.number, where.hash, index, tx_of(where, index))
        for index, event in enumerate(events)
    )


def tx_of(where: Block, index: int) -> str:
    """Return a transaction hash that another fork's block of the same number shares."""
    return f"0x{where.number:060x}{index:04x}"


def batch(
    after: Block | None,
    blocks: Sequence[Block],
    events: Sequence[Logged] = (),
    final: Block | None = None,
) -> Batch:
    cursor = blocks[-1]
    return Batch(after, cursor, final, cursor.number, tuple(blocks), tuple(events), True)


def mint(token: int, owner: str = ALICE, until: int = 100) -> tuple[Event, ...]:
    """Return what the contract says when `owner` buys a lease up to the time of block `until`."""
    return (
        Transferred(token, ZERO_ADDRESS, owner),
        LeaseMinted(token, PLAN, owner, 60, 2**256 - 1),
        ExpiryUpdated(token, time_of(until)),
        KeysChanged(token, "ssh-ed25519 AAAA alice", ""),
    )


def plan() -> PlanDefined:
    return PlanDefined(PLAN, "small", 0, 1, 1024, 10, 3600)


def lease_id(token: int) -> str:
    return str(LeaseId(SOURCE.chain_id, SOURCE.contract, token))


async def minted_at_one(journal: Journal, token: int = 7) -> Block:
    """Store genesis and a block with one mint; returns that block, the cursor."""
    one = block(1)
    events = logged(one, plan(), *mint(token))
    await journal.commit_batch(SOURCE.name, batch(None, [block(0), one], events, block(0)), 1)
    return one
