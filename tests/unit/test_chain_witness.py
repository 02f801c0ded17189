"""Two endpoints and more: what becomes final is what two agree on, and nobody waits for none."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.errors import NotAChain
from tests.support.chain_model import CONTRACT, ChainModel, Tamper
from tests.support.ledger import Ledger
from tests.support.liars import (
    settle,
    silent,
)
from tests.support.reading import busy_chain, mint, reading, settings


async def test_two_that_agree_make_final_what_both_call_so() -> None:
    chain = busy_chain(60)
    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("b"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final == chain.blocks[55].block
    assert scanner.alone is None


@pytest.mark.parametrize("other", [silent, None])
async def test_while_the_others_are_silent_reading_goes_on_and_nothing_becomes_final(
    other: Tamper | None,
) -> None:
    chain, late = busy_chain(60), busy_chain(60)
    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("b"))
    await ledger.follow(scanner)
    final = ledger.state.final
    for _ in range(100):
        chain.mine(mint(1000 + chain.head.number))
    scanner, _ = reading(chain, chain.endpoint("a"), late.endpoint("b", other), ledger=ledger)
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(158)
    assert ledger.caught_up
    assert ledger.state.final == final
    assert scanner.alone is not None
    assert scanner.alone.startswith("b: ")


async def test_from_the_first_block_on_nothing_is_final_on_one_word_alone() -> None:
    chain = busy_chain(300)
    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("b", silent))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(298)
    assert ledger.state.final is None


@pytest.mark.parametrize("max_range", [7, 1000])
async def test_what_was_read_alone_becomes_final_when_a_second_one_has_told_the_same(
    max_range: int,
) -> None:
    chain = busy_chain(300)
    alone = replace(settings(), max_range=max_range)
    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("b", silent), using=alone)
    await ledger.follow(scanner)
    scanner, _ = reading(
        chain, chain.endpoint("a"), chain.endpoint("b"), using=alone, ledger=ledger
    )
    await ledger.follow(scanner)
    assert ledger.state.final == chain.blocks[295].block
    assert ledger.canonical() == chain.events(298)
    assert scanner.alone is None


def forked(chain: ChainModel, depth: int) -> ChainModel:
    """The same chain but for the last blocks, of which it has one less."""
    other = ChainModel(final_lag=chain.final_lag)
    other.blocks = chain.fork()
    other.drop(depth)
    for _ in range(depth):
        other.mine([], seconds=13)
    return other


async def test_with_two_that_show_different_blocks_there_is_no_step() -> None:
    chain = busy_chain(60)
    fork = forked(chain, 12)
    narrow = settings(max_range=20)
    scanner, ledger = reading(chain, chain.endpoint("a"), fork.endpoint("b"), using=narrow)
    for _ in range(3):
        with pytest.raises(NotAChain, match=r"two endpoints disagree about block 5\d: a says 0x"):
            await ledger.follow(scanner)
    assert ledger.state.cursor == ledger.state.final == chain.blocks[40].block
    assert ledger.canonical() == chain.events(40)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("depth", [4, 12])
async def test_of_three_the_one_with_other_blocks_is_outvoted(depth: int, place: int) -> None:
    chain = busy_chain(60, every=1)
    stray = forked(chain, depth).endpoint("stray")
    honest = [chain.endpoint("a"), chain.endpoint("b")]
    ledger = Ledger()
    await settle(ledger, chain, *honest[:place], stray, *honest[place:])
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final == chain.blocks[55].block
    assert [each.quarantined for each in honest] == [[], []]
    if place < 2:
        assert bool(stray.quarantined) is (depth == 12)
        assert stray.distrusted or stray.quarantined


async def test_a_chain_of_lies_that_is_longer_convinces_nobody_where_two_know_better() -> None:
    chain = busy_chain(60, every=1)
    ledger = Ledger()
    await settle(ledger, chain, chain.endpoint("a"), chain.endpoint("b"))
    before = ledger.canonical()
    lies = forked(chain, 4)
    for number in range(40):
        lies.mine(mint(9000 + number))
    liar = lies.endpoint("liar")
    scanner, _ = reading(chain, liar, chain.endpoint("a"), chain.endpoint("b"), ledger=ledger)
    await ledger.follow(scanner)
    assert ledger.canonical() == before
    assert liar.distrusted


async def test_a_witness_that_is_one_block_late_holds_back_finality_and_nothing_else() -> None:
    chain, late = busy_chain(60), busy_chain(60)
    late.drop(1)
    scanner, ledger = reading(chain, chain.endpoint("a"), late.endpoint("late"))
    await ledger.follow(scanner)
    assert ledger.state.cursor == chain.blocks[58].block
    assert ledger.state.final == chain.blocks[54].block


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_that_calls_nothing_new_final_does_not_hold_back_the_two_others(
    place: int,
) -> None:
    chain = busy_chain(60)

    def stuck(_: str, params: Sequence[object], result: object) -> object:
        if params and params[0] == "finalized":
            return chain.blocks[9].header(CONTRACT)
        return result

    honest = [chain.endpoint("a"), chain.endpoint("b")]
    endpoints = [*honest[:place], chain.endpoint("stuck", stuck), *honest[place:]]
    scanner, ledger = reading(chain, *endpoints)
    for _ in range(3):
        chain.mine()
        await ledger.follow(scanner)
        head = chain.head.number
        assert ledger.state.cursor == chain.blocks[head - 2].block
        assert ledger.state.final == chain.blocks[head - 5].block
    assert ledger.canonical() == chain.events(61)


async def test_a_witness_that_refuses_old_logs_stops_nothing_and_is_told_of() -> None:
    chain = busy_chain(60)

    def pruned(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs":
            raise RpcError(-32000, "history has been pruned")
        return result

    weak = chain.endpoint("weak", pruned)
    scanner, ledger = reading(chain, chain.endpoint("a"), weak)
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final is None
    assert "history has been pruned" in (scanner.alone or "")
    assert weak.distrusted


async def test_with_the_other_one_in_quarantine_nothing_becomes_final() -> None:
    chain = busy_chain(60)
    bad = chain.endpoint("bad")
    bad.quarantine("it was wrong before")
    scanner, ledger = reading(chain, chain.endpoint("good"), bad)
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final is None
    assert scanner.alone == "every other endpoint is in quarantine"


async def test_a_witness_that_allows_less_at_once_is_asked_in_parts() -> None:
    chain = busy_chain(90, every=1)

    def narrow(method: str, params: Sequence[object], result: object) -> object:
        match method, params:
            case "eth_getLogs", [{"fromBlock": str(first), "toBlock": str(last)}]:
                if int(last, 16) - int(first, 16) >= 7:
                    raise RpcError(-32005, "block range is too wide")
        return result

    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("narrow", narrow))
    await ledger.follow(scanner)
    assert ledger.state.final == chain.blocks[85].block
    assert ledger.canonical() == chain.events(88)


async def test_a_witness_that_calls_nothing_final_is_told_of_while_nobody_else_can_be_asked() -> (
    None
):
    chain = busy_chain(60)

    def young(_: str, params: Sequence[object], result: object) -> object:
        return None if params and params[0] == "finalized" else result

    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("young", young))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final is None
    assert scanner.alone == "young calls no block above 0 final"
