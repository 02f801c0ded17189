"""What the scanner makes of a chain that grows: every event, in steps of bearable size."""

from collections.abc import Sequence

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.domain.batches import Batch
from chainwatch.domain.events import ExpiryUpdated
from chainwatch.errors import Fatal, RpcUnavailable
from provisioner import faultpoints
from tests.support.chain_model import CONTRACT, ChainModel, RawEvent
from tests.support.ledger import Ledger
from tests.support.reading import busy_chain, mint, reading, settings


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
    assert scanner.take_unread() == ()


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
    assert asked[:5] == [32, 16, 8, 4, 5]


async def test_a_provider_that_refuses_even_one_block_is_unavailable_in_its_own_words() -> None:
    chain = busy_chain(20)

    def stubborn(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs":
            raise RpcError(-32000, "the archive is on holiday")
        return result

    scanner, ledger = reading(chain, chain.endpoint("stubborn", stubborn))
    with pytest.raises(RpcUnavailable, match="archive is on holiday"):
        await ledger.follow(scanner)


async def test_unknown_and_malformed_logs_are_reported_and_stop_nothing() -> None:
    chain = ChainModel()
    chain.mine([RawEvent(("0x" + "12" * 32,)), *mint(1)])
    transfer = mint(1)[0]
    chain.mine([transfer, RawEvent(())])
    scanner, ledger = reading(chain, using=settings(confirmations=0))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    foreign, nameless = scanner.take_unread()
    assert (foreign.kind, foreign.count, nameless.kind) == ("0x" + "12" * 32, 1, "no topic")
    assert [(each.last.block, each.last.log_index) for each in (foreign, nameless)] == [
        (1, 0),
        (2, 1),
    ]
    assert "its topic is none of profile lease" in foreign.last.reason
    assert scanner.take_unread() == ()


async def test_the_wrong_chain_is_refused_with_both_ids() -> None:
    scanner, _ = reading(ChainModel(chain_id=1))
    with pytest.raises(Fatal, match=r"serves chain 1, but source shop .* chain 31337"):
        await scanner.check()


async def test_an_address_without_code_is_refused() -> None:
    empty = ChainModel(contract="0x" + "dd" * 20)
    scanner, _ = reading(empty)
    with pytest.raises(Fatal, match=f"no contract at {CONTRACT} on chain 31337"):
        await scanner.check()


@pytest.mark.parametrize(
    "stranger", [ChainModel(chain_id=1), ChainModel(contract="0x" + "dd" * 20)]
)
async def test_one_wrong_endpoint_is_distrusted_and_stops_nothing_while_another_is_right(
    stranger: ChainModel,
) -> None:
    stray, good = stranger.endpoint("stray"), ChainModel().endpoint("good")
    for endpoints in ((stray, good), (good, stray)):
        scanner, _ = reading(ChainModel(), *endpoints)
        await scanner.check()
    assert len(stray.distrusted) == 2
    assert "source shop" in stray.distrusted[0]
    assert good.distrusted == []


async def test_a_wrong_endpoint_is_fatal_when_those_that_could_be_right_are_silent() -> None:
    def silent(_: str, __: Sequence[object], ___: object) -> object:
        raise RpcUnavailable("silent: no answer")

    mute, stray = ChainModel().endpoint("mute", silent), ChainModel(chain_id=1).endpoint("stray")
    scanner, _ = reading(ChainModel(), mute, stray)
    with pytest.raises(Fatal, match="serves chain 1"):
        await scanner.check()


async def test_a_right_chain_with_our_contract_passes() -> None:
    scanner, _ = reading(ChainModel())
    await scanner.check()


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


async def test_a_node_that_is_still_syncing_is_not_believed_and_another_one_is_asked() -> None:
    chain, late = busy_chain(40), busy_chain(20)
    late.syncing = True
    scanner, ledger = reading(chain, late.endpoint("late"))
    with pytest.raises(RpcUnavailable, match="late is still syncing"):
        await scanner.next(ledger.state)
    with pytest.raises(RpcUnavailable, match="late is still syncing"):
        await scanner.check()
    scanner, _ = reading(chain, late.endpoint("late"), chain.endpoint("good"), ledger=ledger)
    await scanner.check()
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(38)
    late.syncing = False
    for _ in range(20):
        late.mine()
    scanner, _ = reading(late, ledger=Ledger())
    assert isinstance(await scanner.next(Ledger().state), Batch)


@pytest.mark.parametrize(("code", "believed"), [(-32601, True), (-32004, True), (-32005, False)])
async def test_a_node_that_does_not_offer_to_tell_whether_it_syncs_counts_as_synced(
    code: int, believed: bool
) -> None:
    chain = busy_chain(30)

    def tight_lipped(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_syncing":
            raise RpcError(code, "not here")
        return result

    scanner, ledger = reading(chain, chain.endpoint("tight-lipped", tight_lipped))
    if believed:
        await ledger.follow(scanner)
        assert ledger.caught_up
        return
    with pytest.raises(RpcUnavailable, match="not here"):
        await scanner.next(ledger.state)


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
