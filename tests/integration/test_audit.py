"""What the contract says itself is held against our events, and what differs halts a source."""

from pathlib import Path

import pytest

from chainwatch.control.audit import LeaseAudit
from chainwatch.errors import RpcUnavailable
from chainwatch.store.verify import verify
from tests.support.chain_model import ModelEndpoint, Tamper, minted
from tests.support.doubts import concealing, refusing, telling
from tests.support.realm import ALICE, BOB, GRACE, HOUR, Realm, realm


def audit_of(world: Realm) -> LeaseAudit:
    (lookout,) = world.daemon.supervisor.lookouts
    return lookout.audit


def endpoint(world: Realm) -> ModelEndpoint:
    return world.chain.rpc.endpoints[0]


async def halted(world: Realm) -> str | None:
    return (await world.daemon.stores.journal.state("model")).halted


async def looked(world: Realm) -> str | None:
    """Look at all that is due, read on, and look again; returns why the source halted, if so."""
    await audit_of(world).look()
    world.confirm()
    await world.read()
    await audit_of(world).look()
    return await halted(world)


async def traded(world: Realm) -> None:
    """Leases of every kind: paid, renewed, sold, run out, burnt."""
    for token in range(1, 5):
        world.buy(token, lasts=HOUR)
    world.renew(2, lasts=GRACE)
    world.transfer(3)
    world.burn(4)
    world.pass_time(2 * HOUR)
    await world.turn()


