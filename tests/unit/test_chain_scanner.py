"""What the scanner makes of a chain that grows, forks, lags and lies."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.reorg import Behind
from chainwatch.chain.rpc import Rpc, RpcError
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import Finality, SourceSettings
from chainwatch.domain.batches import Batch, Rewind, Source
from chainwatch.domain.events import Event, ExpiryUpdated
from chainwatch.errors import Fatal, NotAChain, RpcUnavailable, SourceHalted
from provisioner import faultpoints
from tests.support.chain_model import CONTRACT, ChainModel, ModelPool, RawEvent, minted
from tests.support.ledger import Ledger

OWNER = "0x" + "a1" * 20


def settings(
    *, confirmations: int = 2, finality: Finality = "finalized", max_range: int = 1000
) -> SourceSettings:
    return SourceSettings(
        source=Source("shop", 31337, CONTRACT, 1, "lease"),
        http=(),
        ws=(),
        confirmations=confirmations,
        finality=finality,
        poll_interval=1,
        stale_after=60,
        max_range=max_range,
        timeout=5,
    )


def reading(
    chain: ChainModel,
    *endpoints: Rpc,
    using: SourceSettings | None = None,
    ledger: Ledger | None = None,
) -> tuple[Scanner, Ledger]:
    ledger = ledger or Ledger()
    pool = ModelPool(endpoints or chain.rpc.endpoints)
    scanner = Scanner(using or settings(), pool, profiles.get("lease"), ledger)
    return scanner, ledger


def mint(token: int) -> list[Event]:
    return minted(token, OWNER, plan=1, expires_at=1_800_000_000)


def busy_chain(blocks: int, *, every: int = 3) -> ChainModel:
    chain = ChainModel()
    for number in range(1, blocks + 1):
        chain.mine(mint(number) if number % every == 0 else [])
    return chain


async def test_a_chain_that_is_shorter_than_its_confirmations_has_nothing_to_say() -> None:
    chain = busy_chain(2)
    scanner, _ = reading(chain)
    assert await scanner.next(Ledger().state) is None


async def test_catching_up_ends_at_the_confirmed_head_with_every_event() -> None:
    chain = busy_chain(100)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    assert ledger.state.cursor == chain.blocks[98].block
    assert ledger.state.final == chain.blocks[95].block
    assert ledger.canonical() == chain.events(98)
    assert ledger.caught_up
    assert scanner.take_unreadable() == ()


async def test_every_header_above_the_final_block_is_kept() -> None:
    chain = busy_chain(60)
    scanner, ledger = reading(chain)
    await ledger.follow(scanner)
    assert [ledger.blocks[n] for n in range(55, 59)] == [b.block for b in chain.blocks[55:59]]


async def test_a_long_history_is_read_in_ranges_that_are_no_wider_than_allowed() -> None:
    chain = busy_chain(100)
    scanner, ledger = reading(chain, using=settings(max_range=10))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(98)
    ranges = [step for step in ledger.steps if isinstance(step, Batch)]
    assert all(b.cursor.number - (b.after.number if b.after else 0) <= 10 for b in ranges[:9])
    assert [b.caught_up for b in ranges[:-1]] == [False] * (len(ranges) - 1)


async def test_a_provider_that_refuses_wide_ranges_is_asked_for_less_until_it_answers() -> None:
    chain = busy_chain(100)
    asked: list[int] = []

    def narrow(method: str, params: Sequence[object], result: object) -> object:
        match method, params:
            case "eth_getLogs", [{"fromBlock": str(first), "toBlock": str(last)}]:
                asked.append(int(last, 16) - int(first, 16) + 1)
                if asked[-1] > 7:
                    raise RpcError(-32005, "query returned more than 10000 results")
        return result

    scanner, ledger = reading(chain, chain.endpoint("narrow", narrow))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(98)
    assert asked[:5] == [95, 47, 23, 11, 5]


async def test_a_provider_that_refuses_even_one_block_is_unavailable_in_its_own_words() -> None:
    chain = busy_chain(20)

    def stubborn(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs":
            raise RpcError(-32000, "the archive is on holiday")
        return result

    scanner, ledger = reading(chain, chain.endpoint("stubborn", stubborn))
    with pytest.raises(RpcUnavailable, match="archive is on holiday"):
        await ledger.follow(scanner)


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


async def test_a_final_block_above_the_nodes_own_head_is_no_chain() -> None:
    chain = busy_chain(30)

    def backwards(_: str, params: Sequence[object], result: object) -> object:
        if params and params[0] == "latest":
            return chain.blocks[20].header(CONTRACT)
        return result

    liar = chain.endpoint("liar", backwards)
    scanner, ledger = reading(chain, liar)
    with pytest.raises(NotAChain, match="its head is below"):
        await scanner.next(ledger.state)
    assert liar.distrusted


async def test_a_node_that_loses_the_logs_of_a_block_is_found_out_by_its_receipts() -> None:
    chain = ChainModel()
    chain.mine(mint(1))
    chain.mine()

    def forgetful(method: str, _: Sequence[object], result: object) -> object:
        return [] if method == "eth_getLogs" else result

    scanner, ledger = reading(
        chain, chain.endpoint("forgetful", forgetful), using=settings(confirmations=0)
    )
    with pytest.raises(NotAChain, match="left out logs of block 1"):
        await scanner.next(ledger.state)
    honest, _ = reading(
        chain,
        chain.endpoint("forgetful", forgetful),
        chain.endpoint("honest"),
        using=settings(confirmations=0),
    )
    await ledger.follow(honest)
    assert ledger.canonical() == chain.events()


async def test_a_bloom_that_hits_by_chance_is_settled_by_receipts() -> None:
    chain = ChainModel()
    chain.mine()

    def full_bloom(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return result | {"logsBloom": "0x" + "f" * 512}
        return result

    endpoint = chain.endpoint("busy", full_bloom)
    scanner, ledger = reading(chain, endpoint, using=settings(confirmations=0))
    await ledger.follow(scanner)
    assert ledger.state.cursor == chain.head
    assert "eth_getBlockReceipts" in endpoint.asked


async def test_a_lagging_index_that_answers_an_empty_range_is_found_out_at_its_end() -> None:
    chain = busy_chain(30, every=5)

    def lagging(method: str, _: Sequence[object], result: object) -> object:
        return [] if method == "eth_getLogs" else result

    scanner, ledger = reading(chain, chain.endpoint("lagging", lagging))
    with pytest.raises(NotAChain, match="left out logs of block 25"):
        await scanner.next(ledger.state)
    assert ledger.canonical() == []


def _other_fork(log: dict[str, object]) -> dict[str, object]:
    return log | {"blockHash": "0x" + "bb" * 32}


def _other_contract(log: dict[str, object]) -> dict[str, object]:
    return log | {"address": "0x" + "bb" * 20}


def _out_of_range(log: dict[str, object]) -> dict[str, object]:
    return log | {"blockNumber": "0xffff"}


def _removed(log: dict[str, object]) -> dict[str, object]:
    return log | {"removed": True}


@pytest.mark.parametrize("forge", [_other_fork, _other_contract, _out_of_range, _removed])
@pytest.mark.parametrize("final_lag", [1, 20])
async def test_logs_that_do_not_belong_where_they_were_asked_are_no_chain(
    forge: object, final_lag: int
) -> None:
    chain = busy_chain(10, every=2)
    chain.final_lag = final_lag

    def forging(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs" and isinstance(result, list) and callable(forge):
            return [forge(log) for log in result]
        return result

    scanner, ledger = reading(chain, chain.endpoint("forger", forging))
    with pytest.raises(NotAChain):
        await scanner.next(ledger.state)


async def test_logs_that_come_twice_and_in_disorder_are_stored_once_and_in_order() -> None:
    chain = busy_chain(30)

    def shuffling(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs" and isinstance(result, list):
            return [*reversed(result), *result]
        return result

    scanner, ledger = reading(chain, chain.endpoint("shuffler", shuffling))
    first = await scanner.next(ledger.state)
    assert isinstance(first, Batch)
    assert list(first.events) == chain.events(25)


async def test_headers_that_do_not_link_are_no_chain() -> None:
    chain = busy_chain(10)

    def unlinked(_: str, params: Sequence[object], result: object) -> object:
        if params and params[0] == "0x8" and isinstance(result, dict):
            return result | {"parentHash": "0x" + "00" * 32}
        return result

    scanner, ledger = reading(chain, chain.endpoint("unlinked", unlinked))
    ledger.apply(_batch(await scanner.next(ledger.state)))
    with pytest.raises(NotAChain, match="as its parent"):
        await scanner.next(ledger.state)


def _batch(step: Batch | Rewind | None) -> Batch:
    assert isinstance(step, Batch)
    return step


@pytest.mark.parametrize("nonsense", [None, 7, "0x", [], {}, {"number": "0x5"}, "<html>"])
@pytest.mark.parametrize("method", ["eth_chainId", "eth_getBlockByNumber", "eth_getLogs"])
async def test_nonsense_is_never_news(method: str, nonsense: object) -> None:
    chain = busy_chain(30, every=5)

    def babbling(asked: str, _: Sequence[object], result: object) -> object:
        return nonsense if asked == method else result

    scanner, ledger = reading(chain, chain.endpoint("babbler", babbling))
    with pytest.raises((NotAChain, RpcUnavailable)):
        await scanner.next(ledger.state)


async def test_unknown_and_malformed_logs_are_reported_and_stop_nothing() -> None:
    chain = ChainModel()
    chain.mine([RawEvent(("0x" + "12" * 32,)), *mint(1)])
    transfer = mint(1)[0]
    chain.mine([transfer, RawEvent(())])
    scanner, ledger = reading(chain, using=settings(confirmations=0))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    unreadable = scanner.take_unreadable()
    assert [(u.block, u.log_index) for u in unreadable] == [(1, 0), (2, 1)]
    assert "not an event of profile lease" in unreadable[0].reason
    assert scanner.take_unreadable() == ()


async def test_the_wrong_chain_is_refused_with_both_ids() -> None:
    scanner, _ = reading(ChainModel(chain_id=1))
    with pytest.raises(Fatal, match=r"serves chain 1, but source shop .* chain 31337"):
        await scanner.check()


async def test_an_address_without_code_is_refused() -> None:
    empty = ChainModel(contract="0x" + "dd" * 20)
    scanner, _ = reading(empty)
    with pytest.raises(Fatal, match=f"no contract at {CONTRACT} on chain 31337"):
        await scanner.check()


async def test_a_right_chain_with_our_contract_passes() -> None:
    scanner, _ = reading(ChainModel())
    await scanner.check()


async def test_an_endpoint_that_changes_to_another_chain_later_is_passed_over() -> None:
    chain, stranger = busy_chain(30), ChainModel(chain_id=1)
    changed = stranger.endpoint("changed")
    scanner, ledger = reading(chain, changed, chain.endpoint("honest"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)
    assert "now serves chain 1" in changed.distrusted[0]


async def test_a_silent_endpoint_is_passed_over_and_nobody_answering_is_unavailable() -> None:
    chain = busy_chain(30)

    def silent(_: str, __: Sequence[object], ___: object) -> object:
        raise RpcUnavailable("silent: no answer")

    mute = chain.endpoint("silent", silent)
    scanner, ledger = reading(chain, mute, chain.endpoint("honest"))
    await scanner.check()
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)
    alone, _ = reading(chain, mute)
    with pytest.raises(RpcUnavailable, match="no answer"):
        await alone.next(ledger.state)
    with pytest.raises(RpcUnavailable, match="source shop"):
        await alone.check()


async def test_a_step_that_renews_an_expiry_is_read_as_the_absolute_time() -> None:
    chain = ChainModel()
    chain.mine(mint(1))
    chain.mine([ExpiryUpdated(1, 2_000_000_000)])
    scanner, ledger = reading(chain, using=settings(confirmations=0))
    await ledger.follow(scanner)
    assert ledger.canonical()[-1].event == ExpiryUpdated(1, 2_000_000_000)


async def test_reading_passes_its_fault_points() -> None:
    chain = busy_chain(10)
    scanner, ledger = reading(chain)
    passed: list[str] = []
    faultpoints.arm(passed.append)
    try:
        await scanner.next(ledger.state)
    finally:
        faultpoints.arm(None)
    assert passed == [
        "chain.read.before",
        "chain.tip.before",
        "chain.tip.after",
        "chain.read.after",
    ]
