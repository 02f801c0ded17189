"""What an operator changes, pauses, cancels and takes out, and what an owner removes, typed."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.lease_contract import LeaseContract, PlanOffer, issue_token, open_shop
from tests.support.terminal import BUYER, SELLER, Street, Terminal, street, terminal

pytestmark = pytest.mark.timeout(300)

DAY = 86_400
SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFU8WGqKdTL9+y0hJ2ODLVMWlSdzUf/Qa8fqBm6CKoYJ"
TAKER = "0x" + "77" * 20


@pytest.fixture(scope="module")
def loaded() -> Iterator[Terminal]:
    with terminal() as made:
        yield made


@pytest.fixture
async def place(loaded: Terminal, tmp_path: Path) -> AsyncIterator[Street]:
    async with street(loaded, tmp_path) as made:
        yield made


async def shop_on(place: Street, *offers: PlanOffer) -> LeaseContract:
    """A contract whose admin and treasurer is the first person."""
    first, *_ = await place.anvil.accounts()
    shop = await open_shop(place.anvil, treasurer=first)
    for offer in offers or (PlanOffer(),):
        await shop.create_plan(offer)
    place.contract = shop.address
    return shop


async def refused(place: Street, *words: str, by: int) -> str:
    """What is said of a command that fails."""
    told = await place.types(*words, "--yes", by=place.person(by))
    assert told.code == 1, told.out
    return told.err


async def test_a_plan_s_price_and_cap_change_and_it_is_retired_and_reopened(place: Street) -> None:
    await shop_on(place)
    admin = place.person(0)
    dearer = await place.sells("plan", "change", "1", "--price", "0.02592", by=admin)
    assert "for new leases alone" in dearer["transactions"][0]["what"]
    cheaper = await place.sells(
        "plan", "change", "1", "--price", "0.002592", "--cap", "3", by=admin
    )
    assert "for its leases too, for good; a cap of 3" in cheaper["transactions"][0]["what"]
    same = await refused(place, SELLER, "contract", "plan", "change", "1", "--cap", "3", by=0)
    assert "has this price and cap already" in same
    await place.sells("plan", "retire", "1", by=admin)
    assert "is not on sale" in await refused(place, BUYER, "buy", "1", "1d", by=4)
    assert "is not on sale" in await refused(place, SELLER, "contract", "plan", "retire", "1", by=0)
    await place.sells("plan", "reopen", "1", by=admin)
    (plan,) = (await place.sells("plan", "list", by=admin))["plans"]
    assert (plan["price"], plan["cap"], plan["on_sale"]) == (str(10**9), 3, True)


async def test_sales_are_paused_and_renewals_are_not(place: Street) -> None:
    await shop_on(place)
    admin, buyer = place.person(0), place.person(4)
    token = str((await place.buys("buy", "1", "1d", by=buyer))["token"])
    await place.sells("pause", by=admin)
    assert "has paused sales" in await refused(place, BUYER, "buy", "1", "1d", by=4)
    assert "are paused as it is" in await refused(place, SELLER, "contract", "pause", by=0)
    await place.buys("renew", token, "1d", by=buyer)
    assert (await place.sells("show", by=admin))["paused"] is True
    await place.sells("unpause", by=admin)
    await place.buys("buy", "1", "1d", by=buyer)


async def test_a_delivered_lease_is_given_back_less_what_has_elapsed(place: Street) -> None:
    shop = await shop_on(place)
    admin, buyer = place.person(0), place.person(4)
    bought = await place.buys("buy", "1", "2d", by=buyer)
    token = str(bought["token"])
    early = await refused(place, SELLER, "contract", "cancel", token, by=0)
    assert "is not delivered: the daemon gives it back" in early
    await shop.deliver(int(token))
    await place.anvil.advance(DAY)
    cancelled = await place.sells("cancel", token, by=admin)
    assert cancelled["owner"] == buyer.address
    assert "lease 1 for good" in await refused(place, BUYER, "renew", token, "1d", by=4)
    (back,) = (await place.buys("claim", by=buyer))["claimed"]
    shown = await place.sells("show", by=admin)
    assert (shown["earned"], shown["leases"], shown["sold"]) == ({}, 1, 1)
    (earned,) = shown["credit"].values()
    assert int(back["amount"]) + int(earned) == int(bought["paid"])
    assert abs(int(earned) - int(bought["paid"]) // 2) < 60 * 1_000


async def test_what_was_collected_is_taken_out_in_parts_and_no_more_than_it_is(
    place: Street,
) -> None:
    shop = await shop_on(place)
    admin, buyer = place.person(0), place.person(4)
    token = (await place.buys("buy", "1", "1d", by=buyer))["token"]
    await shop.deliver(token)
    await place.anvil.advance(2 * DAY)
    shown = await place.sells("show", by=admin)
    assert list(shown["earned"].values()) == [str(1_000 * DAY)]
    assert "`collect` first" in await refused(place, SELLER, "contract", "withdraw", TAKER, by=0)
    collected = await place.sells("collect", by=admin)
    assert "1 lease, 0.0000000000864 coin so far" in collected["transactions"][0]["what"]
    words = ("withdraw", TAKER, "--amount", "0.0000000000001")
    assert (await place.sells(*words, by=admin))["amount"] == str(10**5)
    more = await refused(place, SELLER, "contract", *words[:-1], "1", by=0)
    assert "0.0000000000863 coin can be taken out" in more
    await place.sells("withdraw", TAKER, by=admin)
    held = int(str(await place.anvil.rpc("eth_getBalance", TAKER, "latest")), 16)
    assert held == 1_000 * DAY


async def test_named_leases_alone_are_collected_and_what_is_no_lease_is_refused(
    place: Street,
) -> None:
    shop = await shop_on(place)
    admin, buyer = place.person(0), place.person(4)
    for token in range(1, 5):
        await place.buys("buy", "1", "1d", by=buyer)
        await shop.deliver(token)
    await place.anvil.advance(3600)
    assert (await place.sells("collect", "2-3", "3", "99", by=admin))["collected"] == [2, 3]
    for odd in ("0", "3-2", "x", "1-200000"):
        assert "is no lease" in await refused(place, SELLER, "contract", "collect", odd, by=0)


async def test_the_hot_key_is_never_more_than_a_provisioner(place: Street) -> None:
    await shop_on(place)
    hot, other = place.person(8), place.person(5)
    words = ("deploy", "--provisioner", other.address, "--treasurer", other.address)
    assert "can't be provisioner and" in await refused(place, SELLER, "contract", *words, by=0)
    admin = place.person(0).address
    alone = await refused(place, SELLER, "contract", "deploy", "--provisioner", admin, by=0)
    assert "can't be provisioner and" in alone
    for role, who in (("treasurer", hot.address), ("provisioner", admin)):
        said = await refused(place, SELLER, "contract", "role", "grant", role, who, by=0)
        assert f"can't be {role} too" in said


async def test_a_fee_is_told_as_it_is_at_that_moment_and_the_time_as_it_is_bought(
    place: Street,
) -> None:
    shop = await shop_on(place, PlanOffer(end_fee=1_000))
    buyer = place.person(4)
    await place.buys("buy", "1", "3d", by=buyer)
    waiting = await place.types(BUYER, "show", "1", by=buyer)
    assert "3 d, which begin with the delivery" in waiting.out
    await shop.deliver(1)
    free = await place.types(BUYER, "end", "1", by=buyer)
    assert "without a fee" in free.out
    await place.anvil.advance(2 * DAY)
    dear = await place.types(BUYER, "end", "1", by=buyer)
    assert "less a fee of 10 % of it" in dear.out


async def test_a_node_s_word_for_the_ssh_key_is_shown_whole_before_it_is_signed(
    place: Street,
) -> None:
    shop = await shop_on(place)
    buyer = place.person(4)
    account = (await place.anvil.accounts())[4]
    for token, key in ((1, SSH_KEY), (2, "no key at all")):
        await place.buys("buy", "1", "1d", by=buyer)
        await shop.set_keys(token, account, key)
    shown = await place.types(BUYER, "keys", "1", by=buyer)
    assert SSH_KEY in shown.out
    assert "SHA256:" in shown.out
    assert "name yours with --ssh-key" in await refused(place, BUYER, "keys", "2", by=4)


async def test_a_role_is_shown_and_given_up_by_its_holder(place: Street) -> None:
    await shop_on(place)
    other = place.person(3)
    await place.sells("role", "grant", "treasurer", other.address, by=place.person(0))
    assert (await place.sells("role", "show", other.address, by=other))["roles"] == ["treasurer"]
    await place.sells("role", "renounce", "treasurer", by=other)
    assert (await place.sells("role", "show", other.address, by=other))["roles"] == []
    again = await refused(place, SELLER, "contract", "role", "renounce", "treasurer", by=3)
    assert f"{other.address} is not treasurer" in again


async def test_an_owner_finds_his_leases_and_removes_one_that_has_expired(place: Street) -> None:
    shop = await shop_on(place)
    buyer = place.person(4)
    for _ in range(2):
        await place.buys("buy", "1", "1d", by=buyer)
    await place.buys("buy", "1", "1d", by=place.person(5))
    await shop.deliver(1)
    listed = (await place.buys("list", by=buyer))["leases"]
    assert [(each["token"], each["state"]) for each in listed] == [
        (1, "running"),
        (2, "undelivered"),
    ]
    assert "`end` ends it" in await refused(place, BUYER, "burn", "1", by=4)
    assert "`refund` gives all of it back" in await refused(place, BUYER, "burn", "2", by=4)
    await place.buys("end", "1", by=buyer)
    await place.buys("burn", "1", by=buyer)
    whose = await place.buys("list", "--owner", buyer.address, by=place.person(5))
    assert [each["token"] for each in whose["leases"]] == [2]


async def test_whoever_is_approved_may_transfer_until_nobody_is(place: Street) -> None:
    shop = await shop_on(place)
    owner, market = place.person(4), place.person(5)
    token = (await place.buys("buy", "1", "1d", by=owner))["token"]
    for who, approved in ((market.address, market.address), ("nobody", "0x" + "0" * 40)):
        await place.buys("approve", str(token), who, by=owner)
        now = await shop.deployed.call(str, "getApproved", token)
        assert now.lower() == approved


async def test_credits_of_all_kinds_of_money_are_claimed_at_once_or_one_alone(
    place: Street,
) -> None:
    account = (await place.anvil.accounts())[4]
    token = await issue_token(place.anvil, account, 10**12)
    await shop_on(place, PlanOffer(), PlanOffer(payment_token=token.address))
    buyer = place.person(4)
    for plan in ("1", "2", "2"):
        await place.buys("buy", plan, "1d", by=buyer)
    await place.anvil.advance(2 * 3600)
    for lease in ("1", "2"):
        await place.buys("refund", lease, by=buyer)
    both = await place.buys("claim", by=buyer)
    assert [each["amount"] for each in both["claimed"]] == [str(1_000 * DAY)] * 2
    none = await refused(place, BUYER, "claim", "--token", token.address, by=4)
    assert "no TEST:" in none
    await place.buys("refund", "3", by=buyer)
    (last,) = (await place.buys("claim", "--token", token.address, by=buyer))["claimed"]
    assert last["payment_token"] == token.address.lower()
    assert await token.call(int, "balanceOf", account) == 10**12
