"""How a contract is asked, and how its answers are read.

Law: what a contract answers is hostile. It is read by the types that the ABI states, or it is an
`OperatorError` that says which contract does not answer as it should; it is never half read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eth_abi.abi import decode, encode
from eth_abi.exceptions import EncodingError

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.profiles.signatures import selector
from chainwatch.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Function:
    """A function or a custom error: its signature, what it takes, and what it answers."""

    signature: str
    takes: tuple[str, ...]
    returns: tuple[str, ...]

    def data(self, *arguments: object) -> str:
        """The data (0x hex) of a call. Raises `OperatorError` for a number that is too large."""
        try:
            return f"{selector(self.signature)}{encode(self.takes, arguments).hex()}"
        except EncodingError as wrong:
            raise OperatorError(f"that can't be asked of a contract: {wrong!s:.120}") from None

    def read(self, answer: bytes) -> tuple[object, ...]:
        """The values of an answer. Raises `OperatorError` for what is none."""
        try:
            return tuple(decode(self.returns, answer))
        except Exception as odd:  # noqa: BLE001 - the library has many names for the same thing
            name = self.signature.partition("(")[0]
            raise OperatorError(
                f"what stands at the contract's address does not answer {name} as it should "
                f"({type(odd).__name__}): is the address right, and on this chain?"
            ) from None


def function(signature: str, *returns: str) -> Function:
    """A function of elementary types, written as `approve(address,uint256)`."""
    listed = signature.partition("(")[2].removesuffix(")")
    return Function(signature, tuple(filter(None, listed.split(","))), returns)


def entries(abi: Sequence[Mapping[str, object]], kind: str) -> dict[str, Function]:
    """Functions (or errors) of an ABI by their names; overloaded ones by their signatures too."""
    found: dict[str, Function] = {}
    for entry in abi:
        if entry.get("type") == kind:
            takes, returns = _types(entry.get("inputs")), _types(entry.get("outputs"))
            signature = f"{entry['name']}({','.join(takes)})"
            found[str(entry["name"])] = found[signature] = Function(signature, takes, returns)
    return found


def constructed(abi: Sequence[Mapping[str, object]], code: str, *arguments: object) -> str:
    """The data (0x hex) that makes a contract: its creation code and the constructor's words."""
    (takes,) = (_types(entry.get("inputs")) for entry in abi if entry.get("type") == "constructor")
    return f"{code}{encode(takes, arguments).hex()}"


def said_by(errors: Mapping[str, Function], data: bytes) -> tuple[str, tuple[object, ...]] | None:
    """The custom error that a revert's data holds, and its values; None for another's."""
    for error in errors.values():
        if keccak(error.signature.encode())[:4] == data[:4]:
            try:
                return error.signature.partition("(")[0], tuple(decode(error.takes, data[4:]))
            except Exception:  # noqa: BLE001 - as above; a hostile contract may cut it off
                return None
    return None


def _types(listed: object) -> tuple[str, ...]:
    return tuple(map(_type, listed)) if isinstance(listed, list) else ()


def _type(entry: Mapping[str, object]) -> str:
    kind = str(entry["type"])
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_types(entry['components']))}){kind.removeprefix('tuple')}"
