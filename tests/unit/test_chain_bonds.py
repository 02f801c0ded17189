"""What a credential carries at its mint: who is asked, who is believed, and when nobody tells."""

from collections.abc import Sequence
from typing import Final

import pytest
from eth_abi.abi import encode

from chainwatch.chain.bonds import Bonds
from chainwatch.chain.profiles.blockhost import TRANSFER
from chainwatch.chain.rpc import RpcError
from chainwatch.chain.wire import RawLog
from chainwatch.domain.batches import Source
from chainwatch.domain.events import END_OF_BLOCK, CredentialLinked, Logged
from chainwatch.errors import NotAChain, RpcUnavailable
from tests.support.chain_model import CONTRACT, ChainModel, ModelEndpoint, ModelPool, Tamper

SHOP: Final = "0x" + "5b" * 20
ALICE: Final = "0x" + "a1" * 20
SOURCE: Final = Source("hosting", 31337, SHOP, 1, "blockhost", CONTRACT)
WORDS: Final = f"chainwatch eip155:31337/erc721:{SHOP}/7".encode()


def carrying(words: bytes) -> Tamper:
    def answer(method: str, _: Sequence[object], result: object) -> object:
        return f"0x{encode(['bytes'], [words]).hex()}" if method == "eth_call" else result

    return answer


def failing(code: int, message: str) -> Tamper:
    def answer(method: str, _: Sequence[object], result: object) -> object:
        if method == "eth_call":
            raise RpcError(code, message)
        return result

    return answer


@pytest.fixture
def chain() -> ChainModel:
    chain = ChainModel()
    chain.zero_is_nobody = True
    chain.mine()
    return chain


def mint(chain: ChainModel, address: str = CONTRACT) -> RawLog:
    words = (bytes(32), bytes.fromhex(ALICE[2:]).rjust(32, b"\0"), (3).to_bytes(32))
    place = (chain.head.number, chain.head.hash, 4, "0x" + "66" * 32)
    return RawLog(address, *place, (TRANSFER, *words), b"")


def link(chain: ChainModel) -> Logged:
    place = (chain.head.number, chain.head.hash, END_OF_BLOCK + 4, "0x" + "66" * 32)
    return Logged(CredentialLinked(7, 3, ALICE), *place)


async def seconded(
    chain: ChainModel, events: Sequence[Logged], lead: ModelEndpoint, *others: ModelEndpoint
) -> None:
    await Bonds(SOURCE).seconded(lead, ModelPool((lead, *others)), [mint(chain)], events)


async def test_what_a_credential_carries_stands_behind_all_logs_of_its_block(
    chain: ChainModel,
) -> None:
    endpoint = chain.endpoint("a", carrying(WORDS))
    assert await Bonds(SOURCE).told(endpoint, [mint(chain)]) == [link(chain)]


async def test_other_words_and_other_contracts_link_nothing(chain: ChainModel) -> None:
    endpoint = chain.endpoint("a", carrying(b"words of another engine"))
    assert await Bonds(SOURCE).told(endpoint, [mint(chain)]) == []
    assert await Bonds(SOURCE).told(endpoint, [mint(chain, SHOP)]) == []
    assert endpoint.asked.count("eth_call") == 1


async def test_a_credential_that_was_burnt_in_its_block_is_linked_with_nothing(
    chain: ChainModel,
) -> None:
    endpoint = chain.endpoint("a", failing(3, "execution reverted"))
    assert await Bonds(SOURCE).told(endpoint, [mint(chain)]) == []


async def test_an_endpoint_without_the_state_is_asked_last_from_then_on(
    chain: ChainModel,
) -> None:
    endpoint = chain.endpoint("pruned", failing(-32000, "missing trie node"))
    with pytest.raises(RpcUnavailable, match=r"credential 3 carries at block 0x.* an archive"):
        await Bonds(SOURCE).told(endpoint, [mint(chain)])
    assert endpoint.distrusted


@pytest.mark.parametrize("lie", [b"", WORDS[:-1] + b"8"])
async def test_two_that_tell_different_leases_are_neither_believed(
    chain: ChainModel, lie: bytes
) -> None:
    lead, other = chain.endpoint("a", carrying(lie)), chain.endpoint("b", carrying(WORDS))
    told = await Bonds(SOURCE).told(lead, [mint(chain)])
    with pytest.raises(NotAChain, match="two endpoints disagree about what credentials carry"):
        await seconded(chain, told, lead, other)


async def test_whoever_is_alone_among_three_is_quarantined(chain: ChainModel) -> None:
    honest = [chain.endpoint(name, carrying(WORDS)) for name in "ab"]
    liar = chain.endpoint("c", carrying(b""))
    await seconded(chain, [link(chain)], honest[0], liar, honest[1])
    assert liar.quarantined
    with pytest.raises(NotAChain):
        await seconded(chain, [], liar, *honest)
    assert len(liar.quarantined) == 2
    assert not any(each.quarantined for each in honest)


async def test_who_is_silent_contradicts_nothing(chain: ChainModel) -> None:
    silent = chain.endpoint("b", failing(-32000, "missing trie node"))
    await seconded(chain, [link(chain)], chain.endpoint("a", carrying(WORDS)), silent)
