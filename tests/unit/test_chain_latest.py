"""The last question before a destroy: what counts as an answer."""

from collections.abc import Sequence

import pytest

from chainwatch.chain import profiles
from chainwatch.chain.latest import LatestReader
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.settings import SourceSettings
from chainwatch.domain.batches import LatestLease, Source
from chainwatch.domain.events import ZERO_ADDRESS, ExpiryUpdated, Transferred
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel, ModelEndpoint, ModelPool, Tamper, minted
from tests.support.doubts import telling

OWNER = "0x" + "a1" * 20
OTHER = "0x" + "b2" * 20
SETTINGS = SourceSettings(
    Source("shop", 31337, CONTRACT, 1, "lease"), (), (), 2, "finalized", 1, 60, 1000, 5
)


def reader(*endpoints: ModelEndpoint) -> LatestReader:
    return LatestReader(SETTINGS, ModelPool(endpoints), profiles.get("lease"))


def sold() -> ChainModel:
    chain = ChainModel()
    chain.mine(minted(1, OWNER, plan=1, expires_at=1_800_000_000))
    return chain


async def test_the_lease_is_told_as_of_the_very_last_block() -> None:
    chain = sold()
    cursor = chain.head
    chain.mine([ExpiryUpdated(1, 1_900_000_000)])
    lease = await reader(chain.endpoint("a")).lease_at_latest(1, cursor)
    assert lease == LatestLease(2, chain.head.timestamp, OWNER, 1_900_000_000)


async def test_a_burnt_token_and_one_never_minted_have_no_owner() -> None:
    chain = sold()
    chain.mine([Transferred(1, OWNER, ZERO_ADDRESS)])
    for token in (1, 2**256 - 1):
        lease = await reader(chain.endpoint("a")).lease_at_latest(token, chain.head)
        assert lease == LatestLease(2, chain.head.timestamp, None, 0)


async def test_an_endpoint_that_has_not_reached_our_block_is_no_answer() -> None:
    chain, late = sold(), sold()
    chain.mine()
    with pytest.raises(RpcUnavailable, match="has not reached block 2"):
        await reader(late.endpoint("late")).lease_at_latest(1, chain.head)


async def test_an_endpoint_that_is_still_syncing_is_no_answer() -> None:
    chain = sold()
    chain.syncing = True
    with pytest.raises(RpcUnavailable, match="still syncing"):
        await reader(chain.endpoint("late")).lease_at_latest(1, chain.head)


async def test_an_endpoint_on_another_fork_is_no_answer() -> None:
    chain = sold()
    ours = chain.mine()
    chain.reorg(1)
    chain.mine()
    with pytest.raises(RpcUnavailable, match=f"its block 2 is not {ours.hash}"):
        await reader(chain.endpoint("fork")).lease_at_latest(1, ours)


async def test_two_endpoints_that_disagree_are_no_answer() -> None:
    chain, behind = sold(), sold()
    cursor = chain.head
    chain.mine([ExpiryUpdated(1, 1_900_000_000)])
    both = reader(chain.endpoint("a"), behind.endpoint("b"))
    with pytest.raises(NotAChain, match=r"disagree about lease 1: a at block .*; b at block"):
        await both.lease_at_latest(1, cursor)


@pytest.mark.parametrize("place", [0, 1])
async def test_of_three_the_one_that_lies_about_a_lease_is_quarantined_and_then_not_asked(
    place: int,
) -> None:
    chain = sold()
    liar = chain.endpoint("liar", telling("eth_call", OWNER[2:], OTHER[2:]))
    endpoints = [chain.endpoint("a"), chain.endpoint("b")]
    endpoints.insert(place, liar)
    three = reader(*endpoints)
    with pytest.raises(NotAChain, match="disagree about lease 1"):
        await three.lease_at_latest(1, chain.head)
    (why,) = liar.quarantined
    assert why.startswith("liar tells another owner or expiry of lease 1 than two others at block")
    assert (await three.lease_at_latest(1, chain.head)).owner == OWNER
    assert [each.quarantined for each in endpoints if each is not liar] == [[], []]


