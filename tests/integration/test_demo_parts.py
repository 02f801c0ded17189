"""What the demo judges by: the chain's own words, and programs that end as installed ones do."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo import terminal
from chainwatch.demo.blocks import Blocks
from chainwatch.demo.buyer import LeaseContract, PlanOffer, issue_token, open_shop
from chainwatch.demo.people import COIN, born, password_file
from chainwatch.demo.sayings import Sayings
from chainwatch.demo.till import Till
from tests.support.anvil import Anvil, running

pytestmark = pytest.mark.timeout(120)

HOUR = 3_600
PRICE = 7


@pytest.fixture
async def chain() -> AsyncIterator[Anvil]:
    async with running() as made:
        yield made


async def shop_on(chain: Anvil) -> tuple[LeaseContract, Till, str]:
    """A shop that sells for an ERC-20, and a buyer who lets it take an hour's price."""
    _, buyer, *_ = await chain.accounts()
    token = await issue_token(chain, buyer, 10**9)
    shop = await open_shop(chain)
    await shop.create_plan(PlanOffer(payment_token=token.address, price_per_second=PRICE))
    await token.send("approve", shop.address, HOUR * PRICE, sender=buyer)
    return shop, Till(chain, shop, token, Money(token.address, "TEST", 6)), buyer


async def test_every_block_is_told_once_with_its_sender_and_what_it_cost(chain: Anvil) -> None:
    shop, till, buyer = await shop_on(chain)
    before = await till.of(buyer)
    height = (await chain.block()).number
    blocks = Blocks(chain, shop.deployed, Sayings(str, {1: till.money}), height)
    token, _ = await shop.mint(1, buyer)
    await chain.mine(2)
    told = [said async for _, said in blocks.new()]
    assert len(told) == 3
    assert told[0].startswith(f"block {height + 1}, by {buyer}: lease {token} is minted for")
    assert told[1:] == ["", ""]
    assert blocks.sender_of("LeaseDelivered", token) is None
    await shop.deliver(token)
    assert len([said async for _, said in blocks.new()]) == 1
    assert blocks.sender_of("LeaseDelivered", token) == shop.provisioner
    now = await till.of(buyer)
    assert before[0] - now[0] == HOUR * PRICE
    assert before[1] - now[1] == blocks.fees_of(buyer) > 0


async def test_the_till_tells_what_the_chain_holds_and_not_what_was_promised(chain: Anvil) -> None:
    shop, till, buyer = await shop_on(chain)
    assert await till.may_take(buyer) == HOUR * PRICE
    sent = await till.sent_by(buyer)
    token, _ = await shop.mint(1, buyer)
    assert (await till.may_take(buyer), await till.sent_by(buyer)) == (0, sent + 1)
    assert await till.delivered_at(token) == 0
    assert await till.connection(token) == b""
    await shop.deliver(token, b"sealed")
    assert await till.delivered_at(token) == (await chain.block()).timestamp
    assert await till.connection(token) == b"sealed"
    await chain.advance(HOUR // 2)
    collected = await shop.collect(token)
    ran = (await chain.block(collected.block_number)).timestamp - await till.delivered_at(token)
    assert ran >= HOUR // 2
    assert await till.in_escrow(token) == (HOUR - ran) * PRICE
    await chain.advance(HOUR)
    await shop.burn(token, buyer)
    assert not await till.exists(token)


async def test_a_command_has_its_own_settings_and_ends_like_the_program(
    chain: Anvil, tmp_path: Path
) -> None:
    shop, _, _ = await shop_on(chain)
    alice = await born(chain, tmp_path, "Alice")
    assert int(str(await chain.rpc("eth_getBalance", alice.account, "latest")), 16) == COIN
    known = {
        "CHAINWATCH_RPC": chain.url,
        "CHAINWATCH_CONTRACT": shop.address,
        "CHAINWATCH_KEYSTORE": str(alice.keystore),
        "CHAINWATCH_PASSWORD_FILE": str(password_file(tmp_path)),
    }
    async with terminal.opened(tmp_path) as typed_at:
        sold = await typed_at.types("chainwatch-lease", "plans", "--json", **known)
        none = await typed_at.types("chainwatch-lease", "show", "9", "--json", **known)
        lost = await typed_at.types("chainwatch-lease", "plans", "--json")
        key = await typed_at.types(
            *("chainwatch-lease", "keys", "9", "--ssh-key", alice.ssh_file, "--yes"), **known
        )
    assert [plan["number"] for plan in sold.told["plans"]] == [1]
    assert (none.code, none.told, "there is no lease 9" in none.err) == (1, {}, True)
    assert lost.code == 2, "the settings of one command are not those of the next"
    assert "there is no lease 9" in key.err, "the key file was found beside the keystore"
    assert "crypto" in json.loads(alice.keystore.read_text())
