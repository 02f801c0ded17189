"""A block's time is what leases end by: two have to agree on it as they do on the block's hash."""

from collections.abc import Callable, Sequence

import pytest

from chainwatch.domain.batches import Rewind
from chainwatch.errors import NotAChain
from tests.support.chain_model import ChainModel, Tamper
from tests.support.ledger import Ledger
from tests.support.liars import settle, silent
from tests.support.reading import busy_chain, reading

TEN_YEARS = 315_360_000


def late(which: Callable[[int], bool], seconds: int = TEN_YEARS) -> Tamper:
    """An endpoint whose blocks are the true ones, but of which some are later than they were."""

    def tamper(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            number, time = (int(str(result[name]), 16) for name in ("number", "timestamp"))
            return result | {"timestamp": hex(time + seconds)} if which(number) else result
        return result

    return tamper


def is_true(ledger: Ledger, chain: ChainModel) -> bool:
    """Whether every block that is stored is the chain's own, its time with it."""
    return all(each == chain.blocks[each.number].block for each in ledger.blocks.values())


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_of_three_the_one_that_tells_another_time_is_outvoted(place: int) -> None:
    chain = busy_chain(60, every=1)
    liar = chain.endpoint("liar", late(lambda number: number >= 20))
    honest = [chain.endpoint("a"), chain.endpoint("b")]
    ledger = Ledger()
    await settle(ledger, chain, *honest[:place], liar, *honest[place:])
    assert is_true(ledger, chain)
    assert ledger.state.cursor == chain.blocks[58].block
    assert ledger.state.final == chain.blocks[55].block
    assert [each.quarantined for each in honest] == [[], []]


@pytest.mark.parametrize("liar_first", [True, False])
@pytest.mark.parametrize("more", [0, 9])
async def test_with_two_that_tell_different_times_there_is_no_step(
    liar_first: bool, more: int
) -> None:
    chain, longer = busy_chain(60), ChainModel()
    longer.blocks = chain.fork()
    for _ in range(more):
        longer.mine()
    both = [longer.endpoint("liar", late(lambda number: number >= 20)), chain.endpoint("good")]
    scanner, ledger = reading(chain, *(both if liar_first else both[::-1]))
    with pytest.raises(NotAChain, match=r"disagree about block \d+: .* of time \d+, .* of time"):
        await ledger.follow(scanner)
    assert is_true(ledger, chain)


async def test_a_time_that_one_endpoint_told_alone_is_taken_back_when_two_tell_another() -> None:
    chain = busy_chain(60, every=1)
    liar = chain.endpoint("liar", late(lambda number: number > 56))
    scanner, ledger = reading(chain, liar, chain.endpoint("a", silent))
    await ledger.follow(scanner)
    assert not is_true(ledger, chain)
    chain.mine()
    await settle(ledger, chain, chain.endpoint("a"), chain.endpoint("b"), liar)
    assert is_true(ledger, chain)
    assert ledger.state.cursor == chain.blocks[59].block


async def test_no_block_becomes_final_at_a_time_that_only_one_endpoint_told() -> None:
    chain = busy_chain(60, every=1)
    chain.final_lag = 20
    liar = chain.endpoint("liar", late(lambda number: number == 45, seconds=1))
    scanner, ledger = reading(chain, liar, chain.endpoint("a", silent))
    await ledger.follow(scanner)
    chain.final_lag = 15
    scanner, _ = reading(chain, chain.endpoint("a"), chain.endpoint("b"), ledger=ledger)
    await ledger.follow(scanner)
    assert [type(step) for step in ledger.steps].count(Rewind) == 1
    assert is_true(ledger, chain)
    assert ledger.state.final == chain.blocks[45].block