async def test_leases_that_are_as_the_contract_says_are_found_so(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await traded(world)
        assert await looked(world) is None
        assert audit_of(world).suspects == {}
        assert "eth_call" in endpoint(world).asked
        world.chain.reorg(2)
        world.confirm()
        await world.turn()
        assert await looked(world) is None


@pytest.mark.parametrize(
    ("hidden", "evidence"),
    [
        ("renewal", f"owned by {ALICE} until 17864"),
        ("sale", f"owned by {BOB}"),
        ("burn", "as not there"),
    ],
)
async def test_what_all_endpoints_left_out_halts_the_source_with_both_accounts(
    hidden: str, evidence: str, tmp_path: Path
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=100 * GRACE)
        await world.settle()
        running = world.running()
        if hidden == "renewal":
            world.renew(1, lasts=1000 * GRACE)
        elif hidden == "sale":
            world.transfer(1)
        else:
            world.burn(1)
        number = world.chain.head.number
        world.mine(*minted(2, ALICE, plan=1, expires_at=world.chain.head.timestamp + HOUR))
        endpoint(world).tamper = concealing(number)
        world.finalize()
        await world.turn()
        await audit_of(world).look()
        assert await halted(world) is None, "once is not enough"
        assert await looked(world) is not None
        why = await halted(world)
        assert why is not None
        assert str(world.lease(1)) in why
        assert evidence in why
        assert "and our events as owned by " + ALICE in why
        assert (await world.alarms())["audit"] == why
        assert why.endswith("read again from there (`chainwatch source reread model BLOCK`)")
        world.pass_time(1000 * GRACE)
        world.finalize()
        await world.settle()
        assert set(running) <= set(world.guests()), "nothing irreversible"


async def test_an_endpoint_that_lies_about_the_state_is_overruled_by_another(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=GRACE)
        await world.settle()
        liar = world.chain.endpoint("liar", telling("eth_call", ALICE[2:], BOB[2:]))
        world.chain.rpc.endpoints = [liar, *world.chain.rpc.endpoints]
        await audit_of(world).look()
        assert list(audit_of(world).suspects) == [str(world.lease(1))]
        world.confirm()
        await world.read()
        liar.asked.clear()
        await audit_of(world)._again()
        assert audit_of(world).suspects == {}
        assert "eth_call" not in liar.asked
        assert await halted(world) is None


async def test_one_endpoint_of_two_halts_nothing_by_its_word_while_the_other_tells_nothing(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=GRACE)
        await world.settle()
        liar = world.chain.endpoint("liar", telling("eth_call", ALICE[2:], BOB[2:]))
        honest = endpoint(world)
        honest.tamper = refusing("eth_call", "missing trie node")
        world.chain.rpc.endpoints = [honest, liar]
        assert await looked(world) is None
        assert (await world.alarms())["audit"].endswith("; no other endpoint tells")
        honest.tamper = None
        assert await looked(world) is None
        assert audit_of(world).suspects == {}
        assert "audit" not in await world.alarms()


@pytest.mark.parametrize("message", ["missing trie node", "header for hash not found"])
async def test_a_node_without_the_state_tells_nothing_and_nobody_is_blamed(
    message: str, tmp_path: Path
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.turn()
        endpoint(world).tamper = refusing("eth_call", message)
        with pytest.raises(RpcUnavailable, match=f"nobody tells the contract's state .*{message}"):
            await audit_of(world).look()
        assert (await halted(world), audit_of(world).suspects) == (None, {})
        assert "audit" not in await world.alarms()


async def test_a_token_that_nobody_minted_below_one_that_somebody_did_halts_the_source(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=GRACE)
        await world.settle()
        world.mine(*minted(2, ALICE, plan=1, expires_at=world.chain.head.timestamp + HOUR))
        endpoint(world).tamper = concealing(world.chain.head.number)
        world.buy(3, lasts=GRACE)
        await world.turn()
        why = await looked(world)
        assert why is not None
        assert "no event tells of the mint of token 2, though token 3 was minted" in why


async def test_a_source_that_is_read_again_from_an_honest_endpoint_passes_its_audit(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=HOUR)
        await world.settle()
        world.renew(1, lasts=100 * GRACE)
        number = world.chain.head.number
        endpoint(world).tamper = concealing(number)
        world.finalize()
        await world.turn()
        assert await looked(world) is not None
        endpoint(world).tamper = None
        rereads, now = world.daemon.stores.rereads, world.daemon.supervisor.clock.now()
        await rereads.reread("model", number, "it left out a renewal", 0, now=now)
        await world.settle()
        assert await looked(world) is None
        assert audit_of(world).suspects == {}
        world.pass_time(2 * HOUR)
        await world.settle()
        assert len(world.running()) == 1
        assert await verify(world.db) == []


async def test_a_source_that_is_resumed_while_its_contract_still_differs_halts_again(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(1, lasts=HOUR)
        await world.settle()
        world.renew(1, lasts=100 * GRACE)
        endpoint(world).tamper = concealing(world.chain.head.number)
        world.finalize()
        await world.turn()
        assert await looked(world) is not None
        await world.daemon.stores.rereads.resume("model", "it looked fine", 0, now=1)
        world.confirm()
        await world.read()
        await audit_of(world).look()
        assert await halted(world) is not None


async def test_an_order_to_read_again_is_not_undone_by_an_audit_that_was_under_way(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await traded(world)
        await world.daemon.stores.rereads.reread("model", 0, "a doubt", 0, now=1)
        await audit_of(world)._halt("what it saw before")
        assert await halted(world) is None


async def test_more_leases_than_a_lot_are_audited_in_turn_and_new_ones_at_once(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        for token in range(1, 121):
            world.mine(*minted(token, ALICE, plan=1, expires_at=world.chain.head.timestamp + HOUR))
        world.confirm()
        await world.read()
        asked: list[int] = []
        endpoint(world).tamper = _noting(asked)
        for _ in range(3):
            await audit_of(world).look()
            world.cluster.advance(61)
        assert set(asked) == set(range(1, 121))
        asked.clear()
        world.buy(121)
        await world.read()
        await audit_of(world).look()
        assert 121 in asked


def _noting(asked: list[int]) -> Tamper:
    def tamper(method: str, params: object, answer: object) -> object:
        if method == "eth_call":
            assert isinstance(params, tuple)
            asked.append(int(params[0]["data"][10:], 16))
        return answer

    return tamper


async def test_a_source_that_is_behind_is_not_audited(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await traded(world)
        rereads = world.daemon.stores.rereads
        await rereads.reread("model", 0, "a doubt", 0, now=1)
        endpoint(world).asked.clear()
        await audit_of(world).look()
        assert endpoint(world).asked == []
