"""A hosting subscription gets its machine first, and then the credential that its owner holds."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.control.desk import Filter
from chainwatch.domain.sendings import MOST_REVERTS, State
from chainwatch.errors import Fatal
from chainwatch.store.installation import check_installation
from provisioner import faultpoints
from tests.support.estate import GRACE
from tests.support.hotel import Hotel, hotel
from tests.support.realm import FIRST, Crash
from tests.support.stored import opened


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Hotel]:
    async with hotel(tmp_path) as made:
        yield made


async def test_a_subscription_becomes_a_machine_then_a_credential_and_its_holder_gets_in(
    it: Hotel,
) -> None:
    token = await it.buy()
    await it.is_minted(token)
    assert it.daemon.running()
    assert await it.hosting.owner(token) == it.alice
    assert it.whose() == f"wallet={it.alice.lower()}"
    assert [each.state for each in await it.mints(token)] == [State.FINAL]
    assert await it.hosting.all_of(token) == 1
    await it.agrees(token)


async def test_the_machine_is_there_before_anything_is_minted(it: Hotel) -> None:
    await it.hosting.credentials.send("setBroken", True, sender=it.hosting.admin)
    token = await it.buy()
    await it.daemon.turns(30)
    assert it.daemon.running()
    assert it.whose() == f"wallet={it.alice.lower()}"
    assert await it.hosting.all_of(token) == 0


async def test_what_is_sold_is_the_plan_that_was_bought(it: Hotel) -> None:
    await it.is_minted(await it.buy(plan=2))
    assert it.daemon.guest().config["cores"] == 4


async def test_of_a_plan_that_nobody_described_there_is_no_machine_and_no_credential(
    it: Hotel,
) -> None:
    token = await it.buy(plan=7)
    await it.daemon.turns(20)
    assert not it.daemon.running()
    assert await it.mints(token) == []


async def test_nothing_is_minted_while_the_subscription_may_still_be_taken_back(
    it: Hotel,
) -> None:
    token = await it.hosting.subscribe(it.alice)
    await it.daemon.anvil.mine(1)
    await it.daemon.turns(20)
    assert it.daemon.running()
    assert await it.mints(token) == []
    await it.daemon.finalize()
    await it.is_minted(token)


# ------------------------------------------------------------------------------- the one mint


async def test_a_mint_that_is_refused_is_repaired_and_there_once_in_the_end(it: Hotel) -> None:
    await it.hosting.credentials.send("setBroken", True, sender=it.hosting.admin)
    token = await it.buy()
    await it.daemon.turns(30)
    (waiting,) = await it.mints(token)
    assert waiting.state is State.WANTED
    assert waiting.why is not None
    assert "refuses" in waiting.why
    await it.hosting.credentials.send("setBroken", False, sender=it.hosting.admin)
    await it.is_minted(token)
    assert await it.hosting.all_of(token) == 1


async def test_a_mint_that_reverts_in_its_block_is_sent_again_and_there_once(it: Hotel) -> None:
    anvil = it.daemon.anvil
    token = await it.buy()
    await anvil.rpc("evm_setAutomine", False)
    for _ in range(40):
        await it.daemon.turns(1)
        if any(each.flies for each in await it.mints(token)):
            break
    (flying,) = await it.mints(token)
    (dropped,) = (attempt.hash for attempt in flying.attempts)
    await anvil.rpc("anvil_dropTransaction", dropped)
    contract = it.hosting.credentials.contract
    await contract.functions.setBroken(True).transact({"from": it.hosting.admin})
    await anvil.mine(1)
    await anvil.rpc("eth_sendRawTransaction", flying.last.raw)
    await anvil.mine(1)
    assert await it.hosting.all_of(token) == 0
    await anvil.rpc("evm_setAutomine", True)
    await it.hosting.credentials.send("setBroken", False, sender=it.hosting.admin)
    await it.is_minted(token)
    assert await it.hosting.all_of(token) == 1
    (repaired,) = await it.mints(token)
    assert repaired.reverts == 1


async def test_a_mint_that_was_given_up_is_taken_up_again_by_an_operator(it: Hotel) -> None:
    await it.hosting.credentials.send("setBroken", True, sender=it.hosting.admin)
    token, stores = await it.buy(), it.daemon.daemon.stores
    await it.daemon.turns(30)
    (waiting,) = await it.mints(token)
    for _ in range(MOST_REVERTS):
        await stores.sendings.released(waiting.id, "it reverted", reverted=True, now=1)
    await it.hosting.credentials.send("setBroken", False, sender=it.hosting.admin)
    await it.settle()
    assert [each.given_up for each in await it.mints(token)] == [True]
    await it.daemon.desk().retry(it.daemon.lease(token), "the contract was mended", 0)
    await it.is_minted(token)
    assert await it.hosting.all_of(token) == 1


async def test_a_mint_that_every_node_forgot_is_sent_again_and_there_once(it: Hotel) -> None:
    anvil = it.daemon.anvil
    token = await it.buy()
    await anvil.rpc("evm_setAutomine", False)
    for _ in range(40):
        await it.daemon.turns(1)
        if any(each.flies for each in await it.mints(token)):
            break
    (flying,) = await it.mints(token)
    await anvil.rpc("anvil_dropTransaction", flying.last.hash)
    await anvil.rpc("evm_setAutomine", True)
    await it.is_minted(token)
    assert await it.hosting.all_of(token) == 1


async def test_a_mint_that_a_reorg_takes_back_is_there_once_in_the_end(it: Hotel) -> None:
    token, before = await it.buy(), None
    while not await it.hosting.all_of(token):
        await it.daemon.anvil.mine(1)
        before = await it.daemon.anvil.rpc("evm_snapshot")
        await it.daemon.turns(1)
    await it.daemon.anvil.rpc("evm_revert", before)
    assert await it.hosting.all_of(token) == 0
    await it.daemon.anvil.mine(2)
    await it.is_minted(token)
    assert await it.hosting.all_of(token) == 1
    assert it.whose() == f"wallet={it.alice.lower()}"
    await it.agrees(token)


@pytest.mark.parametrize("point", ["commit.work.before", "commit.work.after"])
async def test_a_crash_at_the_commit_that_owes_it_mints_once(it: Hotel, point: str) -> None:
    token = await it.buy()
    crashed = False

    def die(reached: str) -> None:
        nonlocal crashed
        if reached == point and it.daemon.running() and not crashed:
            crashed = True
            raise Crash(point)

    faultpoints.arm(die)
    await it.is_minted(token)
    assert it.daemon.crashes == 1
    assert await it.hosting.all_of(token) == 1


async def _lost(it: Hotel) -> None:
    """Lose the database, and make it again from the chain and the machines."""
    estate = it.daemon
    await estate.db.close()
    for file in estate.config.installation.state_dir.glob("estate.db*"):
        file.unlink()
    await estate.reopen()
    await estate.daemon.rebuild.run(0)


async def test_after_the_database_is_lost_the_credential_is_found_again_and_not_minted_twice(
    it: Hotel,
) -> None:
    token = await it.buy()
    await it.is_minted(token)
    await _lost(it)
    await it.daemon.turns(20)
    assert await it.mints(token) == []
    assert await it.hosting.all_of(token) == 1
    assert it.whose() == f"wallet={it.alice.lower()}"
    await it.agrees(token)


async def test_a_database_that_is_lost_just_after_the_mint_does_not_mint_again(it: Hotel) -> None:
    token = await it.buy()
    while not await it.hosting.all_of(token):
        await it.daemon.turns(1)
    await _lost(it)
    await it.daemon.turns(6)
    assert await it.hosting.all_of(token) == 1
    await it.settle()
    assert await it.hosting.all_of(token) == 1
    await it.agrees(token)


# -------------------------------------------------------------------------------- whose it is


async def test_whoever_buys_the_credential_gets_in_when_that_is_final_and_the_seller_does_not(
    it: Hotel,
) -> None:
    token = await it.buy()
    number = await it.is_minted(token)
    await it.hosting.transfer(token, it.alice, it.bob)
    await it.daemon.anvil.mine(1)
    await it.daemon.turns(6)
    assert it.alice.lower() not in it.whose()
    await it.settle()
    assert it.whose() == f"wallet={it.bob.lower()},nft={number}"
    assert it.daemon.running()
    await it.agrees(token)


async def test_a_transfer_that_a_reorg_takes_back_gives_the_machine_back(it: Hotel) -> None:
    token = await it.buy()
    number = await it.is_minted(token)
    before = await it.daemon.anvil.rpc("evm_snapshot")
    await it.hosting.transfer(token, it.alice, it.bob)
    await it.daemon.anvil.mine(1)
    await it.daemon.turns(6)
    await it.daemon.anvil.rpc("evm_revert", before)
    await it.daemon.anvil.mine(3)
    await it.settle()
    assert it.whose() == f"wallet={it.alice.lower()},nft={number}"
    await it.agrees(token)


async def test_a_second_credential_with_the_same_words_is_nobodys_way_in(it: Hotel) -> None:
    token = await it.buy()
    await it.is_minted(token)
    await it.hosting.credentials.send("setMinter", it.hosting.admin, sender=it.hosting.admin)
    for owner in (it.alice, it.bob):
        forged = await it.hosting.mint(owner, it.hosting.words(token))
        await it.hosting.credentials.send(
            "transferFrom", owner, it.hosting.admin, forged, sender=owner
        )
    await it.settle()
    assert it.whose() == f"wallet={it.alice.lower()}"
    await it.agrees(token)


async def test_what_is_written_into_a_credential_later_links_it_with_nothing_else(
    it: Hotel,
) -> None:
    token = await it.buy()
    number = await it.is_minted(token)
    words = it.hosting.words(token)
    await it.hosting.credentials.send("setMinter", it.hosting.admin, sender=it.hosting.admin)
    other = await it.hosting.mint(it.bob, b"nothing")
    await it.hosting.credentials.send("updateUserEncrypted", number, b"mine", sender=it.alice)
    await it.hosting.credentials.send("updateUserEncrypted", other, words, sender=it.bob)
    await it.settle()
    assert it.whose() == f"wallet={it.alice.lower()}"


async def test_a_burnt_credential_ends_the_lease_and_its_machine_goes_after_the_grace(
    it: Hotel,
) -> None:
    token = await it.buy()
    await it.is_minted(token)
    await it.hosting.burn(token, it.alice)
    await it.settle()
    assert not it.daemon.running()
    await _is_gone(it)


async def test_a_lease_and_what_was_said_of_it_can_be_shown(it: Hotel) -> None:
    token = await it.buy(plan=2)
    number = await it.is_minted(token)
    desk = it.daemon.desk()
    (line,) = await desk.leases(Filter())
    assert (line.plan, line.phase, line.owner) == ("shop", "active", it.alice.lower())
    story = await desk.show(str(token))
    assert story.plan is not None
    assert story.plan.cores == "4"
    told = {event.kind: event for event in story.events}
    assert told["credential_moved"].fields["credential"] == str(number)
    assert told["credential_linked"].token == str(token)
    findings = await desk.check(deep=True)
    said = {each.subject: each.text for each in findings}
    assert said["audit shop"] == "1 leases held against the contract, 0 findings"


# --------------------------------------------------------------------------------- how it ends


async def test_an_extension_is_the_expiry_that_the_contract_says(it: Hotel) -> None:
    token = await it.buy(seconds=GRACE)
    await it.is_minted(token)
    await it.hosting.extend(token, 10 * GRACE)
    await it.daemon.pass_time(2 * GRACE)
    await it.daemon.turns(12)
    assert it.daemon.running()
    await it.agrees(token)


async def test_an_ended_subscription_is_suspended_and_after_its_grace_destroyed(
    it: Hotel,
) -> None:
    token = await it.buy(seconds=GRACE)
    await it.is_minted(token)
    await it.daemon.pass_time(GRACE + 1)
    await it.daemon.turns(12)
    assert not it.daemon.running()
    assert FIRST in it.daemon.cluster.inventory().guests
    await _is_gone(it)


async def test_an_extension_within_the_grace_brings_the_same_machine_back(it: Hotel) -> None:
    token = await it.buy(seconds=GRACE)
    await it.is_minted(token)
    await it.daemon.pass_time(GRACE + 1)
    await it.daemon.turns(12)
    assert not it.daemon.running()
    await it.hosting.extend(token, 10 * GRACE)
    await it.settle()
    assert it.daemon.running()
    assert await it.hosting.all_of(token) == 1
    await it.agrees(token)


async def test_a_cancelled_subscription_is_suspended_at_once_and_destroyed_after_its_grace(
    it: Hotel,
) -> None:
    token = await it.buy()
    await it.is_minted(token)
    await it.hosting.cancel(token)
    await it.settle()
    assert not it.daemon.running()
    assert FIRST in it.daemon.cluster.inventory().guests
    await it.agrees(token)
    await _is_gone(it)


async def _is_gone(it: Hotel) -> None:
    for _ in range(8):
        await it.daemon.pass_time(GRACE // 2)
        await it.daemon.turns(8)
    assert FIRST not in it.daemon.cluster.inventory().guests


async def test_a_database_refuses_other_credentials_than_it_was_made_with(
    it: Hotel, tmp_path: Path
) -> None:
    (settings,) = it.daemon.config.sources
    other = replace(settings.source, credential=settings.source.contract)
    async with opened(tmp_path / "other.db", settings.source) as db:
        with pytest.raises(Fatal, match="the contract of the credentials was"):
            await check_installation(db, "test", [other])
