"""Two endpoints that tell different logs: who is right, and what becomes of who is not."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.domain.batches import Batch, Rewind
from chainwatch.errors import NotAChain
from tests.support.chain_model import ChainModel, Tamper
from tests.support.ledger import Ledger
from tests.support.liars import (
    LIES,
    Change,
    drop_a_part,
    drop_block_7,
    forge_a_transaction,
    forge_an_owner,
    settle,
    silent,
    telling,
    without_receipts,
)
from tests.support.reading import busy_chain, mint, reading, settings


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("liar_first", [True, False])
async def test_below_finality_the_one_whose_logs_differ_from_the_receipts_is_quarantined(
    lie: Change, liar_first: bool
) -> None:
    chain = busy_chain(60, every=1)
    liar, good = chain.endpoint("liar", telling(lie)), chain.endpoint("good")
    ledger = Ledger()
    await settle(ledger, chain, *((liar, good) if liar_first else (good, liar)))
    assert ledger.canonical() == chain.events(58)
    assert liar.quarantined
    assert "logs of block 7" in liar.quarantined[0]
    assert good.quarantined == []


async def test_a_log_that_one_endpoint_left_out_is_taken_from_the_other() -> None:
    chain = busy_chain(60, every=1)
    liar, good = chain.endpoint("liar", telling(drop_a_part)), chain.endpoint("good")
    scanner, ledger = reading(chain, liar, good)
    with pytest.raises(NotAChain, match="liar tells other logs than"):
        await scanner.next(ledger.state)
    assert liar.quarantined == ["liar left out logs of block 7"]
    step = await scanner.next(ledger.state)
    assert isinstance(step, Batch)
    assert list(step.events) == chain.events(step.cursor.number)


async def test_a_liar_that_seconds_does_not_stop_what_receipts_prove() -> None:
    chain = busy_chain(60, every=1)
    liar, good = chain.endpoint("liar", telling(drop_a_part)), chain.endpoint("good")
    scanner, ledger = reading(chain, good, liar)
    step = await scanner.next(ledger.state)
    assert isinstance(step, Batch)
    assert step.final == step.cursor
    assert step.cursor.number > 7
    assert liar.quarantined == ["liar left out logs of block 7"]


@pytest.mark.parametrize("lie", [*LIES, forge_a_transaction])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_where_there_are_no_receipts_a_third_endpoint_decides(
    lie: Change, place: int
) -> None:
    chain = busy_chain(60, every=1)
    liar = chain.endpoint("liar", telling(lie, receipts=False))
    honest = [chain.endpoint(name, without_receipts) for name in ("a", "b")]
    endpoints = [*honest[:place], liar, *honest[place:]]
    ledger = Ledger()
    await settle(ledger, chain, *endpoints)
    assert ledger.canonical() == chain.events(58)
    assert bool(liar.quarantined) is (place < 2)
    assert [each.quarantined for each in honest] == [[], []]


@pytest.mark.parametrize("lie", [*LIES, forge_a_transaction])
async def test_two_that_differ_without_receipts_or_a_third_are_both_not_believed(
    lie: Change,
) -> None:
    chain = busy_chain(60, every=1)
    liar = chain.endpoint("liar", telling(lie, receipts=False))
    scanner, ledger = reading(chain, chain.endpoint("good", without_receipts), liar)
    with pytest.raises(NotAChain, match="different logs of block 7, and neither"):
        await scanner.next(ledger.state)
    assert liar.quarantined == []


async def test_a_forged_transaction_is_no_matter_for_receipts() -> None:
    chain = busy_chain(60, every=1)
    liar = chain.endpoint("liar", telling(forge_a_transaction))
    scanner, ledger = reading(chain, chain.endpoint("good"), liar)
    with pytest.raises(NotAChain, match="different logs of block 7, and neither"):
        await scanner.next(ledger.state)
    scanner, _ = reading(chain, chain.endpoint("a"), liar, chain.endpoint("b"), ledger=ledger)
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert liar.quarantined == ["liar changed logs of block 7"]


@pytest.mark.parametrize("final_lag", [5, 50])
@pytest.mark.parametrize("lie", LIES)
async def test_what_a_liar_told_alone_is_taken_back_before_it_becomes_final(
    lie: Change, final_lag: int
) -> None:
    chain = busy_chain(60, every=1)
    chain.final_lag = final_lag
    liar = chain.endpoint("liar", telling(lie))
    using = replace(settings(), verify="off")
    scanner, ledger = reading(chain, liar, chain.endpoint("b", silent), using=using)
    await ledger.follow(scanner)
    assert ledger.canonical() != chain.events(58)
    scanner, _ = reading(
        chain, chain.endpoint("b"), chain.endpoint("c"), using=using, ledger=ledger
    )
    await ledger.follow(scanner)
    assert [type(step) for step in ledger.steps].count(Rewind) == 1
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final == chain.blocks[60 - final_lag].block


async def test_what_receipts_prove_is_not_taken_back_because_nobody_tells_it() -> None:
    chain = ChainModel(final_lag=5)
    for number in range(1, 40):
        chain.mine(mint(number))
    using = replace(settings(), verify="receipts")
    lossy = [chain.endpoint(name, telling(drop_a_part)) for name in ("a", "b")]
    ledger = Ledger()
    chain.final_lag = 39
    scanner, _ = reading(chain, *lossy, using=using, ledger=ledger)
    await ledger.follow(scanner)
    chain.final_lag = 5
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(37)
    assert not [step for step in ledger.steps if isinstance(step, Rewind)]
    assert ledger.state.final is None
    assert scanner.alone == "no endpoint tells the logs of block 7 that its receipts prove"


@pytest.mark.parametrize("lie", [drop_a_part, forge_an_owner])
async def test_a_part_that_was_left_out_above_finality_is_found_when_it_becomes_final(
    lie: Change,
) -> None:
    chain = ChainModel(final_lag=5)
    for number in range(1, 10):
        chain.mine(mint(number))
    liar, good = chain.endpoint("liar", telling(lie)), chain.endpoint("good")
    ledger = Ledger()
    await settle(ledger, chain, liar, good)
    assert ledger.canonical() != chain.events(7)
    for number in range(10, 20):
        chain.mine(mint(number))
        await settle(ledger, chain, liar, good)
    assert ledger.canonical() == chain.events(17)
    assert liar.quarantined


async def test_a_witness_that_knows_no_old_logs_is_proven_wrong_by_receipts() -> None:
    chain = busy_chain(60)
    pruned = chain.endpoint("pruned", telling(lambda _: []))
    ledger = Ledger()
    await settle(ledger, chain, chain.endpoint("a"), pruned)
    assert ledger.canonical() == chain.events(58)
    assert pruned.quarantined == ["pruned left out logs of block 3"]


def evading(method: str, params: Sequence[object], result: object) -> object:
    """Leave a log out, and then show no header to judge that by."""
    if method == "eth_getBlockByNumber" and params[0] == "0x7":
        raise RpcError(-32000, "header not found")
    return telling(drop_a_part)(method, params, result)


def shifting(method: str, params: Sequence[object], result: object) -> object:
    """Leave a block's logs out, and then show another block there."""
    if method == "eth_getBlockByNumber" and params[0] == "0x7" and isinstance(result, dict):
        return result | {"hash": "0x" + "fe" * 32}
    return telling(drop_block_7)(method, params, result)


@pytest.mark.parametrize("lie", [evading, shifting])
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_of_three_can_not_stop_the_others_by_evading_its_judges(
    lie: Tamper, place: int
) -> None:
    chain = busy_chain(60, every=1)
    liar, honest = chain.endpoint("liar", lie), [chain.endpoint("a"), chain.endpoint("b")]
    ledger = Ledger()
    await settle(ledger, chain, *honest[:place], liar, *honest[place:])
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final == chain.blocks[55].block
    assert [each.quarantined + each.distrusted for each in honest] == [[], []]
    assert place == 2 or liar.quarantined or liar.distrusted
