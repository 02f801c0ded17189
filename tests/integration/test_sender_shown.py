"""What is told of the daemon's own transactions, to people and to programs; and of its key."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from eth_account import Account
from structlog.testing import capture_logs

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.keys import HotKey
from chainwatch.control.hand import BALANCE
from chainwatch.control.sender_check import check_sender
from chainwatch.domain.sendings import MOST_REVERTS, Call, Intent, Kind, State
from chainwatch.store.sender_alarms import FAILED, REFUSED
from tests.support.anvil import mined, running
from tests.support.chain_model import CONTRACT
from tests.support.hosting import checksum
from tests.support.hotel import hotel
from tests.support.lease_contract import open_shop
from tests.support.lock_market import lock_market
from tests.support.office import counter, sending
from tests.support.post import GWEI, Post, post
from tests.support.realm import realm
from tests.support.wanting import want

NOTHING_SENT = "nothing can be sent"
ADDRESS = str(Account.from_key(b"\x5e" * 32).address).lower()


async def test_without_a_key_nothing_is_sent(tmp_path: Path) -> None:
    async with realm(tmp_path) as town:
        supervisor = town.daemon.supervisor
        assert supervisor.senders == ()
        assert not any("sender" in name for name in supervisor._tasks())


async def test_with_a_key_a_sender_is_one_of_the_root_tasks(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=sending) as town:
        supervisor = town.daemon.supervisor
        assert "sender 31337" in supervisor._tasks()
        town.confirm()
        news = supervisor.senders[0].news
        news.clear()
        await town.read()
        assert news.is_set()


async def test_what_stands_about_a_chain_on_which_nothing_is_sent_any_more_ends_with_a_start(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=sending) as town:
        alarms = town.daemon.stores.alarms
        for name, subject in ((BALANCE, "eip155:31337"), (BALANCE, "eip155:5"), ("other", "")):
            await alarms.raise_(name, subject, "warning", "a test", 1)
        await town.daemon.supervisor.forget_chains()
        stand = sorted((each.name, each.subject) for each in await alarms.all())
        assert stand == [("other", ""), (BALANCE, "eip155:31337")]


@pytest.mark.parametrize("left", ["another source", "no chain"])
async def test_what_stands_about_leases_to_which_nothing_is_sent_any_more_ends_until_it_is_again(
    tmp_path: Path, left: str
) -> None:
    async with realm(tmp_path, adjust=sending) as town:
        lease, stores = str(town.buy(1)), town.daemon.stores
        await town.read()
        for kind in (Kind.BURN, Kind.UPGRADE):
            await want(stores.db, Intent("model", kind, lease, "c", Call(CONTRACT, "0x")), now=1)
        burn, upgrade = (each.id for each in await stores.sendings.of(lease, 9))
        await stores.sendings.refused(upgrade, "no role", now=1, pause=60)
        for _ in range(MOST_REVERTS):
            await stores.sendings.released(burn, "in vain", reverted=True, now=1)
        await stores.alarms.raise_("other", lease, "warning", "a test", 1)
        supervisor = town.daemon.supervisor
        (sender,) = supervisor.senders
        others = () if left == "no chain" else (replace(sender, looks={left: {}}),)
        for senders, stand in (
            (supervisor.senders, {REFUSED, FAILED, "other"}),
            (others, {"other"}),
            (supervisor.senders, {REFUSED, FAILED, "other"}),
        ):
            await replace(supervisor, senders=senders).forget_chains()
            assert {each.name for each in await stores.alarms.all()} == stand


async def test_status_and_show_say_what_is_to_be_sent_and_what_it_waits_for(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path, adjust=sending) as at:
        lease = str(at.realm.buy(1))
        await at.realm.settle()
        intent = Intent("model", Kind.MINT, lease, "its machine runs", Call(CONTRACT, "0x01"))
        await want(at.realm.daemon.stores.db, intent, now=1)
        await at.realm.daemon.supervisor.senders[0].attempt()
        said = await at.type("status")
        assert ADDRESS in said.out
        assert "has 0 left, less than" in said.out
        assert "nobody knows how to look for a mint" in said.out
        shown = await at.type("show", "1")
        assert "Transactions of our own" in shown.out
        assert "its delivery is under way" in shown.out
        assert "nothing: its machine is as desired" not in shown.out
        (sender,) = json.loads((await at.type("status", "--json")).out)["senders"]
        assert (sender["address"], sender["wanted"], sender["balance"]) == (ADDRESS, 2, "0")
        wanted = [(each["kind"], each["state"], each["lease"]) for each in sender["sendings"]]
        assert sorted(wanted) == [("deliver", "wanted", lease), ("mint", "wanted", lease)]


GIVEN_UP: Final = {
    Kind.PUBLISH: "telling the way in anew",
    Kind.UPGRADE: "its upgrade",
    Kind.REFUSE: "the refusal of its upgrade",
    Kind.CANCEL: "its cancellation",
    Kind.BURN: "its burn",
    Kind.MINT: "its credential",
}


async def test_show_says_of_whatever_was_given_up_how_to_have_it_tried_again(
    tmp_path: Path,
) -> None:
    async with counter(tmp_path, adjust=sending) as at:
        lease, stores = str(at.realm.buy(1)), at.realm.daemon.stores
        await at.realm.settle()
        for each in await stores.sendings.of(lease, 9):
            await stores.sendings.end(each.id, State.FINAL, None, now=1)
        for kind in GIVEN_UP:
            intent = Intent("model", kind, lease, f"because of {kind}", Call(CONTRACT, "0x01"))
            await want(stores.db, intent, now=1)
            (newest, *_) = await stores.sendings.of(lease, 1)
            for _ in range(MOST_REVERTS):
                await stores.sendings.released(newest.id, "in vain", reverted=True, now=1)
            story = await at.desk.show("1")
            again = "was given up after 3 reverts; `chainwatch retry 1` has it tried again"
            assert str(story.waits).endswith(f"{GIVEN_UP[kind]} {again}")
            why = "it reverted 3 times and was given up; `chainwatch retry` has it tried again"
            assert story.sendings[0].why == f"{why} (in vain)"
        assert "chainwatch retry 1" in (await at.type("show", "1")).out


async def test_cancel_asks_gives_back_what_was_paid_and_makes_no_machine(tmp_path: Path) -> None:
    async with counter(tmp_path, adjust=sending) as at:
        lease = str(at.realm.buy(1))
        await at.realm.read()
        assert (await at.type("cancel", "1", "--reason", "no room for it")).code != 0
        said = await at.type("cancel", "1", "--reason", "no room for it", "--yes")
        assert "will be cancelled" in said.out
        await at.realm.settle()
        assert at.realm.guests() == {}
        (sent,) = await at.realm.daemon.stores.sendings.of(lease, 9)
        assert sent.intent.kind is Kind.CANCEL
        assert "all that was paid goes back" in " ".join((await at.type("show", "1")).out.split())
        again = await at.type("cancel", "1", "--reason", "no room for it", "--yes")
        assert "is being cancelled already" in again.err
        (entry, *_) = await at.desk.audit(1)
        assert (entry.what, entry.why) == ("cancel", "no room for it")


@pytest.mark.parametrize(("hold", "lifts"), [("hold", "release"), ("suspend", "unsuspend")])
async def test_nobody_cancels_what_is_held(tmp_path: Path, hold: str, lifts: str) -> None:
    async with counter(tmp_path, adjust=sending) as at:
        lease = str(at.realm.buy(1))
        await at.realm.read()
        await at.type(hold, "1", "--reason", "a judge said so")
        said = await at.type("cancel", "1", "--reason", "no room for it", "--yes")
        assert (said.code, f"`chainwatch {lifts} 1` first" in " ".join(said.err.split())) == (
            1,
            True,
        )
        assert await at.realm.daemon.stores.sendings.of(lease, 9) == []


async def test_a_retry_has_the_sender_look_at_once(tmp_path: Path) -> None:
    async with counter(tmp_path, adjust=sending) as at:
        at.realm.buy(1)
        await at.realm.read()
        (sender,) = at.realm.daemon.supervisor.senders
        sender.news.clear()
        await at.type("retry", "1", "--reason", "the role is granted")
        assert sender.news.is_set()


async def test_without_a_key_nobody_can_cancel(tmp_path: Path) -> None:
    async with counter(tmp_path) as at:
        at.realm.buy(1)
        await at.realm.read()
        said = await at.type("cancel", "1", "--reason", "a test", "--yes")
        assert (said.code, "configure [sender]" in said.err) == (1, True)


async def test_status_says_that_a_spike_holds_everything_up(tmp_path: Path) -> None:
    async with running() as anvil, post(tmp_path, anvil) as it:
        await it.base_fee(100 * GWEI)
        await it.mine()
        await it.want(7)
        await it.turn()
        (why,) = it.sender.waits
        assert why.startswith("the chain asks 100 gwei for a unit of gas")
        assert it.sender.view is not None
        assert it.sender.view.market.asks == 100 * GWEI


async def test_a_chain_that_does_not_answer_is_told_and_changes_nothing(tmp_path: Path) -> None:
    async with running() as anvil, post(tmp_path, anvil) as it:
        await it.want(7)
        before = await it.sendings()
        pools, it.sender.gateway._pools = it.sender.gateway._pools, ()
        await it.sender.attempt()
        assert "nobody tells our account" in it.sender.waits[0]
        assert await it.sendings() == before
        it.sender.gateway._pools = pools
        await it.turn()
        assert it.sender.waits == ()


async def test_a_chain_that_is_read_for_the_first_time_is_told_without_a_warning(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, adjust=sending) as town:
        (sender,) = town.daemon.supervisor.senders
        with capture_logs() as early:
            await sender.attempt()
        assert [line["log_level"] for line in early if line["event"] == NOTHING_SENT] == ["info"]
        assert sender.waits == ("no source of the chain is read yet",)
        town.confirm()
        await town.read()
        sender.gateway._pools = ()
        with capture_logs() as later:
            await sender.attempt()
        assert [line["log_level"] for line in later if line["event"] == NOTHING_SENT] == ["warning"]


async def test_a_check_says_address_balance_and_role_and_warns_of_too_many(
    tmp_path: Path,
) -> None:
    async with running() as anvil, post(tmp_path, anvil) as it:
        await anvil.rpc("evm_setAutomine", True)
        shop = await open_shop(anvil)
        it.sender.contracts = {"shop": shop.address}
        found = await check_sender(it.sender)
        assert [each.ok for each in found] == [True, False]
        assert "has 1 of the chain's coin" in found[0].text
        assert "does not have PROVISIONER_ROLE" in found[1].text
        assert f"`chainwatch contract role grant provisioner {ADDRESS}`" in found[1].text
        deployer, *_ = await anvil.accounts()
        for role in ("TREASURER_ROLE", "PROVISIONER_ROLE"):
            await grant(it, shop.address, role, deployer)
        found = await check_sender(it.sender)
        assert [each.ok for each in found] == [True, True, False]
        assert "take out what was paid: revoke it" in found[2].text
        it.sender.limits = replace(it.sender.limits, least_balance=2 * 10**18)
        assert "less than 2: send it some" in (await check_sender(it.sender))[0].text


async def test_a_check_of_a_contract_without_roles_says_that_it_cannot_tell(
    tmp_path: Path,
) -> None:
    async with running() as anvil, post(tmp_path, anvil) as it:
        it.sender.contracts = {"shop": it.contract.address}
        found = await check_sender(it.sender)
        assert [(each.ok, each.warning) for each in found] == [(True, False), (True, True)]


async def test_a_check_asks_no_role_of_a_contract_that_is_told_nothing(tmp_path: Path) -> None:
    async with (
        lock_market() as market,
        post(tmp_path, market.anvil, address=market.lock.address, profile="unlock") as it,
    ):
        found = await check_sender(it.sender)
        assert [(each.ok, each.subject) for each in found] == [(True, "sender on chain 31337")]


async def test_a_check_says_whether_the_key_may_mint_credentials_and_mints_none(
    tmp_path: Path,
) -> None:
    async with hotel(tmp_path) as it:
        (sender,) = it.daemon.daemon.supervisor.senders
        credentials = it.hosting.credentials
        at = credentials.address.lower()
        balance, allowed = await check_sender(sender)
        assert (balance.ok, allowed.ok) == (True, True)
        assert allowed.text == f"{ADDRESS} may mint credentials at {at}"
        await credentials.send("setMinter", it.hosting.admin, sender=it.hosting.admin)
        _, forbidden = await check_sender(sender)
        assert not forbidden.ok
        assert forbidden.text.startswith(f"{ADDRESS} may not mint credentials at {at} (")
        assert await credentials.call(int, "balanceOf", checksum(ADDRESS)) == 0


async def grant(it: Post, contract: str, role: str, admin: str) -> None:
    """Give our key a role at a contract."""
    data = selector("grantRole(bytes32,address)") + keccak(role.encode()).hex()
    address = HotKey(b"\x5e" * 32).address
    request = {"from": admin, "to": contract, "data": f"{data}{int(address, 16):064x}"}
    await mined(it.anvil, request)
