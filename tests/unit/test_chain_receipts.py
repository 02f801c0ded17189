"""Receipts and the root that they must add up to, judged by a trie grown another way."""

from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwatch.chain import rlp
from chainwatch.chain.receipts import logs_in
from chainwatch.chain.trie import ordered_root
from chainwatch.chain.wire import Header, RawLog
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain
from tests.support.chain_model import CONTRACT
from tests.support.receipts_model import Json, receipt, receipts_root, rlp_encoded, trie_root

OTHER = "0x" + "0b" * 20
BLOCK = Block(7, "0x" + "b7" * 32, "0x" + "b6" * 32, 1_700_000_000)

Nested = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=8))


def header(told: list[Json]) -> Header:
    return Header(BLOCK, 0, receipts_root(told))


def log(address: str, *topics: str, data: str = "0x") -> Json:
    return {"address": address, "topics": list(topics), "data": data}


def tx(number: int) -> str:
    return f"0x{number:064x}"


def block_of(*addresses: tuple[str, ...]) -> list[Json]:
    """A block with a transaction for each tuple, and in it a log for each address."""
    return [
        receipt(tx(place), place, logs=[log(each, tx(1), data="0x1234") for each in said])
        for place, said in enumerate(addresses)
    ]


@given(Nested)
def test_nested_strings_are_encoded_as_the_kept_library_encodes_them(value: object) -> None:
    def ours(value: object) -> bytes:
        if isinstance(value, bytes):
            return rlp.string(value)
        assert isinstance(value, list)
        return rlp.array([ours(each) for each in value])

    assert ours(value) == rlp_encoded(value)


@given(st.integers(0, 2**256 - 1))
def test_numbers_are_encoded_without_leading_zeros(value: int) -> None:
    assert rlp.number(value) == rlp_encoded(value)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=40))
def test_the_root_of_a_list_is_that_of_a_trie_grown_key_by_key(values: list[bytes]) -> None:
    assert ordered_root(values) == trie_root(tuple(values))


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 127, 128, 129, 130, 200, 256, 257, 1000])
def test_the_root_holds_where_the_keys_grow_longer(count: int) -> None:
    for values in ([bytes([i % 251 + 1]) * 90 for i in range(count)], [b"x"] * count):
        assert ordered_root(values) == trie_root(tuple(values))


def test_a_block_without_transactions_has_the_root_that_every_empty_block_has() -> None:
    # yellow paper, 4.3.2: the root of the empty trie, in the header of every empty block
    known = "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert ordered_root([]).hex() == known


def test_logs_are_ours_alone_and_stand_where_the_block_has_them() -> None:
    told = block_of((OTHER, CONTRACT), (), (CONTRACT, OTHER, CONTRACT))
    assert logs_in(told, header(told), CONTRACT) == [
        RawLog(CONTRACT, 7, BLOCK.hash, place, tx(number), (bytes.fromhex(tx(1)[2:]),), b"\x12\x34")
        for place, number in ((1, 0), (2, 2), (4, 2))
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"type": "0x0"},
        {"type": "0x1"},
        {"type": "0x3"},
        {"type": "0x4"},
        {"type": "0x64"},
        {"type": "0x7f"},
        {"status": "0x0"},
        {"type": "0x7e"},
        {"type": "0x7e", "depositNonce": "0x1b", "depositReceiptVersion": "0x1"},
    ],
)
def test_receipts_of_every_type_add_up(more: Json) -> None:
    told = [*block_of((CONTRACT,)), receipt(tx(1), 1, **more)]
    assert receipts_root(told) != receipts_root(block_of((CONTRACT,), ()))
    assert len(logs_in(told, header(told), CONTRACT)) == 1


def test_a_deposit_from_before_its_nonce_was_hashed_adds_up_without_it() -> None:
    told = [receipt(tx(0), 0, type="0x7e")]
    with_nonce = [told[0] | {"depositNonce": "0x5", "depositReceiptVersion": None}]
    assert logs_in(with_nonce, header(told), CONTRACT) == []


def test_a_deposit_adds_up_to_the_root_that_a_node_of_that_family_made() -> None:
    # from anvil 1.7.1 --network optimism: a block with one transaction of type 0x7e
    told = receipt(
        "0x2bf19c9f8cf3f5aee124ffbf125598465ce00f9681e05328c18e7f5c80a01671",
        0,
        type="0x7E",
        depositNonce="0x1",
        depositReceiptVersion="0x1",
    )
    root = "0xdbfba0cf1914b3c1e4a90affb3805a438411c3a55a04b59f649ae1cf4c487a79"
    assert logs_in([told], Header(BLOCK, 0, root), CONTRACT) == []


def test_a_receipt_from_before_byzantium_holds_the_states_root() -> None:
    old = receipt(tx(0), 0, type="0x0", root=tx(99))
    del old["status"]
    assert logs_in([old], header([old]), CONTRACT) == []
    untyped = {key: value for key, value in old.items() if key != "type"}
    assert logs_in([untyped], header([old]), CONTRACT) == []


def _without_the_log(told: list[Json]) -> None:
    told[1]["logs"] = []


def _without_the_receipt(told: list[Json]) -> None:
    del told[1]


def _with_another_log(told: list[Json]) -> None:
    told[0]["logs"] = [log(CONTRACT, tx(1))]


def _with_other_data(told: list[Json]) -> None:
    told[1]["logs"] = [log(CONTRACT, tx(1), data="0x1235")]


def _in_another_order(told: list[Json]) -> None:
    told.reverse()


def _of_another_contract(told: list[Json]) -> None:
    told[1]["logs"] = [log(OTHER, tx(1), data="0x1234")]


def _failed(told: list[Json]) -> None:
    told[1]["status"] = "0x0"


def _of_another_type(told: list[Json]) -> None:
    told[1]["type"] = "0x1"


@pytest.mark.parametrize(
    "forge",
    [
        _without_the_log,
        _without_the_receipt,
        _with_another_log,
        _with_other_data,
        _in_another_order,
        _of_another_contract,
        _failed,
        _of_another_type,
    ],
)
def test_receipts_with_anything_changed_do_not_add_up(forge: object) -> None:
    told = block_of((), (CONTRACT,), ())
    honest = header(told)
    forged = deepcopy(told)
    assert callable(forge)
    forge(forged)
    with pytest.raises(NotAChain, match="the receipts of block 7 add up to 0x"):
        logs_in(forged, honest, CONTRACT)


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "0x",
        {},
        [None],
        [7],
        [{}],
        [{"logs": None}],
        [{"logs": [7]}],
        [{"logs": [{"address": "0x", "topics": "0x", "data": "0x"}]}],
        [receipt(tx(0), 0, type="0x80")],
        [receipt(tx(0), 0, type="legacy")],
        [receipt(tx(0), 0, status=None)],
        [receipt(tx(0), 0, cumulativeGasUsed=None)],
        [receipt(tx(0), 0, logsBloom=None)],
        [receipt(tx(0), 0, type="0x7e", depositReceiptVersion="0x1")],
        [receipt(None, 0, logs=[log(CONTRACT)])],  # type: ignore[arg-type]  # what a node may say
    ],
)
def test_nonsense_is_no_receipt(nonsense: object) -> None:
    with pytest.raises(NotAChain):
        logs_in(nonsense, header([]), CONTRACT)
