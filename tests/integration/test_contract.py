"""The lease contract on a real chain: what it sells, what it refuses, and what its events say.

Every test has a chain and a contract of its own; time is the chain's.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web3 import AsyncWeb3

from chainwatch import artifacts
from tests.support.lease_contract import (
    NATIVE,
    LeaseContract,
    PlanOffer,
    Reverted,
    issue_token,
    purchase,
)
from tests.support.town import (
    COIN,
    DELIVERY,
    GRACE,
    HOUR,
    OFFER,
    PRICE,
    Town,
    founded,
    said,
    timestamp_of,
)

ROOT = Path(__file__).parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDx alice@example"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with founded() as town:
        yield town


# --- plans ----------------------------------------------------------------------------------------


async def test_a_new_plan_says_its_facts_once_and_its_terms_absolutely(town: Town) -> None:
    created = await town.shop.deployed.send(
        "createPlan",
        ("large", 1, 8, 16384, 200, GRACE, HOUR, 500, NATIVE, 7, 3),
        sender=town.shop.admin,
    )
    changed = await town.shop.set_terms(2, 9, cap=4, on_sale=False)
    assert said(created) == [
        ("PlanDefined", 2, "large", 1, 8, 16384, 200, GRACE),
        ("PlanPromises", 2, HOUR, 500),
        ("PlanTerms", 2, NATIVE, 7, 3, True),
    ]
    assert said(changed) == [("PlanTerms", 2, NATIVE, 9, 4, False)]


@pytest.mark.parametrize(
    ("offer", "error"),
    [
        (PlanOffer(name=""), "NameIsEmpty"),
        (PlanOffer(name="x" * 65), "TooLong"),
        (PlanOffer(name="two\nlines"), "NotPrintable"),
        (PlanOffer(kind=2), "UnknownKind"),
        (PlanOffer(cores=0), "EmptyMachine"),
        (PlanOffer(memory_mib=0), "EmptyMachine"),
        (PlanOffer(disk_gib=0), "EmptyMachine"),
        (PlanOffer(grace=365 * 86400 + 1), "GraceTooLong"),
        (PlanOffer(price_per_second=0), "PriceIsZero"),
        (PlanOffer(delivery_time=299), "DeliveryTimeNotAllowed"),
        (PlanOffer(end_fee=2501), "EndFeeTooHigh"),
        (PlanOffer(payment_token="0x" + "00" * 19 + "99"), "NotAToken"),
    ],
)
async def test_a_plan_that_cannot_be_kept_is_refused(
    town: Town, offer: PlanOffer, error: str
) -> None:
    with pytest.raises(Reverted, match=error):
        await town.shop.create_plan(offer)


async def test_only_the_admin_sells_the_treasurer_withdraws_and_the_provisioner_delivers(
    town: Town,
) -> None:
    await town.shop.mint(1, town.alice)
    stranger = LeaseContract(town.shop.deployed, town.bob, town.bob, town.bob)
    admin = LeaseContract(town.shop.deployed, town.bob, town.shop.admin, town.shop.admin)
    for attempt in (
        lambda: stranger.create_plan(OFFER),
        lambda: stranger.set_terms(1, 1),
        lambda: stranger.pause_sales(True),
        lambda: stranger.withdraw(NATIVE, town.bob, 1),
        lambda: stranger.deliver(1),
        lambda: stranger.cancel_undelivered(1),
        lambda: admin.withdraw(NATIVE, town.bob, 1),
        lambda: admin.deliver(1),
    ):
        with pytest.raises(Reverted, match="AccessControlUnauthorizedAccount"):
            await attempt()


async def test_terms_of_a_plan_that_does_not_exist_cannot_be_set(town: Town) -> None:
    for plan in (0, 2):
        with pytest.raises(Reverted, match="UnknownPlan"):
            await town.shop.set_terms(plan, 1)


# --- buying ---------------------------------------------------------------------------------------


async def test_a_purchase_says_owner_price_expiry_and_keys_in_this_order(town: Town) -> None:
    token, receipt = await town.shop.mint(
        1, town.alice, seconds=HOUR, ssh_key=KEY, encryption_key=b"\x01\x02", recipient=town.bob
    )
    expiry = await timestamp_of(town, receipt) + DELIVERY
    assert said(receipt) == [
        ("Transfer", NATIVE, town.bob, token),
        ("LeaseMinted", token, 1, town.alice, HOUR, HOUR * PRICE),
        ("SubscriptionUpdate", token, expiry),
        ("EscrowUpdate", token, HOUR * PRICE, 0),
        ("KeysChanged", token, KEY, b"\x01\x02"),
    ]
    assert token == 1
    assert await town.shop.expires_at(token) == expiry
    assert await town.shop.owner_of(token) == town.bob
    assert await town.shop.deployed.call(str, "sshKeyOf", token) == KEY
    assert await town.shop.deployed.call(bytes, "encryptionKeyOf", token) == b"\x01\x02"


async def test_a_purchase_without_keys_says_nothing_about_keys(town: Town) -> None:
    _, receipt = await town.shop.mint(1, town.alice)
    names = [event.name for event in receipt.events]
    assert names == ["Transfer", "LeaseMinted", "SubscriptionUpdate", "EscrowUpdate"]


async def test_native_coin_beyond_the_price_comes_back(town: Town) -> None:
    before = await town.balance(town.alice)
    await town.mint_raw(value=COIN)
    assert await town.balance(town.shop.address) == HOUR * PRICE
    assert before - await town.balance(town.alice) < COIN // 100  # the price and the gas


async def test_a_purchase_is_paid_in_the_plans_erc20(town: Town) -> None:
    coin = await issue_token(town.anvil, town.alice, 10 * HOUR * PRICE)
    plan = await town.shop.create_plan(PlanOffer(payment_token=coin.address))
    with pytest.raises(Reverted):
        await town.shop.mint(plan, town.alice)
    await coin.send("approve", town.shop.address, 2 * HOUR * PRICE, sender=town.alice)
    token, _ = await town.shop.mint(plan, town.alice, seconds=HOUR)
    await town.shop.renew(token, HOUR, town.alice)
    assert await coin.call(int, "balanceOf", town.shop.address) == 2 * HOUR * PRICE
    assert await coin.call(int, "balanceOf", town.alice) == 8 * HOUR * PRICE


async def test_native_coin_sent_to_a_plan_paid_in_erc20_is_refused(town: Town) -> None:
    coin = await issue_token(town.anvil, town.alice, COIN)
    plan = await town.shop.create_plan(PlanOffer(payment_token=coin.address))
    await coin.send("approve", town.shop.address, COIN, sender=town.alice)
    with pytest.raises(Reverted, match="NativeCoinNotTaken"):
        await town.shop.deployed.send(
            "mint",
            purchase(plan, town.alice, HOUR, COIN, 2**63),
            sender=town.alice,
            value=1,
        )


async def test_a_token_that_moves_less_than_it_says_is_refused(town: Town) -> None:
    coin = await issue_token(town.anvil, town.alice, COIN)
    plan = await town.shop.create_plan(PlanOffer(payment_token=coin.address))
    answers_one_to_everything = "0x60015f5260205ff3"
    await town.anvil.rpc("anvil_setCode", coin.address, answers_one_to_everything)
    with pytest.raises(Reverted, match=r"TokenTookFee\(0, "):
        await town.shop.mint(plan, town.alice)


async def test_a_purchase_that_costs_more_than_accepted_is_refused(town: Town) -> None:
    with pytest.raises(Reverted, match="PriceAboveMaximum"):
        await town.mint_raw(value=COIN, maximum=HOUR * PRICE - 1)
    await town.mint_raw(value=COIN, maximum=HOUR * PRICE)


async def test_a_purchase_mined_after_its_deadline_is_refused(town: Town) -> None:
    now = (await town.anvil.advance(HOUR)).timestamp
    with pytest.raises(Reverted, match="DeadlinePassed"):
        await town.mint_raw(value=COIN, deadline=now - 1)


async def test_a_purchase_that_is_not_paid_in_full_is_refused(town: Town) -> None:
    with pytest.raises(Reverted, match="NotEnoughSent"):
        await town.mint_raw(value=HOUR * PRICE - 1)


async def test_less_than_a_minute_and_more_than_the_horizon_are_not_sold(town: Town) -> None:
    with pytest.raises(Reverted, match="DurationTooShort"):
        await town.mint_raw(value=COIN, seconds=59)
    with pytest.raises(Reverted, match="BeyondHorizon"):
        await town.mint_raw(value=COIN, seconds=1096 * 86400 + 1)
    await town.mint_raw(value=COIN, seconds=60)


async def test_a_plan_that_is_off_sale_or_unknown_is_not_sold(town: Town) -> None:
    await town.shop.set_terms(1, PRICE, on_sale=False)
    with pytest.raises(Reverted, match="NotOnSale"):
        await town.mint_raw(value=COIN)
    with pytest.raises(Reverted, match="UnknownPlan"):
        await town.shop.mint(9, town.alice)


async def test_the_cap_counts_expired_leases_until_they_are_burned(town: Town) -> None:
    await town.shop.set_terms(1, PRICE, cap=1)
    first = await town.delivered()
    await town.anvil.advance_to(await town.shop.expires_at(first))
    with pytest.raises(Reverted, match="SoldOut"):
        await town.shop.mint(1, town.bob)
    await town.shop.burn(first, town.alice)
    second, _ = await town.shop.mint(1, town.bob)
    assert second == 2  # an id is never given twice


@pytest.mark.parametrize(
    ("ssh_key", "error"),
    [
        ("ssh-ed25519 AAAA\nssh-ed25519 BBBB", "NotPrintable"),
        ("ssh-ed25519 AAAA\r", "NotPrintable"),
        ("ssh-ed25519\tAAAA", "NotPrintable"),
        ("ssh-ed25519 AAAA\x7f", "NotPrintable"),
        ("ssh-ed25519 AAAA caf\u00e9", "NotPrintable"),
        ("ssh-ed25519 AAAA\u2028", "NotPrintable"),
        ("x" * 1025, "TooLong"),
    ],
)
async def test_a_key_that_is_not_one_bounded_printable_line_is_refused(
    town: Town, ssh_key: str, error: str
) -> None:
    with pytest.raises(Reverted, match=error):
        await town.shop.mint(1, town.alice, ssh_key=ssh_key)


async def test_keys_of_exactly_the_longest_length_are_taken(town: Town) -> None:
    token, _ = await town.shop.mint(1, town.alice, ssh_key="x" * 1024, encryption_key=b"k" * 1024)
    assert await town.shop.deployed.call(str, "sshKeyOf", token) == "x" * 1024
    with pytest.raises(Reverted, match="TooLong"):
        await town.shop.set_keys(token, town.alice, "", b"k" * 1025)


async def test_a_pause_stops_sales_only(town: Town) -> None:
    token = await town.delivered()
    assert said(await town.shop.pause_sales(True)) == [("SalesPaused", True)]
    with pytest.raises(Reverted, match="SalesArePaused"):
        await town.shop.mint(1, town.bob)
    await town.shop.renew(token, HOUR, town.bob)
    await town.shop.transfer(token, town.alice, town.bob)
    await town.shop.end(token, town.bob)
    await town.shop.burn(token, town.bob)
    await town.shop.pause_sales(False)
    await town.shop.mint(1, town.bob)


# --- surface --------------------------------------------------------------------------------------


async def test_the_standards_it_follows_are_announced(town: Town) -> None:
    announced = {"01ffc9a7", "80ac58cd", "5b5e139f", "8c65f84d", "7965db0b", "49064906"}
    for interface in announced:
        assert await town.shop.deployed.call(bool, "supportsInterface", bytes.fromhex(interface))
    unknown = bytes.fromhex("ffffffff")
    assert await town.shop.deployed.call(bool, "supportsInterface", unknown) is False


def test_the_events_that_readers_rely_on_keep_their_signatures() -> None:
    abi = artifacts.load("Lease").abi
    signatures = {signature(entry) for entry in abi if entry["type"] == "event"}
    assert signatures >= {
        "PlanDefined(uint256*,string,uint8,uint32,uint32,uint32,uint64)",
        "PlanTerms(uint256*,address,uint256,uint32,bool)",
        "LeaseMinted(uint256*,uint256*,address*,uint256,uint256)",
        "SubscriptionUpdate(uint256*,uint64)",
        "KeysChanged(uint256*,string,bytes)",
        "LeaseDelivered(uint256*,uint64)",
        "PlanChanged(uint256*,uint256*)",
        "ActionRequested(uint256*,uint8*,bytes)",
        "Transfer(address*,address*,uint256*)",
    }


def test_the_reference_names_everything_that_the_contract_has_and_its_topics() -> None:
    reference = (ROOT / "docs/reference/contract.md").read_text(encoding="utf-8")
    inherited = {"ERC721", "AccessControl", "Role", "Approval", "SafeERC20", "ReentrancyGuard"}
    abi = [entry for entry in artifacts.load("Lease").abi if "name" in entry]
    ours = {str(entry["name"]) for entry in abi} - FROM_THE_STANDARDS
    missing = {
        name
        for name in ours
        if not any(name.startswith(prefix) for prefix in inherited) and f"{name}(" not in reference
    }
    assert missing == set()
    for entry in abi:
        if entry["type"] == "event" and f"`{entry['name']}(" in reference:
            topic = AsyncWeb3.keccak(text=signature(entry).replace("*", ""))
            assert topic.to_0x_hex() in reference


FROM_THE_STANDARDS = {
    *("approve", "balanceOf", "getApproved", "isApprovedForAll", "name", "ownerOf", "symbol"),
    *("safeTransferFrom", "setApprovalForAll", "tokenURI", "transferFrom", "supportsInterface"),
    *("DEFAULT_ADMIN_ROLE", "getRoleAdmin", "grantRole", "hasRole", "renounceRole", "revokeRole"),
    *("FailedCall", "InsufficientBalance"),
}


def signature(entry: dict[str, object]) -> str:
    """An event and its types; a star marks what is indexed."""
    inputs = entry["inputs"]
    assert isinstance(inputs, list)
    fields = [f"{each['type']}{'*' * each['indexed']}" for each in inputs]
    return f"{entry['name']}({','.join(fields)})"
