"""A real lock of Unlock Protocol, and everything that may happen to a key, read as leases.

The judge is the lock: what the events fold to up to any block is what it answered at that block.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import pytest
from web3.exceptions import ContractLogicError

from chainwatch.demo.deployed import Reverted
from tests.support.lock_market import Market
from tests.support.lock_market import lock_market as market
from tests.support.unlock import FOR_EVER, LATEST, MONTH, NOBODY, PRICE, lock_truth

DAY: Final = 86_400

# ------------------------------------------------------------------------------------- purchases


async def test_a_bought_key_ends_when_the_lock_says_though_no_event_does() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        lease = await m.lease(token)
        assert (lease.owner, lease.expires_at) == (m.people[0].lower(), await m.now() + MONTH)


async def test_another_duration_is_that_of_the_keys_bought_from_then_on() -> None:
    async with market() as m:
        old = await m.lock.buy(m.people[0])
        until = (await m.lease(old)).expires_at
        await m.lock.manage("updateLockConfig", DAY, 10_000, 1000)
        new = await m.lock.buy(m.people[1])
        assert (await m.lease(new)).expires_at == await m.now() + DAY
        assert (await m.lease(old)).expires_at == until


async def test_a_key_of_several_periods_ends_after_the_last_of_them() -> None:
    async with market() as m:
        token = await m.lock.buy_periods(m.people[0], 3)
        assert (await m.lease(token)).expires_at == await m.now() + 3 * MONTH


@pytest.mark.parametrize("until", [1, 2**64, FOR_EVER])
async def test_granted_keys_end_when_each_of_them_was_told_to(until: int) -> None:
    async with market() as m:
        first, second, *_ = m.people
        token = await m.lock.grant(first, 2_000_000_000, (second, until))
        assert (await m.lease(token)).expires_at == 2_000_000_000
        assert (await m.lease(token + 1)).expires_at == min(until, LATEST)
        cursor = m.ledger.state.cursor
        assert cursor is not None
        answer = await m.latest.lease_at_latest(token + 1, cursor)
        assert (answer.owner, answer.expires_at) == (second.lower(), min(until, LATEST))


async def test_a_key_without_end_stays_so_however_it_is_bought() -> None:
    async with market(duration=FOR_EVER) as m:
        token = await m.lock.buy(m.people[0])
        assert (await m.lease(token)).expires_at == LATEST


# -------------------------------------------------------------------------------------- renewals


async def test_a_renewal_before_the_end_leaves_no_gap() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        until = (await m.lease(token)).expires_at
        await m.anvil.advance_to(until - 60)
        await m.lock.extend(token, m.people[1])
        assert (await m.lease(token)).expires_at == until + MONTH


async def test_a_renewal_after_the_end_counts_from_its_own_block() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        nonce = (await m.lease(token)).nonce
        await m.anvil.advance(3 * MONTH)
        await m.lock.extend(token, m.people[0])
        lease = await m.lease(token)
        assert (lease.expires_at, lease.nonce) == (await m.now() + MONTH, nonce)


async def test_a_lower_price_breaks_no_renewal_and_a_higher_one_changes_nothing() -> None:
    async with market(paid_in_coin=True) as m:
        assert m.lock.coin is not None
        token = await m.lock.buy(m.people[0])
        until = (await m.lease(token)).expires_at
        await m.anvil.advance_to(until - DAY)
        await m.lock.manage("updateKeyPricing", PRICE - 1, m.lock.coin.address)
        await m.lock.renew(token, m.people[5])
        assert (await m.lease(token)).expires_at == until + MONTH
        await m.anvil.advance_to(until + MONTH - DAY)
        await m.lock.manage("updateKeyPricing", PRICE + 1, m.lock.coin.address)
        with pytest.raises(Reverted, match="LOCK_HAS_CHANGED"):
            await m.lock.renew(token, m.people[5])
        assert (await m.lease(token)).expires_at == until + MONTH
        await m.lock.extend(token, m.people[0])  # at the new price, by hand
        assert (await m.lease(token)).expires_at == until + 2 * MONTH


async def test_the_manager_extends_for_nothing() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        until = (await m.lease(token)).expires_at
        await m.lock.manage("grantKeyExtension", token, 5 * DAY)
        assert (await m.lease(token)).expires_at == until + 5 * DAY


# ------------------------------------------------------------------------------------------ ends


async def test_a_cancelled_key_ends_in_its_block_and_keeps_its_owner() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        await m.anvil.advance(DAY)
        await m.lock.cancel(token, m.people[0])
        lease = await m.lease(token)
        assert (lease.expires_at, lease.burnt) == (await m.now(), False)


async def test_a_key_that_the_manager_refunds_ends_at_once_and_can_be_renewed() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        await m.lock.manage("expireAndRefundFor", token, PRICE)
        assert (await m.lease(token)).expires_at == await m.now()
        await m.lock.extend(token, m.people[0])
        assert (await m.lease(token)).expires_at == await m.now() + MONTH


@pytest.mark.parametrize("until", [0, 1_900_000_000, FOR_EVER])
async def test_the_managers_own_hand_is_followed_either_way(until: int) -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        await m.lock.manage("setKeyExpiration", token, until)
        assert (await m.lease(token)).expires_at == min(until, LATEST)


async def test_a_burnt_key_is_gone_for_the_lock_too() -> None:
    async with market() as m:
        token = await m.lock.buy(m.people[0])
        await m.lock.burn(token, m.people[0])
        assert (await m.lease(token)).burnt
        cursor = m.ledger.state.cursor
        assert cursor is not None
        for each in (token, 999):
            assert (await m.latest.lease_at_latest(each, cursor)).owner is None


async def test_a_burnt_key_that_its_manager_takes_back_is_another_lease_with_its_time() -> None:
    async with market() as m:
        owner, manager, other, *_ = m.people
        token = await m.lock.buy(owner, key_manager=manager)
        before = await m.lease(token)
        await m.lock.burn(token, manager)
        await m.lock.deployed.send("unlendKey", other, token, sender=manager)
        again = await m.lease(token)
        assert (again.burnt, again.owner) == (False, other.lower())
        assert again.nonce != before.nonce
        assert await m.is_as_the_lock_says(token)


# ---------------------------------------------------------------------------- from hand to hand


@pytest.mark.parametrize("fee", [0, 2_500])
async def test_a_sold_key_keeps_its_time_less_the_locks_fee(fee: int) -> None:
    async with market() as m:
        seller, buyer, *_ = m.people
        token = await m.lock.buy(seller)
        until = (await m.lease(token)).expires_at
        await m.lock.manage("updateTransferFee", fee)
        await m.lock.transfer(token, seller, buyer)
        sold = await m.lease(token)
        lost = (until - await m.now()) * fee // 10_000
        assert (sold.owner, sold.generation) == (buyer.lower(), 1)
        assert sold.expires_at == until - lost


async def test_a_lent_key_is_its_borrowers_until_it_is_called_back() -> None:
    async with market() as m:
        owner, borrower, *_ = m.people
        token = await m.lock.buy(owner)
        await m.lock.deployed.send("lendKey", owner, borrower, token, sender=owner)
        assert (await m.lease(token)).owner == borrower.lower()
        await m.lock.deployed.send("unlendKey", owner, token, sender=owner)
        assert (await m.lease(token)).owner == owner.lower()


async def test_time_that_is_shared_makes_a_key_of_its_own() -> None:
    async with market() as m:
        owner, friend, *_ = m.people
        token = await m.lock.buy(owner)
        until = (await m.lease(token)).expires_at
        new = await m.lock.share(token, owner, friend, 5 * DAY)
        assert (await m.lease(token)).expires_at == until - 5 * DAY
        shared = await m.lease(new)
        assert (shared.owner, shared.expires_at) == (friend.lower(), await m.now() + 5 * DAY)


async def test_a_key_whose_whole_time_is_given_away_ends_though_no_event_says_when() -> None:
    async with market() as m:
        owner, friend, *_ = m.people
        token = await m.lock.buy(owner)
        until = (await m.lease(token)).expires_at
        new = await m.lock.share(token, owner, friend, 99 * MONTH)
        assert (await m.lease(token)).expires_at == await m.now()
        assert (await m.lease(new)).expires_at == until


async def test_time_that_is_merged_leaves_one_key_for_the_other() -> None:
    async with market() as m:
        owner, other, *_ = m.people
        giving, taking = await m.lock.buy(owner), await m.lock.buy(other)
        before = (await m.lease(giving)).expires_at, (await m.lease(taking)).expires_at
        await m.lock.merge(giving, taking, owner, 7 * DAY)
        assert (await m.lease(giving)).expires_at == before[0] - 7 * DAY
        assert (await m.lease(taking)).expires_at == before[1] + 7 * DAY


# --------------------------------------------------------------------------------- order and time


async def test_of_all_that_one_block_says_about_a_key_the_end_counts() -> None:
    async with market() as m:
        owner, friend, *_ = m.people
        await m.in_one_block(
            (m.lock.manager, "grantKeys", ([owner], [2_000_000_000], [NOBODY])),
            (owner, "extend", (PRICE, 1, NOBODY, b"")),
            (owner, "shareKey", (friend, 1, 99 * MONTH)),
            (friend, "shareKey", (owner, 2, DAY)),
            (friend, "burn", (2,)),
        )
        for token in (1, 2, 3):
            assert await m.is_as_the_lock_says(token)
        assert (await m.lease(2)).burnt
        await m.in_one_block(
            (m.lock.manager, "grantKeys", ([owner], [2_000_000_000], [NOBODY])),
            (owner, "shareKey", (friend, 4, 99 * MONTH)),
            (m.lock.manager, "setKeyExpiration", (4, 2_100_000_000)),
        )
        assert (await m.lease(4)).expires_at == 2_100_000_000
        assert m.ledger.canonical() == await lock_truth(m.lock, (await m.anvil.block()).number)


async def test_a_purchase_that_a_reorg_moves_ends_when_its_new_block_says() -> None:
    async with market() as m:
        owner = m.people[0]
        before = await m.anvil.snapshot()
        await m.lock.buy(owner)
        first = await m.lease(1)
        await m.anvil.revert(before)
        await m.anvil.advance(DAY)
        await m.lock.buy(owner)
        moved = await m.lease(1)
        assert moved.expires_at > first.expires_at
        assert await m.is_as_the_lock_says(1)
        assert m.ledger.canonical() == await lock_truth(m.lock, (await m.anvil.block()).number)


Act = Callable[[Market, random.Random], Awaitable[object]]


def _any(m: Market, chance: random.Random) -> str:
    return chance.choice(m.people[:3])


async def _held(m: Market, chance: random.Random) -> tuple[int, str]:
    """One of the keys, and its owner."""
    count = await m.lock.deployed.call(int, "totalSupply")
    token = chance.randint(1, count + 2)
    owner = await m.lock.owner(token)
    return token, m.people[0] if owner == NOBODY else owner


async def _buy(m: Market, chance: random.Random) -> object:
    return await m.lock.buy_periods(_any(m, chance), chance.randint(1, 2))


async def _grant(m: Market, chance: random.Random) -> object:
    times = [await m.now() + chance.randint(-DAY, MONTH) for _ in range(2)]
    return await m.lock.grant(_any(m, chance), times[0], (_any(m, chance), times[1]))


async def _extend(m: Market, chance: random.Random) -> object:
    return await m.lock.extend((await _held(m, chance))[0], _any(m, chance))


async def _transfer(m: Market, chance: random.Random) -> object:
    return await m.lock.transfer(*await _held(m, chance), _any(m, chance))


async def _share(m: Market, chance: random.Random) -> object:
    seconds = chance.choice([DAY, 40 * DAY])
    return await m.lock.share(*await _held(m, chance), _any(m, chance), seconds)


async def _merge(m: Market, chance: random.Random) -> object:
    token, owner = await _held(m, chance)
    return await m.lock.merge(token, (await _held(m, chance))[0], owner, DAY)


async def _cancel(m: Market, chance: random.Random) -> object:
    return await m.lock.cancel(*await _held(m, chance))


async def _burn(m: Market, chance: random.Random) -> object:
    return await m.lock.burn(*await _held(m, chance))


async def _take_back(m: Market, chance: random.Random) -> object:
    """What the manager may do to any key, and to a burnt one as well."""
    token, _ = await _held(m, chance)
    owner = await m.lock.owner(token)
    return await m.lock.manage("transferFrom", owner, _any(m, chance), token)


async def _set(m: Market, chance: random.Random) -> object:
    until = chance.choice([0, await m.now() + 9 * DAY, FOR_EVER])
    return await m.lock.manage("setKeyExpiration", (await _held(m, chance))[0], until)


async def _fee(m: Market, chance: random.Random) -> object:
    return await m.lock.manage("updateTransferFee", chance.choice([0, 1_000]))


async def _wait(m: Market, chance: random.Random) -> object:
    return await m.anvil.advance(chance.choice([60, 20 * DAY]))


ACTS: Final[Sequence[Act]] = (
    *(_buy, _grant, _extend, _transfer, _share, _merge, _cancel, _burn, _take_back, _set, _fee),
    _wait,
)


@pytest.mark.parametrize("seed", [1, 2])
async def test_at_every_block_of_any_history_the_fold_is_what_the_lock_answered(seed: int) -> None:
    chance, done = random.Random(seed), 0
    async with market() as m:
        for _ in range(50):
            try:
                await chance.choice(ACTS)(m, chance)
                done += 1
            except (Reverted, ContractLogicError):
                continue  # the lock refuses it, and nothing has happened
        await m.read()
        last = (await m.anvil.block()).number
        assert m.ledger.canonical() == await lock_truth(m.lock, last)
        tokens = await m.lock.deployed.call(int, "totalSupply")
        compared = [
            await _compare(m, token, block)
            for block in range(m.lock.made_in + 1, last + 1)
            for token in range(1, tokens + 1)
        ]
        assert done > 20
        assert sum(compared) > 60


async def _compare(m: Market, token: int, block: int) -> bool:
    """Hold the fold of a key up to a block against the lock; whether there was such a key."""
    calls = m.lock.deployed.contract.functions
    owner = await calls.ownerOf(token).call(block_identifier=block)
    until = await calls.keyExpirationTimestampFor(token).call(block_identifier=block)
    lease = m.at(token, block)
    told = (NOBODY, 0) if lease is None else (lease.owner, lease.expires_at)
    assert told == (owner.lower(), min(until, LATEST))
    return lease is not None
