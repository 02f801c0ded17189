"""Receipts, and the root that a header commits to them by, worked out the slow and simple way.

The trie is grown one key at a time as nested lists, as the yellow paper tells it, and encoded by
the kept library `rlp`: nothing here is shared with the code that it judges.
"""

from functools import lru_cache
from typing import TypeAlias

import rlp  # type: ignore[import-untyped]  # it ships no types
from web3 import Web3

Json = dict[str, object]
Node: TypeAlias = bytes | list["Node"]


def receipt(tx_hash: str, place: int, **more: object) -> Json:
    """A successful receipt of a fee-market transaction, without logs as yet."""
    return {
        "type": "0x2",
        "status": "0x1",
        "cumulativeGasUsed": hex(21_000 * (place + 1)),
        "logsBloom": "0x" + "00" * 256,
        "transactionHash": tx_hash,
        "logs": [],
    } | more


def consensus_form(told: Json) -> bytes:
    """A receipt as it is hashed (EIP-2718, EIP-658)."""
    fields: list[object] = [
        _bytes(told["root"]) if "root" in told else _number(told["status"]),
        _number(told["cumulativeGasUsed"]),
        _bytes(told["logsBloom"]),
        [_log(log) for log in _list(told["logs"])],
    ]
    if "depositReceiptVersion" in told:
        fields += [_number(told["depositNonce"]), _number(told["depositReceiptVersion"])]
    kind = _number(told["type"])
    return kind + rlp_encoded(fields)


def receipts_root(told: list[Json]) -> str:
    return "0x" + trie_root(tuple(consensus_form(each) for each in told)).hex()


def rlp_encoded(value: object) -> bytes:
    return bytes(rlp.encode(value))


@lru_cache(maxsize=4096)
def trie_root(values: tuple[bytes, ...]) -> bytes:
    """The root over a list of values, each under its place."""
    if not values:
        return _hash(b"")
    nibbles = [rlp_encoded(place).hex() for place in range(len(values))]
    tree = _grown(dict(zip(nibbles, values, strict=True)))
    return _hash(tree)


def _grown(below: dict[str, bytes]) -> Node:
    """The node over what lies below; keys are the hex digits that are left."""
    keys = sorted(below)
    if len(keys) == 1:
        return [_packed(keys[0], "23"), below[keys[0]]]
    length = next(i for i in range(len(keys[0])) if keys[0][i] != keys[-1][i])
    if length:
        rest = {key[length:]: value for key, value in below.items()}
        return [_packed(keys[0][:length], "01"), _reference(_grown(rest))]
    branch: list[Node] = []
    for digit in "0123456789abcdef":
        rest = {key[1:]: value for key, value in below.items() if key[0] == digit}
        branch.append(_reference(_grown(rest)) if rest else b"")
    return [*branch, b""]


def _packed(digits: str, marks: str) -> bytes:
    """Hex digits behind the mark for an even, or an odd, number of them."""
    return bytes.fromhex(f"{marks[1]}{digits}" if len(digits) % 2 else f"{marks[0]}0{digits}")


def _reference(node: Node) -> Node:
    return node if len(rlp_encoded(node)) < 32 else _hash(node)


def _hash(node: Node) -> bytes:
    return bytes(Web3.keccak(rlp_encoded(node)))


def _log(log: object) -> list[object]:
    assert isinstance(log, dict)
    return [_bytes(log["address"]), [_bytes(t) for t in _list(log["topics"])], _bytes(log["data"])]


def _bytes(value: object) -> bytes:
    return bytes.fromhex(str(value).removeprefix("0x"))


def _number(value: object) -> bytes:
    number = int(str(value), 16)
    return number.to_bytes((number.bit_length() + 7) // 8)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
