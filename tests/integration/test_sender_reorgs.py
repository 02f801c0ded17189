"""What a reorg takes away and gives back is answered once: the request of an upgrade is like that.

A request is answered before it is final. While a reorg has it away, the contract says at the head,
and at a final block that is older, that nothing is asked for; the same request may still come.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from chainwatch.chain.sender.lease_looks import LEASE_LOOKS
from chainwatch.chain.sender.looks import Looks
from chainwatch.control.departures import LET_ALONE
from chainwatch.domain.sendings import Kind, State
from tests.support.anvil import Anvil, running
from tests.support.post import blind
from tests.support.posted_lease import HOUR, Shop, called, delivered, opened, upgrade_refused

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("looks", [LEASE_LOOKS, {}], ids=["looked up", "tried"]),
    pytest.mark.parametrize("kind", [Kind.UPGRADE, Kind.REFUSE]),
]

NOT_ASKED = "that upgrade is not asked for any more"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def anvil() -> AsyncIterator[Anvil]:
    async with running() as chain:
        yield chain


@dataclass(slots=True)
class Asked:
    """An upgrade that was asked for at `time` by the transaction `raw`; `before` is the chain then.

    Its answer is wanted, and nothing is sent yet.
    """

    shop: Shop
    before: str
    time: int
    raw: str

    async def away(self) -> None:
        """Have a reorg take the request away, and the sender look twice."""
        anvil = self.shop.it.anvil
        await anvil.revert(self.before)
        self.before = await anvil.snapshot()
        await anvil.mine(2)  # what was final stays so
        await self.shop.it.turn()
        self.shop.it.wait(LET_ALONE)
        await self.shop.it.turn()

    async def back(self, *, after: int = 0) -> None:
        """Have another reorg bring it again, `after` so many seconds."""
        await self.shop.it.anvil.revert(self.before)
        await self.shop.mine_at(self.time + after, self.raw)

    async def look(self, times: int) -> None:
        for _ in range(times):
            self.shop.it.wait(LET_ALONE)
            await self.shop.it.turns(1)


@asynccontextmanager
async def asked(folder: Path, anvil: Anvil, kind: Kind, looks: Looks) -> AsyncIterator[Asked]:
    async with opened(folder, anvil) as shop:
        await delivered(shop)
        await shop.it.turns(4)
        before, time = await anvil.snapshot(), (await anvil.block()).timestamp + 12
        raw = await shop.ask_at(2, time)
        await _read(shop)
        await shop.want(kind, await called(kind, shop), await shop.cause())
        shop.it.look_by(looks.get(kind, blind), kind)
        yield Asked(shop, before, time, raw)


async def _read(shop: Shop) -> None:
    await shop.it.mine()
    await shop.it.turn()


async def plan_and_request(shop: Shop) -> Sequence[int]:
    plan = await shop.contract.deployed.call(int, "planOf", shop.token)
    return plan, (await shop.upgrade())[0]


async def test_an_answer_whose_request_a_reorg_takes_away_and_brings_again_is_given_once(
    tmp_path: Path, anvil: Anvil, kind: Kind, looks: Looks
) -> None:
    async with asked(tmp_path, anvil, kind, looks) as it:
        nonce = await it.shop.it.nonce()
        await it.away()
        waiting = await it.shop.it.only()
        assert waiting.state is State.WANTED
        assert NOT_ASKED in str(waiting.why)
        assert "when the request that it answers is final, or its time over" in str(waiting.why)
        await it.back()
        assert await plan_and_request(it.shop) == (1, 2)
        await it.look(8)
        assert await it.shop.it.states() == [State.FINAL]
        assert await plan_and_request(it.shop) == ((2, 0) if kind is Kind.UPGRADE else (1, 0))
        assert (await it.shop.it.nonce(), await it.shop.it.pending()) == (nonce + 1, [])


async def test_an_answer_whose_request_comes_again_at_another_time_ends_and_answers_nothing(
    tmp_path: Path, anvil: Anvil, kind: Kind, looks: Looks
) -> None:
    async with asked(tmp_path, anvil, kind, looks) as it:
        nonce = await it.shop.it.nonce()
        await it.away()
        await it.back(after=1)
        await it.look(1)
        assert await it.shop.it.states() == [State.WANTED]
        await it.look(6)
        (end,) = await it.shop.it.states()
        assert end in (State.FINAL, State.FAILED)
        assert (await plan_and_request(it.shop), await it.shop.it.nonce()) == ((1, 2), nonce)


async def test_an_answer_whose_request_never_comes_again_ends_when_its_time_is_over(
    tmp_path: Path, anvil: Anvil, kind: Kind, looks: Looks
) -> None:
    async with asked(tmp_path, anvil, kind, looks) as it:
        nonce = await it.shop.it.nonce()
        await it.away()
        await it.shop.contract.renew(it.shop.token, 2 * HOUR, it.shop.owner)
        await it.look(6)
        assert await it.shop.it.states() == [State.WANTED]
        await it.shop.later(HOUR + 60)
        await it.look(6)
        (end,) = await it.shop.it.states()
        assert end in (State.FINAL, State.FAILED)
        assert await it.shop.it.nonce() == nonce


async def test_an_answer_that_somebody_else_gave_ends_when_that_is_final(
    tmp_path: Path, anvil: Anvil, kind: Kind, looks: Looks
) -> None:
    async with asked(tmp_path, anvil, kind, looks) as it:
        nonce = await it.shop.it.nonce()
        await upgrade_refused(it.shop)
        await it.look(1)
        assert await it.shop.it.states() == [State.WANTED]
        await it.look(6)
        (end,) = await it.shop.it.states()
        assert end in (State.FINAL, State.FAILED)
        assert await it.shop.it.nonce() == nonce
