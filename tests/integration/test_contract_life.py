"""A lease after its purchase, on a real chain: renewed, refused, handed over, ended, burned.

Every test has a chain and a contract of its own; time is the chain's.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from web3 import AsyncWeb3

from tests.support.lease_contract import NATIVE, Reverted, issue_token
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

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDx alice@example"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with founded() as town:
        yield town


# --- renewing -------------------------------------------------------------------------------------


async def test_a_renewal_before_expiry_leaves_no_gap_and_anyone_may_pay(town: Town) -> None:
    token = await town.delivered()
    old = await town.shop.expires_at(token)
    now = old - HOUR + 600
    await town.anvil.rpc("evm_setNextBlockTimestamp", now)
    receipt = await town.shop.renew(token, 120, town.carol)
    assert said(receipt) == [
        ("CreditUpdate", NATIVE, NATIVE, 600 * PRICE),
        ("LeaseRenewed", token, town.carol, 120, 120 * PRICE),
        ("SubscriptionUpdate", token, old + 120),
        ("MetadataUpdate", token),
        ("EscrowUpdate", token, (HOUR + 120 - 600) * PRICE, now),
    ]
    assert await town.shop.owner_of(token) == town.alice
    assert await town.balance(town.shop.address) == (HOUR + 120) * PRICE


async def test_a_renewal_after_expiry_counts_from_now(town: Town) -> None:
    token = await town.delivered()
    expiry = await town.shop.expires_at(token)
    await town.next_second(token, 100)
    receipt = await town.shop.renew(token, HOUR, town.alice)
    assert ("SubscriptionUpdate", token, expiry + 100 + HOUR) in said(receipt)


async def test_the_last_second_of_grace_renews_and_the_next_does_not(town: Town) -> None:
    token = await town.delivered()
    expiry = await town.shop.expires_at(token)
    before = await town.anvil.snapshot()
    await town.next_second(token, GRACE - 1)
    receipt = await town.shop.renew(token, HOUR, town.alice)
    assert ("SubscriptionUpdate", token, expiry + GRACE - 1 + HOUR) in said(receipt)
    await town.anvil.revert(before)
    await town.anvil.advance_to(expiry + GRACE)
    with pytest.raises(Reverted, match="GraceIsOver"):
        await town.shop.renew(token, HOUR, town.alice)
    assert await town.shop.deployed.call(bool, "isRenewable", token) is False


async def test_a_renewal_never_costs_more_than_the_lease_ever_did(town: Town) -> None:
    token = await town.delivered()
    await town.shop.set_terms(1, 10 * PRICE, on_sale=False)
    assert await town.shop.deployed.call(int, "priceOf", token) == PRICE
    await town.shop.set_terms(1, PRICE // 2)
    await town.shop.renew(token, HOUR, town.alice)
    await town.shop.set_terms(1, PRICE)
    assert await town.shop.deployed.call(int, "priceOf", token) == PRICE // 2


async def test_a_renewal_beyond_the_horizon_or_of_less_than_a_minute_is_refused(
    town: Town,
) -> None:
    token = await town.delivered()
    with pytest.raises(Reverted, match="BeyondHorizon"):
        await town.shop.renew(token, 1096 * 86400, town.alice)
    with pytest.raises(Reverted, match="DurationTooShort"):
        await town.shop.renew(token, 59, town.alice)


async def test_native_coin_beyond_the_price_of_a_renewal_comes_back(town: Town) -> None:
    token = await town.delivered()
    with pytest.raises(Reverted, match="NotEnoughSent"):
        await town.shop.deployed.send(
            "renewSubscription", token, HOUR, sender=town.bob, value=HOUR * PRICE - 1
        )
    await town.shop.deployed.send("renewSubscription", token, HOUR, sender=town.bob, value=COIN)
    assert await town.balance(town.shop.address) == 2 * HOUR * PRICE


async def test_do_not_renew_keeps_what_is_paid_and_stops_renewals_until_allowed(town: Town) -> None:
    token = await town.delivered()
    expiry = await town.shop.expires_at(token)
    assert said(await town.shop.cancel(token, town.alice)) == [
        ("RenewalsAllowed", token, False),
        ("MetadataUpdate", token),
        ("SubscriptionUpdate", token, expiry),
    ]
    assert await town.shop.deployed.call(bool, "isRenewable", token) is False
    with pytest.raises(Reverted, match="RenewalDeclined"):
        await town.shop.renew(token, HOUR, town.alice)
    await town.shop.allow_renewal(token, town.alice)
    assert await town.shop.deployed.call(bool, "isRenewable", token) is True
    await town.shop.renew(token, HOUR, town.bob)
    with pytest.raises(Reverted, match="NativeCoinNotTaken"):
        await town.shop.deployed.send("cancelSubscription", token, sender=town.alice, value=1)


# --- owners ---------------------------------------------------------------------------------------


async def test_a_transfer_clears_keys_and_a_refusal_to_renew(town: Town) -> None:
    token, _ = await town.shop.mint(1, town.alice, ssh_key=KEY, encryption_key=b"\x01")
    await town.shop.cancel(token, town.alice)
    receipt = await town.shop.transfer(token, town.alice, town.bob)
    assert said(receipt) == [
        ("Transfer", town.alice, town.bob, token),
        ("KeysChanged", token, "", b""),
        ("RenewalsAllowed", token, True),
        ("MetadataUpdate", token),
    ]
    assert await town.shop.deployed.call(str, "sshKeyOf", token) == ""
    assert await town.shop.deployed.call(bool, "isRenewable", token) is True


async def test_the_new_owner_sets_keys_and_the_former_cannot(town: Town) -> None:
    token, _ = await town.shop.mint(1, town.alice, ssh_key=KEY)
    await town.shop.transfer(token, town.alice, town.bob)
    with pytest.raises(Reverted, match="NotLeaseOwner"):
        await town.shop.set_keys(token, town.alice, KEY)
    receipt = await town.shop.set_keys(token, town.bob, "ssh-ed25519 BBBB bob", b"\x02")
    assert said(receipt) == [("KeysChanged", token, "ssh-ed25519 BBBB bob", b"\x02")]


async def test_an_approval_transfers_and_does_nothing_else(town: Town) -> None:
    token = await town.delivered()
    await town.shop.deployed.send("approve", town.bob, token, sender=town.alice)
    for attempt in (town.shop.cancel, town.shop.allow_renewal, town.shop.end, town.shop.burn):
        with pytest.raises(Reverted, match="NotLeaseOwner"):
            await attempt(token, town.bob)
    await town.shop.deployed.send("transferFrom", town.alice, town.bob, token, sender=town.bob)
    assert await town.shop.owner_of(token) == town.bob


async def test_an_end_takes_effect_now_gives_the_rest_back_and_grace_follows(town: Town) -> None:
    token = await town.delivered()
    began = await town.shop.deployed.call(int, "deliveredAt", token)
    now = began + 600
    await town.anvil.rpc("evm_setNextBlockTimestamp", now)
    receipt = await town.shop.end(token, town.alice)
    earned, rest = (now - began) * PRICE, (began + HOUR - now) * PRICE
    assert said(receipt) == [
        ("CreditUpdate", NATIVE, NATIVE, earned),
        ("SubscriptionUpdate", token, now),
        ("MetadataUpdate", token),
        ("CreditUpdate", NATIVE, town.alice, rest),
        ("Refunded", token, town.alice, rest, 0),
        ("EscrowUpdate", token, 0, now),
    ]
    assert said(await town.shop.claim(NATIVE, town.alice)) == [
        ("CreditUpdate", NATIVE, town.alice, 0),
        ("Withdrawn", NATIVE, town.alice, rest),
    ]
    with pytest.raises(Reverted, match="AlreadyExpired"):
        await town.shop.end(token, town.alice)
    await town.next_second(token, 10)
    renewed = await town.shop.renew(token, HOUR, town.alice)
    assert ("SubscriptionUpdate", token, now + 10 + HOUR) in said(renewed)


async def test_a_lease_is_burned_only_once_it_has_expired(town: Town) -> None:
    token = await town.delivered(ssh_key=KEY)
    with pytest.raises(Reverted, match="NotExpired"):
        await town.shop.burn(token, town.alice)
    await town.anvil.advance_to(await town.shop.expires_at(token))
    receipt = await town.shop.burn(token, town.alice)
    assert said(receipt)[-1] == ("Transfer", town.alice, NATIVE, token)
    for ask in (town.shop.expires_at, town.shop.owner_of):
        with pytest.raises(Reverted, match="ERC721NonexistentToken"):
            await ask(token)
    with pytest.raises(Reverted, match="ERC721NonexistentToken"):
        await town.shop.deployed.send("renewSubscription", token, HOUR, sender=town.bob)


# --- delivery -------------------------------------------------------------------------------------


async def test_a_delivery_replaces_the_provisional_expiry(town: Town) -> None:
    token, bought = await town.shop.mint(1, town.alice, seconds=HOUR)
    deadline = await timestamp_of(town, bought) + DELIVERY
    assert await town.shop.expires_at(token) == deadline
    receipt = await town.shop.deliver(token, b"sealed")
    now = await timestamp_of(town, receipt)
    assert said(receipt) == [
        ("LeaseDelivered", token, now),
        ("SubscriptionUpdate", token, now + HOUR),
        ("MetadataUpdate", token),
        ("EscrowUpdate", token, HOUR * PRICE, now),
        ("ConnectionPublished", token, b"sealed"),
    ]


async def test_what_is_not_delivered_in_time_is_given_back(town: Town) -> None:
    token, _ = await town.shop.mint(1, town.alice, seconds=HOUR)
    with pytest.raises(Reverted, match="DeliveryNotOverdue"):
        await town.shop.refund(token, town.alice)
    await town.anvil.advance_to(await town.shop.expires_at(token))
    with pytest.raises(Reverted, match="DeliveryOverdue"):
        await town.shop.deliver(token)
    receipt = await town.shop.refund(token, town.alice)
    assert said(receipt) == [
        ("CreditUpdate", NATIVE, town.alice, HOUR * PRICE),
        ("Refunded", token, town.alice, HOUR * PRICE, 0),
        ("EscrowUpdate", token, 0, 0),
        ("Transfer", town.alice, NATIVE, token),
    ]
    await town.shop.claim(NATIVE, town.alice)
    assert await town.balance(town.shop.address) == 0


# --- money ----------------------------------------------------------------------------------------


async def test_the_treasurer_takes_out_what_was_earned_and_no_more(town: Town) -> None:
    coin = await issue_token(town.anvil, town.alice, HOUR * PRICE)
    await coin.send("approve", town.shop.address, HOUR * PRICE, sender=town.alice)
    plan = await town.shop.create_plan(replace(OFFER, payment_token=coin.address))
    native = await town.delivered()
    paid, _ = await town.shop.mint(plan, town.alice, seconds=HOUR)
    await town.shop.deliver(paid)
    await town.anvil.advance_to(await town.shop.expires_at(paid))
    nobody = AsyncWeb3.to_checksum_address("0x" + "ab" * 20)
    await town.shop.collect(native, paid)
    for token in (NATIVE, coin.address):
        receipt = await town.shop.withdraw(token, nobody, 300)
        assert said(receipt) == [
            ("CreditUpdate", token, NATIVE, HOUR * PRICE - 300),
            ("Withdrawn", token, nobody, 300),
        ]
        with pytest.raises(Reverted, match="NotOwed"):
            await town.shop.withdraw(token, nobody, HOUR * PRICE)
    assert await town.balance(nobody) == 300
    assert await coin.call(int, "balanceOf", nobody) == 300
