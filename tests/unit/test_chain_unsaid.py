"""Expiries that no log says: who is asked, who is believed, and what happens when nobody tells."""

from collections.abc import Sequence

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.profiles.signatures import topic
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.scanner import Scanner
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import Source
from chainwatch.domain.events import END_OF_BLOCK, ZERO_ADDRESS, ExpiryUpdated, Transferred
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel, ModelEndpoint, ModelPool, RawEvent
from tests.support.ledger import Ledger

ALICE = "0x" + "a1" * 20
UNTIL = 1_800_000_000
SETTINGS = SourceSettings(
    Source("lock", 31337, CONTRACT, 1, "unlock"), (), (), 0, "finalized", 1, 60, 1000, 5
)


def sold(token: int = 1) -> ChainModel:
    """A chain on which a token was sold; that it ends at `UNTIL` is said in words of no lock."""
    chain = ChainModel()
    chain.mine([Transferred(token, ZERO_ADDRESS, ALICE), ExpiryUpdated(token, UNTIL)])
    return chain


def scanner(*endpoints: ModelEndpoint) -> tuple[Scanner, Ledger]:
    ledger = Ledger()
    return Scanner(SETTINGS, ModelPool(endpoints), profiles.get("unlock"), ledger), ledger


def pruned(method: str, _: Sequence[object], result: object) -> object:
    """What a node says that keeps no old states."""
    if method == "eth_call":
        raise RpcError(-32000, "missing trie node")
    return result


def lies(method: str, _: Sequence[object], result: object) -> object:
    return f"0x{UNTIL + 1:064x}" if method == "eth_call" else result


async def test_what_the_state_says_of_a_mint_stands_behind_all_logs_of_its_block() -> None:
    chain = sold()
    read, ledger = scanner(chain.endpoint("a"))
    await ledger.follow(read)
    mint, told = ledger.canonical()
    assert mint.event == Transferred(1, ZERO_ADDRESS, ALICE)
    assert told.event == ExpiryUpdated(1, UNTIL)
    assert (mint.by_log, told.by_log) == (True, False)
    assert told.log_index == END_OF_BLOCK + mint.log_index
    assert (told.block_hash, told.tx_hash) == (mint.block_hash, mint.tx_hash)


async def test_a_token_is_asked_for_once_in_a_block_and_again_in_the_next() -> None:
    chain, end = sold(), (f"0x{topic('ExpireKey(uint256)').hex()}", f"0x{1:064x}")
    chain.mine([RawEvent(end), RawEvent(end), ExpiryUpdated(1, UNTIL - 9)])
    endpoint = chain.endpoint("a")
    read, ledger = scanner(endpoint)
    await ledger.follow(read)
    told = [each for each in ledger.canonical() if not each.by_log]
    assert [each.event for each in told] == [ExpiryUpdated(1, UNTIL), ExpiryUpdated(1, UNTIL - 9)]
    assert told[1].log_index == END_OF_BLOCK + 1
    assert endpoint.asked.count("eth_call") == 2


async def test_a_reorg_takes_back_what_was_told_of_its_blocks() -> None:
    chain = sold()
    read, ledger = scanner(chain.endpoint("a"))
    await ledger.follow(read)
    chain.drop(1)
    chain.mine([Transferred(1, ZERO_ADDRESS, ALICE), ExpiryUpdated(1, UNTIL + 77)])
    chain.mine()
    await ledger.follow(read)
    assert [each.event for each in ledger.canonical() if not each.by_log] == [
        ExpiryUpdated(1, UNTIL + 77)
    ]


async def test_an_endpoint_without_the_state_is_passed_over() -> None:
    chain = sold()
    first = chain.endpoint("pruned", pruned)
    read, ledger = scanner(first, chain.endpoint("archive"))
    await ledger.follow(read)
    assert "does not tell the expiry of lease 1" in first.distrusted[0]
    assert ledger.canonical()[-1].event == ExpiryUpdated(1, UNTIL)


async def test_where_nobody_has_the_state_nothing_is_read_and_the_reason_says_what_to_do() -> None:
    chain = sold()
    read, ledger = scanner(chain.endpoint("a", pruned), chain.endpoint("b", pruned))
    with pytest.raises(RpcUnavailable, match=r"expiry of lease 1 at block 0x.* an archive"):
        await ledger.follow(read)
    assert ledger.canonical() == []


async def test_two_that_tell_different_expiries_are_neither_believed() -> None:
    chain = sold()
    read, ledger = scanner(chain.endpoint("a", lies), chain.endpoint("b"))
    with pytest.raises(NotAChain, match=f"a says {UNTIL + 1}, b says {UNTIL}"):
        await ledger.follow(read)
    assert ledger.canonical() == []


@pytest.mark.parametrize("place", [0, 1])
async def test_of_three_the_one_that_is_alone_with_an_expiry_is_quarantined(place: int) -> None:
    chain = sold()
    endpoints = [chain.endpoint(name) for name in "abc"]
    endpoints[place].tamper = lies
    read, ledger = scanner(*endpoints)
    try:
        await ledger.follow(read)
    except NotAChain:
        await ledger.follow(read)
    assert ledger.canonical()[-1].event == ExpiryUpdated(1, UNTIL)
    assert [bool(each.quarantined) for each in endpoints] == [n == place for n in range(3)]


async def test_a_second_one_that_is_silent_contradicts_nothing() -> None:
    chain = sold()
    read, ledger = scanner(chain.endpoint("a"), chain.endpoint("b", pruned))
    await ledger.follow(read)
    assert ledger.canonical()[-1].event == ExpiryUpdated(1, UNTIL)


async def test_what_becomes_final_is_compared_without_what_no_log_says() -> None:
    chain = sold()
    endpoints = chain.endpoint("a"), chain.endpoint("b")
    read, ledger = scanner(*endpoints)
    await ledger.follow(read)
    for _ in range(chain.final_lag + 3):
        chain.mine()
        await ledger.follow(read)
    assert ledger.state.final is not None
    assert ledger.state.final.number > 1
    assert len(ledger.canonical()) == 2
    assert not any(each.quarantined or each.distrusted for each in endpoints)


async def test_no_node_can_put_a_log_behind_all_logs() -> None:
    chain = sold()

    def far(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs" and isinstance(result, list):
            return [{**each, "logIndex": hex(END_OF_BLOCK)} for each in result]
        return result

    read, ledger = scanner(chain.endpoint("a", far))
    with pytest.raises(NotAChain, match="believable log index"):
        await ledger.follow(read)
