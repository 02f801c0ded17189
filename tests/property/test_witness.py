"""However one of three endpoints lies: what is final is a beginning of the truth, and then all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from chainwatch.chain import profiles
from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.scanner import Scanner
from chainwatch.domain.events import Logged
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import ChainModel, Json, ModelEndpoint, ModelPool
from tests.support.ledger import Ledger
from tests.support.reading import mint
from tests.support.reading import settings as source_settings

FINAL_LAG = 6

Lie = Literal["honest", "none", "part", "forged", "invented", "fork", "stale", "silent"]


@dataclass(frozen=True)
class Mine:
    """Blocks with so many leases each."""

    leases: tuple[int, ...]


@dataclass(frozen=True)
class Fork:
    """The last blocks of the true chain replaced by others, one more of them."""

    depth: int


@dataclass(frozen=True)
class Tell:
    """What the liar says from now on, and whether it gives receipts."""

    lie: Lie
    receipts: bool


@dataclass(frozen=True)
class Poll:
    """So many rounds of reading."""

    rounds: int


@dataclass(frozen=True)
class Forgive:
    """Time passes: nobody is distrusted or in quarantine any more."""


Action = Mine | Fork | Tell | Poll | Forgive

ACTIONS: st.SearchStrategy[list[Action]] = st.lists(
    st.one_of(
        st.builds(Mine, st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)),
        st.builds(Fork, st.integers(1, FINAL_LAG - 1)),
        st.builds(
            Tell,
            st.sampled_from(
                ["honest", "none", "part", "forged", "invented", "fork", "stale", "silent"]
            ),
            st.booleans(),
        ),
        st.builds(Poll, st.integers(1, 6)),
        st.builds(Forgive),
    ),
    max_size=25,
)


class Pool(ModelPool):
    """Endpoints of which those that are distrusted come last."""

    def ranked(self) -> Sequence[Rpc]:
        free = [each for each in self.endpoints if not each.quarantined] or self.endpoints
        return sorted(free, key=lambda each: bool(each.distrusted))


class World:
    """A chain with two honest endpoints and a liar, a scanner and a store."""

    def __init__(self, place: int, *, proofs: bool) -> None:
        self.chain = ChainModel(final_lag=FINAL_LAG)
        self.false = ChainModel(final_lag=FINAL_LAG)
        self.ledger = Ledger()
        self._lie = Tell("honest", receipts=True)
        self._tokens = 0
        self._proofs = proofs
        self._liar = self.chain.endpoint("liar", self._told)
        honest = [self.chain.endpoint(name, self._honest) for name in ("a", "b")]
        self.endpoints: list[ModelEndpoint] = [*honest[:place], self._liar, *honest[place:]]
        using = replace(source_settings(confirmations=1, max_range=9), verify="off")
        self.scanner = Scanner(using, Pool(self.endpoints), profiles.get("lease"), self.ledger)

    def _honest(self, method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockReceipts" and not self._proofs:
            raise RpcError(-32601, "not here")
        return result

    def _told(self, method: str, _: Sequence[object], result: object) -> object:
        if self._lie.lie == "silent":
            raise RpcUnavailable("liar: no answer")
        if method == "eth_getBlockReceipts" and not (self._proofs and self._lie.receipts):
            raise RpcError(-32601, "not here")
        if method == "eth_getLogs" and isinstance(result, list):
            return self._changed(result)
        return result

    def _changed(self, logs: list[Json]) -> list[Json]:
        match self._lie.lie:
            case "none":
                return []
            case "part":
                return [log for log in logs if int(str(log["logIndex"]), 16) % 3 != 1]
            case "forged":
                return [log | {"data": "0x" + "01" * 64} for log in logs]
            case "invented":
                return [*logs, *(log | {"logIndex": "0x63"} for log in logs[-1:])]
        return logs

    async def act(self, action: Action) -> None:
        match action:
            case Mine(leases):
                for count in leases:
                    self._mine(count)
            case Fork(depth):
                depth = min(depth, len(self.chain.blocks) - 1)
                self.chain.drop(depth)
                for _ in range(depth + 1):
                    self._mine(1)
            case Tell():
                self._tell(action)
            case Poll(rounds):
                for _ in range(rounds):
                    await self.poll()
            case Forgive():
                for each in self.endpoints:
                    each.distrusted.clear()
                    each.quarantined.clear()

    def _mine(self, leases: int) -> None:
        for _ in range(leases):
            self._tokens += 1
        events = [event for token in range(leases) for event in mint(self._tokens - token)]
        self.chain.mine(events)

    def _tell(self, told: Tell) -> None:
        self._lie = told
        self._liar.chain = self.chain
        if told.lie in ("fork", "stale"):
            self.false.blocks = self.chain.fork()
            self.false.drop(min(FINAL_LAG - 1, len(self.false.blocks) - 1))
            self._liar.chain = self.false
        if told.lie == "fork":
            for token in range(FINAL_LAG + 2):
                self.false.mine(mint(10_000 + token))

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

    def final_truth(self) -> list[Logged]:
        final = self.ledger.state.final
        return self.chain.events(final.number) if final else []

    async def settle(self) -> None:
        """Mine on until what is true now is final, and read until nothing is new."""
        for _ in range(2 * FINAL_LAG):
            self._mine(0)
            await self.act(Forgive())
            await self.act(Poll(8))


async def _live(actions: Sequence[Action], place: int, proofs: bool) -> None:
    world = World(place, proofs=proofs)
    for action in actions:
        await world.act(action)
        assert world.final_events() == world.final_truth()
    await world.settle()
    head = world.chain.head.number
    assert world.ledger.canonical() == world.chain.events(head - 1)
    assert world.ledger.state.final == world.chain.blocks[head - FINAL_LAG].block


@settings(deadline=None, max_examples=40)
@given(actions=ACTIONS, place=st.integers(0, 2), proofs=st.booleans())
def test_what_is_final_is_true_whatever_one_of_three_says(
    actions: list[Action], place: int, proofs: bool
) -> None:
    asyncio.run(_live(actions, place, proofs))
