"""Nodes whose answers do not fit together: nothing they say becomes news."""

from collections.abc import Sequence

import pytest

from chainwatch.domain.batches import Batch, Rewind
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel
from tests.support.reading import busy_chain, reading, settings


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


@pytest.mark.parametrize("field", ["number", "timestamp", "logIndex"])
async def test_a_number_that_no_store_can_hold_is_no_chain(field: str) -> None:
    chain = busy_chain(10, every=2)

    def boasting(method: str, params: Sequence[object], result: object) -> object:
        if method == "eth_getLogs" and isinstance(result, list) and field == "logIndex":
            return [log | {field: hex(2**63)} for log in result[:1]]
        if params and params[0] == "latest" and isinstance(result, dict):
            return result | ({field: hex(2**63)} if field in result else {})
        return result

    scanner, ledger = reading(chain, chain.endpoint("boaster", boasting))
    with pytest.raises(NotAChain, match="believable"):
        await scanner.next(ledger.state)


async def test_a_head_that_lied_once_is_corrected_by_the_next_answer() -> None:
    chain = busy_chain(30)
    lies = [10**9]

    def boasting(_: str, params: Sequence[object], result: object) -> object:
        if lies and params and params[0] == "latest" and isinstance(result, dict):
            return result | {"number": hex(lies.pop())}
        return result

    scanner, ledger = reading(chain, chain.endpoint("boaster", boasting))
    ledger.apply(_batch(await scanner.next(ledger.state)))
    assert ledger.state.head == 10**9
    ledger.apply(_batch(await scanner.next(ledger.state)))
    assert ledger.state.head == 30


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
@pytest.mark.parametrize(
    "method", ["eth_syncing", "eth_chainId", "eth_getBlockByNumber", "eth_getLogs"]
)
async def test_nonsense_is_never_news(method: str, nonsense: object) -> None:
    chain = busy_chain(30, every=5)

    def babbling(asked: str, _: Sequence[object], result: object) -> object:
        return nonsense if asked == method else result

    scanner, ledger = reading(chain, chain.endpoint("babbler", babbling))
    with pytest.raises((NotAChain, RpcUnavailable)):
        await scanner.next(ledger.state)


async def test_an_endpoint_that_changes_to_another_chain_later_is_passed_over() -> None:
    chain, stranger = busy_chain(30), ChainModel(chain_id=1)
    changed = stranger.endpoint("changed")
    scanner, ledger = reading(chain, changed, chain.endpoint("honest"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events(28)
    assert "now serves chain 1" in changed.distrusted[0]
    assert changed.head is None, "nobody lags behind the head of another chain"
