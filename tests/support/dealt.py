"""The dealings of a lease that end on the chain, as short lives, to die in the middle of.

A dealing is what happens before, and what happens then; everything is turned to its end both times.
What it comes to is read from the chain, the cluster and what the owner is shown: it must be the
same wherever the daemon died. Its own rows are only looked at, from outside, to find the commits
at which a dealing is written down.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from chainwatch.domain.sendings import State
from chainwatch.errors import OperatorError
from chainwatch.store.verify import verify
from provisioner import faultpoints
from provisioner.simulator.faults import Fault, FaultName
from tests.support.anvil import all_mined
from tests.support.estate import GRACE, HOUR, LARGE, Estate
from tests.support.realm import BOBS_KEY, FIRST, TEMPLATE, Crash

Happens: TypeAlias = Callable[[Estate], Awaitable[None]]

_ROWS: Final = (
    "SELECT id, kind, state FROM sending ORDER BY id",
    "SELECT number, outcome FROM wish ORDER BY number",
)
_TOLD: Final = {
    "LeaseDelivered": ("tokenId",),
    "ConnectionPublished": ("tokenId",),
    "PlanChanged": ("tokenId", "planId"),
    "UpgradeUpdate": ("tokenId", "planId"),
    "Refunded": ("tokenId", "owner", "amount"),
    "Transfer": ("tokenId", "to"),
}


@dataclass(frozen=True, slots=True)
class Dealing:
    """`before` happens and is settled; then `happens`, and in it or after it the daemon dies."""

    before: Happens
    happens: Happens


@dataclass(slots=True)
class Commits:
    """Counts the commits that are passed; dies at one, or notes those that write dealings down.

    `edge` of the `at`-th commit (from 1) is where it dies.
    """

    it: Estate
    at: int = 0
    edge: str = ""
    passed: int = 0
    marks: list[tuple[int, str, bool]] = field(default_factory=list)
    _rows: list[list[tuple[object, ...]]] = field(init=False)

    def begin(self) -> None:
        """Be told of commits from now on."""
        self._rows = self._read()
        faultpoints.arm(self)

    def __call__(self, point: str) -> None:
        """Be told of a fault point."""
        kind, name, edge = point.split(".")
        if kind != "commit":
            return
        self.passed += edge == "before"
        if self.at:
            if (self.passed, edge) == (self.at, self.edge):
                raise Crash(point)
        elif edge == "after":
            self._look(name)

    def _look(self, name: str) -> None:
        rows, former = self._read(), self._rows
        if rows != former:
            wanted, asked = len(rows[0]) != len(former[0]), rows[1] != former[1]
            self.marks.append((self.passed, name, wanted or asked))
        self._rows = rows

    def _read(self) -> list[list[tuple[object, ...]]]:
        path = self.it.config.installation.state_dir / "estate.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return [db.execute(sql).fetchall() for sql in _ROWS]


async def lived(it: Estate, dealing: Dealing, commits: Commits) -> object:
    """Live through a dealing, dying where told; return what it came to."""
    await dealing.before(it)
    if dealing.before is not nothing:
        await settled(it)
    commits.begin()
    try:
        await dealing.happens(it)
    except Crash:
        it.crashes += 1
        await it.restart()
        await dealing.happens(it)
    await settled(it)
    faultpoints.arm(None)
    await it.daemon.supervisor.resync.enqueue_all("periodic resync")
    await settled(it)
    return await outcome(it)


async def turned(it: Estate, count: int) -> None:
    """Turn so often, each time with all mined that was sent before.

    The node answers before that, and how many commits are passed would depend on who is faster.
    """
    for _ in range(count):
        await it.turns(1)
        await all_mined(it.anvil)


async def settled(it: Estate) -> None:
    """Turn until nothing is left to do, with everything that was said final in the end."""
    for _ in range(3):
        await turned(it, 8)
        await it.finalize()
    await turned(it, 3)


async def outcome(it: Estate) -> object:
    """Return what the chain tells, what stands in the cluster, and what the owner is shown."""
    told = {
        name: [[str(said.values[key]) for key in keys] for said in await it.said(name)]
        for name, keys in _TOLD.items()
    }
    sendings = await it.sendings(1)
    assert all(each.state is State.FINAL for each in sendings), sendings
    assert await verify(it.db) == []
    assert it.cluster.inventory().leaked_volumes() == ()
    guest = it.guest().config if FIRST in it.cluster.inventory().guests else {}
    return (
        told,
        it.machines(),
        [guest.get(name) for name in ("cores", "memory")],
        [each.intent.kind for each in sendings],
        [(wish.verb, wish.name, wish.outcome) for wish in await it.wishes(1)],
    )


# --- what happens ---------------------------------------------------------------------------------


async def nothing(_: Estate) -> None:
    pass


async def bought(it: Estate) -> None:
    if not await it.said("LeaseMinted"):
        await it.buy(seconds=3 * HOUR)


async def sold(it: Estate) -> None:
    """Bob is the owner, and says by which key he is to be told."""
    await it.shop.transfer(1, it.alice, it.bob)
    await it.shop.set_keys(1, it.bob, BOBS_KEY, it.public(it.bob))
    await it.finalize()


async def larger(it: Estate) -> None:
    price = LARGE.price_per_second * 3 * HOUR
    await it.shop.deployed.send("requestUpgrade", 1, 2, 10**18, sender=it.alice, value=price)
    await it.anvil.mine(1)


async def hopeless(it: Estate) -> None:
    """Delivered, on a cluster that grows no disk."""
    await bought(it)
    await settled(it)
    it.cluster.arm(never("PUT", "*/resize"))


async def asked_in_vain(it: Estate) -> None:
    """Delivered, and larger wanted while everything was paused."""
    await bought(it)
    await settled(it)
    await it.desk().pause("effects", "a test", 0)
    await larger(it)
    await turned(it, 4)


async def too_late(it: Estate) -> None:
    await it.pass_time(HOUR + 1)
    if await it.daemon.stores.holds.pauses():
        await it.desk().resume_all("a test", 0)


async def parked(it: Estate) -> None:
    """Bought, and never to be made."""
    it.cluster.arm(never("POST", "*/clone"))
    await bought(it)


async def cancelled(it: Estate) -> None:
    """The operator gives it back; again if the daemon died before it said so."""
    try:
        await it.desk().cancel("1", "its template is gone", 0)
    except OperatorError as error:
        assert "is being cancelled" in str(error)  # noqa: PT017 - a crash may have come after it


async def deaf(it: Estate) -> None:
    """Bought, and never seen to run."""
    it.cluster.guest(TEMPLATE).has_agent = False
    await bought(it)


async def overdue(it: Estate) -> None:
    await it.pass_time(HOUR + 1)


async def over(it: Estate) -> None:
    """Its time and its grace are over; the machine is destroyed on the way."""
    await it.pass_time(3 * HOUR + 1)
    await turned(it, 12)
    await it.pass_time(GRACE)
    for _ in range(4):
        await turned(it, 8)
        await it.pass_time(60)


def never(method: str, path: str) -> Fault:
    """Return a refusal that nothing mends."""
    text = "Parameter verification failed."
    return Fault(FaultName.REFUSE, method, path, status=400, text=text, lasting=True)


DEALINGS: Final = {
    "delivered": Dealing(nothing, bought),
    "told anew": Dealing(bought, sold),
    "upgraded": Dealing(bought, larger),
    "upgrade refused": Dealing(hopeless, larger),
    "upgrade overdue": Dealing(asked_in_vain, too_late),
    "cancelled": Dealing(parked, cancelled),
    "given back": Dealing(deaf, overdue),
    "burnt": Dealing(bought, over),
}
