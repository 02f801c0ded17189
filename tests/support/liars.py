"""Endpoints whose logs are not those that were said, each in a way of its own.

A `Change` is what such an endpoint makes of an honest list of logs; block 7 is where it lies.
"""

from collections.abc import Callable, Sequence

from chainwatch.chain.rpc import RpcError
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import ChainModel, Json, ModelEndpoint, Tamper
from tests.support.ledger import Ledger
from tests.support.reading import reading

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
