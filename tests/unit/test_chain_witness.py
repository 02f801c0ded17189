"""Two endpoints and more: what becomes final is what two agree on, and liars are found out."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.domain.batches import Batch, Rewind
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel, Json, ModelEndpoint, Tamper
from tests.support.ledger import Ledger
from tests.support.reading import busy_chain, mint, reading, settings

Change = Callable[[list[Json]], list[Json]]


def telling(change: Change, *, receipts: bool = True) -> Tamper:
    """An endpoint whose lists of logs are changed, and whose receipts are honest, or not there."""

    def tamper(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockReceipts" and not receipts:
            raise RpcError(-32601, "not here")
        if method == "eth_getLogs" and isinstance(result, list):
            return change(result)
        return result

    return tamper


def without_receipts(method: str, _: Sequence[object], result: object) -> object:
    if method == "eth_getBlockReceipts":
        raise RpcError(-32601, "not here")
    return result


def silent(_: str, __: Sequence[object], ___: object) -> object:
    raise RpcUnavailable("no answer")


def drop_block_7(logs: list[Json]) -> list[Json]:
    return [log for log in logs if log["blockNumber"] != "0x7"]


def drop_a_part(logs: list[Json]) -> list[Json]:
    return [log for log in logs if (log["blockNumber"], log["logIndex"]) != ("0x7", "0x1")]


def forge_an_owner(logs: list[Json]) -> list[Json]:
    forged = "0x" + "ee" * 32
    return [
        log | {"topics": [*_topics(log)[:-1], forged]} if log["blockNumber"] == "0x7" else log
        for log in logs
    ]


def invent_a_log(logs: list[Json]) -> list[Json]:
    more = [log | {"logIndex": "0x50"} for log in logs if log["blockNumber"] == "0x7"][:1]
    return [*logs, *more]


def forge_a_transaction(logs: list[Json]) -> list[Json]:
    return [
        log | {"transactionHash": "0x" + "ee" * 32} if log["blockNumber"] == "0x7" else log
        for log in logs
    ]


def _topics(log: Json) -> list[object]:
    topics = log["topics"]
    assert isinstance(topics, list)
    return topics


LIES = (drop_block_7, drop_a_part, forge_an_owner, invent_a_log)


async def settle(ledger: Ledger, chain: ChainModel, *endpoints: ModelEndpoint) -> None:
    """Read on until it is done, however often nobody is believed."""
    for _ in range(20):
        trusted = sorted(endpoints, key=lambda endpoint: bool(endpoint.distrusted))
        scanner, _ = reading(chain, *trusted, ledger=ledger)
        try:
            await ledger.follow(scanner)
        except (NotAChain, RpcUnavailable):
            continue
        return
    raise AssertionError("it never came to rest")


async def test_two_that_agree_make_final_what_both_call_so() -> None:
    chain = busy_chain(60)
    scanner, ledger = reading(chain, chain.endpoint("a"), chain.endpoint("b"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(58)
    assert ledger.state.final == chain.blocks[55].block
    assert scanner.alone is None


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


async def test_a_witness_that_knows_no_old_logs_is_proven_wrong_by_receipts() -> None:
    chain = busy_chain(60)
    pruned = chain.endpoint("pruned", telling(lambda _: []))
    ledger = Ledger()
    await settle(ledger, chain, chain.endpoint("a"), pruned)
    assert ledger.canonical() == chain.events(58)
    assert pruned.quarantined == ["pruned left out logs of block 3"]


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
