"""Whether the code on a chain is what the committed artifact makes.

The creation code holds the runtime code whole, and says itself where: its last instructions copy
it, and put in the one immutable, the contract that makes the pictures. That one is made by the
constructor, so its address follows from the lease contract's, and its own code stands in the
creation code too; both are compared byte for byte. The constructor's arguments only give roles:
they stand in the transaction that made the contract, and are read from it where it is named.
What differs is told by its place; where it is the immutable alone, or where another compiler's
metadata stands at the end (this version's code carries none), that is said.
How it fails: another compiler's creation code ends otherwise, and that is told as our own fault.
"""

import re
from dataclasses import dataclass
from typing import Final

from eth_abi.abi import decode

from chainwatch import artifacts
from chainwatch.chain import rlp
from chainwatch.chain.ethereum import keccak
from chainwatch.chain.wallet.chain import Chain
from chainwatch.chain.wire import raw_bytes
from chainwatch.errors import Fatal, OperatorError

#: length, place, CODECOPY; place of the immutable, MSTORE; RETURN, INVALID.
_WITH_IMMUTABLE: Final = re.compile(
    rb"\x61(..)\x61(..)\x5f\x39\x5f\x61(..)\x01\x52\x61\1\x5f\xf3\xfe", re.DOTALL
)
_PLAIN: Final = re.compile(rb"\x61(..)\x80\x61(..)\x5f\x39\x5f\xf3\xfe", re.DOTALL)
_ADDRESS_WORD: Final = 32
#: CBOR: the text `solc`, and three bytes with its version.
_COMPILER: Final = re.compile(rb"\x64solc\x43(...)", re.DOTALL)
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_MOST_METADATA: Final = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """The runtime code of a contract and of its pictures, for one address.

    `hole` is where the immutable stands in the code: the word with the address of the pictures.
    """

    code: bytes
    hole: int
    art_address: str
    art_code: bytes


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was compared: sentences about what differs, none where all is as it should be."""

    code_hash: str
    art_address: str
    wrong: tuple[str, ...]
    roles: dict[str, str]
    constructor_words: str


def expected(address: str) -> Expected:
    """Return what must stand at an address. Raises `Fatal` for an artifact of an unknown shape."""
    creation = bytes.fromhex(artifacts.load("Lease").bytecode.removeprefix("0x"))
    main = _WITH_IMMUTABLE.search(creation)
    if main is None:
        raise Fatal("the committed contract is not formed as this program knows: it can't compare")
    length, start, hole = (int.from_bytes(main[group]) for group in (1, 2, 3))
    code = bytearray(creation[start : start + length])
    art_address = made_by(address, 1)
    code[hole : hole + _ADDRESS_WORD] = bytes.fromhex(art_address[2:]).rjust(_ADDRESS_WORD, b"\0")
    rest = creation[start + length :]
    art = _PLAIN.search(rest)
    if len(code) != length or art is None:
        raise Fatal("the committed contract is not formed as this program knows: it can't compare")
    begin, size = int.from_bytes(art[2]), int.from_bytes(art[1])
    offset = art.end() - begin
    return Expected(bytes(code), hole, art_address, rest[offset + begin : offset + begin + size])


def made_by(creator: str, nonce: int) -> str:
    """The address of the contract that an account makes with a nonce."""
    words = rlp.array([rlp.string(bytes.fromhex(creator[2:])), rlp.number(nonce)])
    return f"0x{keccak(words)[12:].hex()}"


async def verified(chain: Chain, address: str, transaction: str | None) -> Verdict:
    """Compare what stands at an address, and who was given the roles when it was made."""
    wanted = expected(address)
    code, art = await chain.code(address), await chain.code(wanted.art_address)
    if not code:
        raise OperatorError(f"there is no contract at {address} on chain {chain.chain_id}")
    wrong = []
    if code != wanted.code:
        wrong.append(f"the code at {address} {_difference(code, wanted)}")
    if art != wanted.art_code:
        where = f"the code of its pictures, at {wanted.art_address},"
        wrong.append(f"{where} is another: {_place(art, wanted.art_code)}")
    roles: dict[str, str] = {}
    words = ""
    if transaction is not None:
        roles, words, complaint = await _creation(chain, address, transaction)
        wrong += complaint
    hashed = f"0x{keccak(code).hex()}"
    return Verdict(hashed, wanted.art_address, tuple(wrong), roles, words)


def _difference(code: bytes, wanted: Expected) -> str:
    """Say how the code is another than it should be."""
    end = wanted.hole + _ADDRESS_WORD
    if code[: wanted.hole] + code[end:] == wanted.code[: wanted.hole] + wanted.code[end:]:
        other = f"0x{code[wanted.hole : end][12:].hex()}"
        return f"has its pictures drawn by {other}, which is not the contract that it made itself"
    said = _place(code, wanted.code)
    if (compiler := _metadata(code)) is not None:
        said += f"; it ends in the metadata of {compiler}, and this version's carries none"
    return f"is another than that of this version's contract: {said}"


def _place(code: bytes, wanted: bytes) -> str:
    if len(code) != len(wanted):
        return f"it has {len(code)} bytes instead of {len(wanted)}"
    differing = [place for place in range(len(code)) if code[place] != wanted[place]]
    return f"{len(differing)} of its {len(code)} bytes differ, the first is byte {differing[0]}"


def _metadata(code: bytes) -> str | None:
    """The compiler that the metadata at the end of a code names; None where there is none."""
    length = int.from_bytes(code[-2:])
    found = _COMPILER.search(code[-2 - length : -2]) if 0 < length <= _MOST_METADATA else None
    return None if found is None else f"solc {'.'.join(map(str, found[1]))}"


async def _creation(
    chain: Chain, address: str, transaction: str
) -> tuple[dict[str, str], str, list[str]]:
    """Read the constructor's arguments out of the transaction that made the contract."""
    if not _HASH.fullmatch(transaction):
        raise OperatorError(
            f"--transaction {transaction[:70]!r} is no hash: 0x and 64 hexadecimal digits"
        )
    receipt = await chain.rpc.call("eth_getTransactionReceipt", transaction)
    sent = await chain.rpc.call("eth_getTransactionByHash", transaction)
    match receipt, sent:
        case {"contractAddress": str(made)}, {"input": str(data)} if made.lower() == address:
            pass
        case _:
            raise OperatorError(f"{transaction} did not make {address}: is the hash right?")
    creation = bytes.fromhex(artifacts.load("Lease").bytecode.removeprefix("0x"))
    given = raw_bytes(data)
    if not given.startswith(creation):
        return {}, "", ["it was made by another creation code than this version's"]
    words = given[len(creation) :]
    if len(words) != 3 * _ADDRESS_WORD:
        return {}, "", ["its constructor was given something else than three addresses"]
    found = decode(("address", "address", "address"), words)
    return dict(zip(("admin", "treasurer", "provisioner"), found, strict=True)), words.hex(), []
