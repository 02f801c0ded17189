"""The acts about money: what the operator may take, what a buyer gets back, and that it adds up.

A price is what the plan says for the seconds that blocks say have passed; who has what is asked of
the chain. So neither the contract's own sums nor the daemon's are believed.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.demo.narrator import span
from chainwatch.demo.people import COIN
from chainwatch.demo.scene import Scene
from chainwatch.demo.stage import BANK, HOUR, LARGE, SMALL, TOKENS
from chainwatch.demo.till import Sum

HALF_AN_HOUR: Final = 1_800


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Plays acts in a scene."""

    scene: Scene

    async def collected(self, first: int, second: int) -> None:
        """The operator takes out what two leases have earned until now, and can't take more."""
        scene, bill, till = self.scene, self.scene.playbill, self.scene.stage.till
        async with bill.act("collected", "The operator takes what was earned, and no more"):
            await scene.pass_time(HALF_AN_HOUR, "and both machines run")
            at = await self._collects()
            ran = [at - await till.delivered_at(lease) for lease in (first, second)]
            earned = ran[0] * SMALL.price_per_second, ran[1] * LARGE.price_per_second
            what = f"the bank has what {span(ran[0])} of lease 1 and {span(ran[1])} of lease 2 cost"
            bill.certain(what, so=await till.of(BANK) == earned)
            spent, held = await self._spent(), await till.of(till.shop.address)
            escrow = await till.in_escrow(first), await till.in_escrow(second)
            rest = spent[0] - earned[0], spent[1] - earned[1]
            what = "all else that buyers have paid is in escrow, to the last unit"
            bill.certain(what, so=escrow == held == rest)

    async def refunded(self) -> None:
        """Somebody buys where nobody delivers any more, and takes all of it back."""
        scene, bill, till = self.scene, self.scene.playbill, self.scene.stage.till
        dave, price = scene.stage.cast.dave, HOUR * SMALL.price_per_second
        async with bill.act(
            "refunded", "Dave buys when the daemon is gone, and takes his money back"
        ):
            lease = await scene.buys(dave, "1", "1h")
            paid = await till.tokens_of(dave.account) == TOKENS - price
            bill.certain(f"Dave has paid {till.money.written(price)}", so=paid)
            await scene.pass_time(SMALL.delivery_time, "and with it the plan's time to deliver")
            undelivered = await till.delivered_at(lease) == 0
            bill.certain("nothing was delivered", so=undelivered)
            await scene.signs(dave, "refund", str(lease), confirm=0)
            await scene.signs(dave, "claim", "--token", till.money.address)
            whole = await till.tokens_of(dave.account) == TOKENS
            bill.certain("Dave has all that he had before", so=whole)
            bill.certain("and no lease", so=not await till.exists(lease))

    async def settled(self) -> None:
        """All that was paid is with the operator, or back with who paid it."""
        bill, till = self.scene.playbill, self.scene.stage.till
        async with bill.act("settled", "The money adds up"):
            await self._collects()
            price = 4 * HOUR * SMALL.price_per_second, 4 * HOUR * LARGE.price_per_second
            spent, bank = await self._spent(), await till.of(BANK)
            what = "the bank has the price of 4 hours of each lease, to the last unit"
            bill.certain(what, so=bank == price)
            bill.certain("which is all that buyers have spent, but for gas", so=spent == bank)
            nothing = await till.of(till.shop.address) == (0, 0)
            bill.certain("the contract holds nothing any more", so=nothing)

    async def _collects(self) -> int:
        """Let the operator collect all there is; the time (seconds) of the block that did."""
        operator = self.scene.stage.cast.operator
        done = await self.scene.signs(operator, "contract", "collect", "--to", BANK)
        block = await self.scene.stage.chain.block(int(done["transactions"][0]["block"]))
        return block.timestamp

    async def _spent(self) -> Sum:
        """Return what all buyers together have less than they had, but for what gas cost them."""
        stage = self.scene.stage
        has = [await stage.till.of(buyer.account) for buyer in stage.cast.buyers]
        gas = sum(stage.blocks.fees_of(buyer.account) for buyer in stage.cast.buyers)
        tokens = sum(TOKENS - tokens for tokens, _ in has)
        return tokens, sum(COIN - coin for _, coin in has) - gas
