"""A purchase and a renewal are paid as the token can be, for exactly the price, on a real chain."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chainwatch.demo.deployed import Deployed, deploy
from tests.support.compiled import fixture
from tests.support.lease_contract import LeaseContract, PlanOffer, issue_token, open_shop
from tests.support.terminal import BUYER, PASSWORD, Street, Terminal, street, terminal

pytestmark = pytest.mark.timeout(300)

DAY = 86_400
SUPPLY = 10**12
PRICE = 7


@pytest.fixture(scope="module")
def loaded() -> Iterator[Terminal]:
    with terminal() as made:
        yield made


@pytest.fixture
async def place(loaded: Terminal, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(loaded, tmp_path) as made:
        yield made


async def sold_for(place: Street, token: str) -> tuple[Deployed, LeaseContract, str]:
    """A token of that kind, all of it the buyer's, and a plan that is paid in it."""
    buyer = (await place.anvil.accounts())[4]
    if token == "TestToken":
        money = await issue_token(place.anvil, buyer, SUPPLY)
    else:
        money = await deploy(place.anvil, fixture(token), SUPPLY, sender=buyer)
    shop = await open_shop(place.anvil)
    await shop.create_plan(PlanOffer(payment_token=money.address, price_per_second=PRICE))
    place.contract = shop.address
    return money, shop, buyer


@pytest.mark.parametrize(
    ("token", "bought_by", "renewed_by"),
    [
        ("TestToken", "permit", "permit"),
        ("SignedToken", "authorization", "approve"),
        ("OldPermitToken", "approve", "approve"),
        ("PlainToken", "approve", "approve"),
    ],
)
async def test_it_is_paid_by_what_the_token_knows_and_no_allowance_is_left(
    place: Street, token: str, bought_by: str, renewed_by: str
) -> None:
    money, shop, account = await sold_for(place, token)
    buyer = place.person(4)
    bought = await place.buys("buy", "1", "1d", by=buyer)
    assert bought["way"] == bought_by
    assert len(bought["transactions"]) == (2 if bought_by == "approve" else 1)
    renewed = await place.buys("renew", str(bought["token"]), "1d", by=buyer)
    assert renewed["way"] == renewed_by
    assert await money.call(int, "balanceOf", account) == SUPPLY - 2 * PRICE * DAY
    assert await money.call(int, "allowance", account, shop.address) == 0


async def test_an_authorization_pays_where_it_is_asked_for_and_buys_with_its_key(
    place: Street,
) -> None:
    money, shop, account = await sold_for(place, "TestToken")
    buyer = place.person(4)
    bought = await place.buys("buy", "1", "1d", "--pay", "authorization", by=buyer)
    assert (bought["way"], len(bought["transactions"])) == ("authorization", 1)
    assert await money.call(int, "balanceOf", account) == SUPPLY - PRICE * DAY
    key = await shop.deployed.call(bytes, "encryptionKeyOf", bought["token"])
    assert key.hex() == bought["encryption_key"]


@pytest.mark.parametrize(
    ("token", "words", "said"),
    [
        ("PlainToken", ("buy", "1", "1d", "--pay", "permit"), "PLAIN takes no permit"),
        (
            "SignedToken",
            ("buy", "1", "1d", "--pay", "permit"),
            "SIGNED takes no permit that can be signed here: --pay authorization or --pay approve",
        ),
        ("OldPermitToken", ("buy", "1", "1d", "--pay", "permit"), "OLD takes no permit"),
        ("TestToken", ("buy", "1", "1d", "--pay", "native"), "it is paid in TEST"),
    ],
)
async def test_what_a_token_does_not_know_is_refused_with_what_it_does(
    place: Street, token: str, words: tuple[str, ...], said: str
) -> None:
    await sold_for(place, token)
    told = await place.types(BUYER, *words, "--yes", by=place.person(4))
    assert told.code == 1
    assert said in told.err


async def test_a_renewal_takes_no_authorization_and_says_what_it_takes(place: Street) -> None:
    await sold_for(place, "TestToken")
    buyer = place.person(4)
    token = (await place.buys("buy", "1", "1d", by=buyer))["token"]
    words = ("renew", str(token), "1d", "--pay", "authorization", "--yes")
    told = await place.types(BUYER, *words, by=buyer)
    assert (told.code, "for a purchase alone: --pay permit or approve" in told.err) == (1, True)


@pytest.mark.parametrize("pay", ["permit", "authorization"])
async def test_nothing_is_signed_after_a_no(place: Street, pay: str) -> None:
    """The node could complete a purchase with an authorization that it saw."""
    money, _, account = await sold_for(place, "TestToken")
    height = (await place.anvil.block()).number
    keys = [("keystore: ", PASSWORD), ("Do it?", "n")]
    code, screen = await place.answers(
        "buy", "1", "1d", "--pay", pay, by=place.person(4), keys=keys
    )
    assert (code, "Sign that the lease contract may take 0.6048 TEST" in screen) == (1, True)
    assert "costs" not in screen
    assert list(place.folder.glob("*.x25519-*")) == []
    assert (await place.anvil.block()).number == height
    assert await money.call(int, "balanceOf", account) == SUPPLY


STAYS = "the lease contract may still take "


@pytest.mark.parametrize("token", ["PlainToken", "TestToken"])
@pytest.mark.parametrize("words", [("buy", "1", "1d"), ("renew", "1", "1d"), ("upgrade", "1", "2")])
async def test_an_approval_that_stays_because_what_it_is_for_fails_is_told(
    place: Street, token: str, words: tuple[str, ...]
) -> None:
    """The price is approved before the purchase can be simulated, and sales may stop meanwhile."""
    money, shop, account = await sold_for(place, token)
    buyer = place.person(4)
    await shop.create_plan(PlanOffer(payment_token=money.address, price_per_second=2 * PRICE))
    lease = (await place.buys("buy", "1", "1d", by=buyer))["token"]
    await place.buys("decline-renewal", str(lease), by=buyer)
    await shop.deployed.send("setSalesPaused", True, sender=shop.admin)
    most = ("--most", "0.0000000000006048") if token == "PlainToken" else ("--most", "0.6048")
    told = await place.types(BUYER, *words, *most, "--yes", "--json", by=buyer)
    left = await money.call(int, "allowance", account, shop.address)
    assert (told.code, told.out) == (1, "")
    assert (STAYS in told.err) == (left > 0)
    assert (left > 0) == (token == "PlainToken" or words[0] == "upgrade")
    if left:
        assert f"{STAYS}{most[1]} {'PLAIN' if token == 'PlainToken' else 'TEST'} of " in told.err
        assert f"approve({shop.address.lower()}, 0) at {money.address.lower()}" in told.err


async def test_an_approval_that_stays_because_of_a_no_is_told_and_pays_the_next_time(
    place: Street,
) -> None:
    money, shop, account = await sold_for(place, "PlainToken")
    buyer = place.person(4)
    keys = [("keystore: ", PASSWORD), ("Do it?", "y"), ("Do it?", "n")]
    code, screen = await place.answers("buy", "1", "1d", by=buyer, keys=keys)
    assert (code, STAYS in screen) == (1, True), screen
    bought = await place.buys("buy", "1", "1d", by=buyer)
    assert len(bought["transactions"]) == 1
    assert await money.call(int, "allowance", account, shop.address) == 0
