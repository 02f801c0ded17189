"""What is made of an endpoint whose logs, blooms and receipts do not say the same."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chainwatch.chain.rpc import RpcError
from chainwatch.chain.settings import SourceSettings, Verify
from chainwatch.domain.batches import Batch
from chainwatch.domain.events import ExpiryUpdated
from chainwatch.errors import NotAChain
from tests.support.chain_model import ChainModel, Json, ModelEndpoint, Tamper
from tests.support.reading import busy_chain, mint, reading, settings


def verifying(mode: Verify, *, max_range: int = 1000) -> SourceSettings:
    return replace(settings(confirmations=0, max_range=max_range), verify=mode)


def _logs(change: object) -> Tamper:
    """Logs as they are after `change` of each answer's list."""

    def tamper(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getLogs" and isinstance(result, list) and callable(change):
            return change(result)
        return result

    return tamper


def _without_last(logs: list[Json]) -> list[Json]:
    return logs[:-1]


def _without_any(_: list[Json]) -> list[Json]:
    return []


def _headers(**fields: str) -> Tamper:
    def tamper(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            return result | fields
        return result

    return tamper


async def test_proven_receipts_give_the_logs_that_the_endpoint_left_out() -> None:
    chain = ChainModel(final_lag=50)
    chain.mine(mint(1))
    chain.mine()
    forgetful = chain.endpoint("forgetful", _logs(_without_any))
    scanner, ledger = reading(chain, forgetful, using=verifying("bloom"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert forgetful.distrusted == ["forgetful left out logs of block 1"]


@pytest.mark.parametrize("final_lag", [0, 5, 50])
@pytest.mark.parametrize("lose", [_without_last, _without_any])
async def test_in_mode_receipts_not_one_log_can_be_left_out(final_lag: int, lose: object) -> None:
    chain = busy_chain(40, every=1)
    chain.final_lag = final_lag
    partial = chain.endpoint("partial", _logs(lose))
    scanner, ledger = reading(chain, partial, using=verifying("receipts"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert partial.distrusted[0].startswith("partial left out logs of block")


@pytest.mark.parametrize("final_lag", [0, 50])
async def test_in_mode_receipts_a_made_up_log_is_dropped(final_lag: int) -> None:
    chain = busy_chain(3, every=1)
    chain.final_lag = final_lag

    def renewed(logs: list[Json]) -> list[Json]:
        return [*logs, logs[-1] | {"logIndex": "0x63"}] if logs else logs

    inventive = chain.endpoint("inventive", _logs(renewed))
    scanner, ledger = reading(chain, inventive, using=verifying("receipts"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert inventive.distrusted[0].startswith("inventive made up logs of block")


@pytest.mark.parametrize("mode", ["bloom", "receipts"])
@pytest.mark.parametrize("final_lag", [0, 50])
async def test_a_log_where_the_bloom_has_none_is_no_chain(mode: Verify, final_lag: int) -> None:
    chain = busy_chain(3, every=1)
    chain.final_lag = final_lag
    empty = chain.endpoint("empty", _headers(logsBloom="0x" + "0" * 512))
    scanner, ledger = reading(chain, empty, using=verifying(mode))
    with pytest.raises(NotAChain, match=r"given for block \d, whose bloom has none"):
        await scanner.next(ledger.state)


async def test_a_chain_that_breaks_its_blooms_is_read_when_they_are_not_asked() -> None:
    chain = busy_chain(30)
    for bloom in ("0" * 512, "f" * 512):
        broken = chain.endpoint("broken", _headers(logsBloom="0x" + bloom))
        scanner, ledger = reading(chain, broken, using=verifying("off"))
        await ledger.follow(scanner)
        assert ledger.canonical() == chain.events()
        assert "eth_getBlockReceipts" not in broken.asked


async def test_mode_bloom_asks_for_no_receipts_while_there_is_no_doubt() -> None:
    chain = busy_chain(30)
    endpoint = chain.endpoint("honest")
    scanner, ledger = reading(chain, endpoint, using=verifying("bloom"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert "eth_getBlockReceipts" not in endpoint.asked


async def test_mode_receipts_asks_only_where_there_are_logs_or_might_be() -> None:
    chain = busy_chain(300, every=100)
    endpoint = chain.endpoint("honest")
    scanner, ledger = reading(chain, endpoint, using=verifying("receipts"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert endpoint.asked.count("eth_getBlockReceipts") == 3


async def test_mode_receipts_links_every_block_below_finality() -> None:
    chain = busy_chain(30, every=7)

    def unlinked(_: str, params: Sequence[object], result: object) -> object:
        if params and params[0] == "0x8" and isinstance(result, dict):
            return result | {"parentHash": "0x" + "00" * 32}
        return result

    scanner, ledger = reading(
        chain, chain.endpoint("unlinked", unlinked), using=verifying("receipts")
    )
    with pytest.raises(NotAChain, match=r"block 8 .* as its parent"):
        await scanner.next(ledger.state)


@pytest.mark.parametrize("mode", ["bloom", "receipts"])
@pytest.mark.parametrize("final_lag", [0, 50])
async def test_a_doubt_that_receipts_cannot_settle_says_what_to_do(
    mode: Verify, final_lag: int
) -> None:
    chain = busy_chain(3, every=1)
    chain.final_lag = final_lag

    def old(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_getBlockReceipts":
            raise RpcError(-32601, "the method does not exist")
        return [] if method == "eth_getLogs" else result

    mute = chain.endpoint("mute", old)
    scanner, ledger = reading(chain, mute, using=verifying(mode))
    with pytest.raises(NotAChain, match=r"neither eth_getBlockReceipts nor .*: use another"):
        await scanner.next(ledger.state)
    scanner, ledger = reading(chain, mute, chain.endpoint("able"), using=verifying(mode))
    step = await scanner.next(ledger.state)
    assert isinstance(step, Batch)
    assert list(step.events) == chain.events()


@pytest.mark.parametrize("mode", ["bloom", "receipts"])
async def test_receipts_that_do_not_add_up_settle_nothing(mode: Verify) -> None:
    chain = busy_chain(3, every=1)
    forged = _headers(receiptsRoot="0x" + "77" * 32)

    def forging(method: str, params: Sequence[object], result: object) -> object:
        return [] if method == "eth_getLogs" else forged(method, params, result)

    scanner, ledger = reading(chain, chain.endpoint("forger", forging), using=verifying(mode))
    with pytest.raises(NotAChain, match="its header says 0x7777"):
        await ledger.follow(scanner)
    assert ledger.canonical() == []


async def test_receipts_are_asked_for_a_few_blocks_at_a_time() -> None:
    chain = busy_chain(40, every=1)
    endpoint = _Counting("counting", chain)
    scanner, ledger = reading(chain, endpoint, using=verifying("receipts"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
    assert max(endpoint.receipts_at_once) == 4


class _Counting(ModelEndpoint):
    """Counts how many blocks' receipts each request wants."""

    def __init__(self, name: str, chain: ChainModel) -> None:
        super().__init__(name, chain)
        self.receipts_at_once: list[int] = []

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object | RpcError]:
        self.receipts_at_once.append(sum(m == "eth_getBlockReceipts" for m, _ in calls))
        return await super().batch(calls)


async def test_a_renewal_is_told_from_receipts_as_from_logs() -> None:
    chain = ChainModel()
    chain.mine(mint(1))
    chain.mine([ExpiryUpdated(1, 2_000_000_000)])
    scanner, ledger = reading(chain, using=verifying("receipts"))
    await ledger.follow(scanner)
    assert ledger.canonical() == chain.events()