async def test_whoever_is_only_ahead_of_the_others_is_not_quarantined() -> None:
    chain, behind = sold(), sold()
    cursor = chain.head
    chain.mine([ExpiryUpdated(1, 1_900_000_000)])
    endpoints = chain.endpoint("a"), behind.endpoint("b"), behind.endpoint("c")
    with pytest.raises(NotAChain, match="disagree about lease 1"):
        await reader(*endpoints).lease_at_latest(1, cursor)
    assert [each.quarantined for each in endpoints] == [[], [], []]


async def test_of_two_that_tell_otherwise_of_one_block_nobody_is_quarantined() -> None:
    chain = sold()
    liar = chain.endpoint("liar", telling("eth_call", OWNER[2:], OTHER[2:]))
    honest = chain.endpoint("honest")
    with pytest.raises(NotAChain, match="disagree about lease 1"):
        await reader(honest, liar).lease_at_latest(1, chain.head)
    assert honest.quarantined == liar.quarantined == []


async def test_two_endpoints_that_agree_answer_with_the_earlier_time() -> None:
    chain, behind = sold(), sold()
    cursor = chain.head
    chain.mine()
    for endpoints in (
        (behind.endpoint("b"), chain.endpoint("a")),
        (chain.endpoint("a"), behind.endpoint("b")),
    ):
        lease = await reader(*endpoints).lease_at_latest(1, cursor)
        assert lease == LatestLease(1, cursor.timestamp, OWNER, 1_800_000_000)


async def test_where_there_are_two_endpoints_one_answer_is_not_enough() -> None:
    chain = sold()

    def silent(_: str, __: Sequence[object], ___: object) -> object:
        raise RpcUnavailable("connection refused")

    half = reader(chain.endpoint("a"), chain.endpoint("b", silent))
    with pytest.raises(RpcUnavailable, match=r"1 of 2 endpoints .* connection refused"):
        await half.lease_at_latest(1, chain.head)


async def test_one_answer_is_not_enough_while_the_other_endpoint_is_in_quarantine() -> None:
    chain = sold()
    bad = chain.endpoint("bad")
    bad.quarantine("it was wrong before")
    half = reader(chain.endpoint("a"), bad)
    with pytest.raises(RpcUnavailable, match="1 of 2 endpoints told lease 1: bad: quarantined"):
        await half.lease_at_latest(1, chain.head)


async def test_a_third_endpoint_stands_in_for_one_that_fails() -> None:
    chain = sold()

    def silent(_: str, __: Sequence[object], ___: object) -> object:
        raise RpcUnavailable("connection refused")

    three = reader(chain.endpoint("a", silent), chain.endpoint("b"), chain.endpoint("c"))
    assert (await three.lease_at_latest(1, chain.head)).owner == OWNER


def _reverting(data: str) -> Tamper:
    def revert(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_call":
            raise RpcError(3, "execution reverted", data)
        return result

    return revert


def _answering(answer: object) -> Tamper:
    return lambda method, _, result: answer if method == "eth_call" else result


def _one_missing(method: str, params: Sequence[object], result: object) -> object:
    """The owner is told; asking for the expiry reverts as if there were no token."""
    match method, params:
        case "eth_call", [{"data": str(data)}, _] if data.startswith(
            profiles.get("lease").expiry_call(1)[:10]
        ):
            raise RpcError(3, "execution reverted", f"0x7e273289{1:064x}")
    return result


def _another_chain(method: str, _: Sequence[object], result: object) -> object:
    return "0x1" if method == "eth_chainId" else result


@pytest.mark.parametrize(
    "tamper",
    [
        _reverting(""),
        _reverting("0x"),
        _reverting(f"0x7e273289{2:064x}"),
        _reverting("0x08c379a0"),
        _answering("0x"),
        _answering(None),
        _answering("0x" + "0" * 64),
        _answering("0x" + "f" * 64),
        _answering("0x" + "1" * 63),
        _one_missing,
        _another_chain,
    ],
)
async def test_whatever_is_not_clearly_an_answer_is_an_error(tamper: Tamper) -> None:
    chain = sold()
    with pytest.raises((RpcUnavailable, NotAChain)):
        await reader(chain.endpoint("a", tamper)).lease_at_latest(1, chain.head)
