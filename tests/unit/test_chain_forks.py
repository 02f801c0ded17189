"""Forks, finality and lag: what is taken back, what halts, what only waits."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from chainwatch.chain.reorg import Behind
from chainwatch.domain.batches import Rewind
from chainwatch.errors import NotAChain, SourceHalted
from tests.support.chain_model import ChainModel
from tests.support.liars import settle
from tests.support.reading import busy_chain, mint, reading, settings


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_a_reorg_above_finality_takes_back_what_is_gone_and_reads_what_came(
    depth: int,
) -> None:
    chain = busy_chain(30, every=1)
    scanner, ledger = reading(chain, using=settings(confirmations=0))
    await ledger.follow(scanner)
    before = chain.blocks[30 - depth].block
    chain.drop(depth)
    for token in range(depth + 1):
        chain.mine(mint(500 + token))
    await ledger.follow(scanner)
    rewinds = [step for step in ledger.steps if isinstance(step, Rewind)]
    assert [rewind.ancestor for rewind in rewinds] == [before]
    assert ledger.canonical() == chain.events()


async def test_a_chain_that_returns_to_its_first_fork_is_believed_again() -> None:
    chain = busy_chain(30, every=1)
    scanner, ledger = reading(chain, using=settings(confirmations=0))
    await ledger.follow(scanner)
    first = chain.fork()
    chain.reorg(3)
    await ledger.follow(scanner)
    chain.blocks = first
    chain.mine()
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()


async def test_a_reorg_of_everything_takes_everything_back() -> None:
    chain = ChainModel(final_lag=50)
    for token in range(1, 6):
        chain.mine(mint(token))
    using = replace(settings(confirmations=0), finality=50)
    scanner, ledger = reading(chain, using=using)
    await ledger.follow(scanner)
    chain.reorg(5)
    await ledger.follow(scanner)
    assert Rewind(None, 5) in ledger.steps
    assert ledger.canonical() == []
    assert ledger.state.cursor == chain.head


async def test_a_reorg_below_finality_halts_with_both_hashes_and_takes_nothing_back() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    final = ledger.state.final
    assert final is not None
    chain.reorg(12)
    with pytest.raises(SourceHalted) as halted:
        await scanner.next(ledger.state)
    assert final.hash in str(halted.value)
    assert chain.blocks[final.number].block.hash in str(halted.value)


async def test_a_node_that_is_stuck_on_a_fork_of_the_past_halts_nothing() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.drop(12)
    for _ in range(10):
        chain.mine()
    with pytest.raises(NotAChain, match="does not call final itself"):
        await scanner.next(ledger.state)


async def test_one_node_on_another_chain_halts_nobody_while_another_confirms_ours() -> None:
    chain, other = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    other.reorg(20)
    stray = other.endpoint("stray")
    scanner, _ = reading(chain, stray, chain.endpoint("honest"), ledger=ledger)
    assert await scanner.next(ledger.state) is None
    assert "was final as" in stray.distrusted[0]


async def test_a_head_that_went_back_on_the_same_chain_is_stale_and_no_reorg() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.drop(1)
    assert await scanner.next(ledger.state) is None
    chain.drop(2)
    with pytest.raises(Behind, match="went back to block 27"):
        await scanner.next(ledger.state)
    chain.drop(10)
    with pytest.raises(Behind, match="below the final block 25"):
        await scanner.next(ledger.state)


async def test_an_endpoint_that_is_behind_but_holds_our_final_block_vouches_for_it() -> None:
    chain, other, late = busy_chain(30), busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    other.reorg(20)
    late.drop(4)
    scanner, _ = reading(chain, other.endpoint("stray"), late.endpoint("late"), ledger=ledger)
    with pytest.raises(Behind):
        await scanner.next(ledger.state)
    late.drop(4)
    with pytest.raises(SourceHalted):
        await scanner.next(ledger.state)


async def test_a_stale_endpoint_does_not_hide_what_another_one_has() -> None:
    chain, late = busy_chain(40), busy_chain(40)
    late.drop(20)
    scanner, ledger = reading(chain, late.endpoint("late"), chain.endpoint("quick"))
    await ledger.follow(scanner)
    assert ledger.state.cursor == chain.blocks[38].block
    assert ledger.canonical() == chain.events(38)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("stuck_first", [True, False])
async def test_an_endpoint_that_is_stuck_on_a_short_fork_takes_nothing_back(
    depth: int, stuck_first: bool
) -> None:
    chain, fork = busy_chain(30), busy_chain(30)
    chain.drop(2)
    fork.drop(1 + depth)
    for _ in range(depth):
        chain.mine(mint(900 + chain.head.number))
        fork.mine([], seconds=13)
    chain.mine()
    good, stuck = chain.endpoint("good"), fork.endpoint("stuck")
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    both = (stuck, good) if stuck_first else (good, stuck)
    scanner, _ = reading(chain, *both, ledger=ledger)
    for _ in range(4):
        await ledger.follow(scanner)
        chain.mine()
    assert not [step for step in ledger.steps if isinstance(step, Rewind)]
    assert stuck.distrusted


async def test_a_fork_of_our_own_height_is_not_believed_while_another_endpoint_has_our_block() -> (
    None
):
    chain, fork = busy_chain(30), busy_chain(30)
    fork.reorg(3)
    fork.mine()
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    stray = fork.endpoint("stray")
    scanner, _ = reading(chain, stray, chain.endpoint("good"), ledger=ledger)
    assert await scanner.next(ledger.state) is None
    assert "another confirms ours" in stray.distrusted[0]


async def test_an_endpoint_that_stands_still_on_our_fork_does_not_hold_us_there() -> None:
    chain, still = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.reorg(3)
    for _ in range(3):
        chain.mine()
    left = still.endpoint("left behind")
    scanner, _ = reading(chain, chain.endpoint("good"), left, ledger=ledger)
    assert await ledger.follow(scanner) == 0
    left.still = settings().stale_after
    await ledger.follow(scanner)
    assert ledger.state.cursor == chain.blocks[31].block
    assert left.distrusted


@pytest.mark.parametrize("liar_first", [True, False])
async def test_a_longer_fork_of_one_is_not_followed_against_another_whose_head_rises(
    liar_first: bool,
) -> None:
    chain, lies = busy_chain(30, every=1), ChainModel()
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    lies.blocks = chain.fork()
    lies.drop(4)
    for token in range(40):
        lies.mine(mint(9000 + token))
    both = [lies.endpoint("liar"), chain.endpoint("good")]
    scanner, _ = reading(chain, *(both if liar_first else both[::-1]), ledger=ledger)
    for _ in range(5):
        with suppress(NotAChain):
            await ledger.follow(scanner)
        chain.mine()
    assert not [step for step in ledger.steps if isinstance(step, Rewind)]
    assert ledger.canonical() == chain.events(28)


async def test_a_lone_endpoint_on_a_shorter_fork_is_behind_until_it_reaches_our_height() -> None:
    chain = busy_chain(30, every=1)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.drop(4)
    chain.mine()
    for _ in range(3):
        with pytest.raises(Behind, match="on another fork"):
            await scanner.next(ledger.state)
        chain.mine()
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)
    assert len([step for step in ledger.steps if isinstance(step, Rewind)]) == 1


async def test_finality_by_depth_follows_the_head_and_stays_at_or_below_the_cursor() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain, using=settings(confirmations=4, finality=1))
    await ledger.follow(scanner)
    assert ledger.state.final == ledger.state.cursor == chain.blocks[26].block


async def test_a_finalized_number_that_falls_changes_nothing() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    final = ledger.state.final
    chain.final_lag = 20
    chain.mine()
    await ledger.follow(scanner)
    assert ledger.state.final == final
    assert ledger.state.cursor == chain.blocks[29].block


async def test_finality_that_moves_without_a_new_block_is_told() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    cursor = ledger.state.cursor
    chain.final_lag = 3
    assert await ledger.follow(scanner) == 1
    assert ledger.state.cursor == cursor
    assert ledger.state.final == chain.blocks[27].block


@pytest.mark.parametrize(("final_lag", "said"), [(5, "below the final"), (2000, "went back to")])
async def test_a_node_restored_from_a_snapshot_a_thousand_blocks_old_is_stale_and_no_reorg(
    final_lag: int, said: str
) -> None:
    chain = busy_chain(1200, every=50)
    chain.final_lag = final_lag
    whole = chain.fork()
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    stored = ledger.canonical()
    chain.drop(1000)
    with pytest.raises(Behind, match=said):
        await scanner.next(ledger.state)
    chain.blocks = whole
    chain.mine(mint(9999))
    chain.mine()
    chain.mine()
    await ledger.follow(scanner)
    assert not [step for step in ledger.steps if isinstance(step, Rewind)]
    assert ledger.canonical()[: len(stored)] == stored
    assert ledger.canonical() == chain.events(1201)


async def test_where_a_node_knows_of_no_final_block_yet_nothing_is_final() -> None:
    chain = busy_chain(30)

    def young(_: str, params: Sequence[object], result: object) -> object:
        return None if params and params[0] == "finalized" else result

    scanner, ledger = reading(chain, chain.endpoint("young", young))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)
    assert ledger.state.final is None


async def test_a_node_that_calls_another_block_final_than_it_shows_is_no_chain() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.mine()
    chain.mine()

    def forked(_: str, params: Sequence[object], result: object) -> object:
        if params and params[0] == "finalized" and isinstance(result, dict):
            return result | {"hash": "0x" + "fa" * 32}
        return result

    scanner, _ = reading(chain, chain.endpoint("forked", forked), ledger=ledger)
    with pytest.raises(NotAChain, match="another block 27 final than the one it shows"):
        await scanner.next(ledger.state)


async def test_finality_by_depth_is_as_deep_below_a_head_that_goes_back() -> None:
    chain = busy_chain(30)
    scanner, ledger = reading(chain, using=settings(confirmations=0, finality=10))
    await ledger.follow(scanner)
    assert ledger.state.final == chain.blocks[20].block
    chain.drop(3)
    with pytest.raises(Behind):
        await scanner.next(ledger.state)
    assert ledger.state.final == chain.blocks[20].block


async def test_one_that_contradicts_what_is_final_is_quarantined_while_another_confirms_it() -> (
    None
):
    chain, other = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    other.reorg(20)
    stray = other.endpoint("stray")
    for endpoints in ((stray, chain.endpoint("a")), (chain.endpoint("a"), stray)):
        stray.quarantined.clear()
        scanner, _ = reading(chain, *endpoints, ledger=ledger)
        assert await scanner.next(ledger.state) is None
        assert "was final as" in stray.quarantined[0]


async def test_a_rewind_is_believed_of_two_while_a_third_still_holds_our_blocks() -> None:
    chain, late = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.reorg(3)
    left = late.endpoint("left")
    a, b = chain.endpoint("a"), chain.endpoint("b")
    scanner, _ = reading(chain, left, a, b, ledger=ledger)
    step = await scanner.next(ledger.state)
    assert step == Rewind(chain.blocks[27].block, 30)
    assert left.distrusted
    ledger.apply(step)
    scanner, _ = reading(chain, a, b, left, ledger=ledger)
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)


@pytest.mark.parametrize("goes_on", [0, 1, 9])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_two_that_contradict_what_is_final_halt_the_source_though_a_third_confirms_it(
    place: int, goes_on: int
) -> None:
    chain, old = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.reorg(20)
    for _ in range(20):
        chain.mine()
    for _ in range(goes_on):
        old.mine()
    a, b, left = chain.endpoint("a"), chain.endpoint("b"), old.endpoint("left")
    endpoints = [*(a, b)[:place], left, *(a, b)[place:]]
    with pytest.raises(SourceHalted, match="block 25 was final as"):
        await settle(ledger, chain, *endpoints)
    assert [a.quarantined, b.quarantined] == [[], []]


async def test_two_that_contradict_what_is_final_halt_the_source_though_one_behind_holds_it() -> (
    None
):
    chain, old = busy_chain(30), busy_chain(30)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    chain.reorg(20)
    old.drop(3)
    scanner, _ = reading(
        chain, chain.endpoint("a"), chain.endpoint("b"), old.endpoint("behind"), ledger=ledger
    )
    with pytest.raises(SourceHalted, match="block 25 was final as"):
        await scanner.next(ledger.state)
