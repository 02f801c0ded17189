"""How a price is paid: with the chain's coin, after an approval, or with a permit.

Law: an approval and a permit are for exactly the price, so that nothing is left for the contract to
take (of an upgrade's, whose price nobody knows before its block, the rest is taken back). A permit
is signed only where the token's own domain separator is what was signed for: a token that forms it
otherwise is paid by an approval.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from chainwatch.chain.ethereum import encode_typed_data
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.wallet.amounts import Money
from chainwatch.chain.wallet.chain import Chain
from chainwatch.chain.wallet.interface import function
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

_BALANCE: Final = function("balanceOf(address)", "uint256")
_ALLOWANCE: Final = function("allowance(address,address)", "uint256")
_APPROVE: Final = function("approve(address,uint256)", "bool")
_NAME: Final = function("name()", "string")
_VERSION: Final = function("version()", "string")
_NONCES: Final = function("nonces(address)", "uint256")
_SEPARATOR: Final = function("DOMAIN_SEPARATOR()", "bytes32")
#: The permit's type: its words, in their order.
_PERMIT: Final = (
    ("owner", "address"),
    ("spender", "address"),
    ("value", "uint256"),
    ("nonce", "uint256"),
    ("deadline", "uint256"),
)
_DOMAIN: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)


class Way(StrEnum):
    """How it is paid; `auto` takes the permit where the token has one."""

    AUTO = "auto"
    NATIVE = "native"
    APPROVE = "approve"
    PERMIT = "permit"


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed permit, in the order of the contract's `Permit`."""

    value: int
    deadline: int
    v: int
    r: bytes
    s: bytes

    @property
    def words(self) -> tuple[int, int, int, bytes, bytes]:
        return self.value, self.deadline, self.v, self.r, self.s


@dataclass(frozen=True, slots=True)
class Purse:
    """Whose money is spent, of which kind, and to which contract it goes."""

    chain: Chain
    money: Money
    payer: str
    contract: str

    async def way(self, wanted: Way, amount: int) -> Way:
        """Settle how it is paid. Raises `OperatorError` when it can't be, or not like that."""
        if self.money.native or wanted is Way.NATIVE:
            if wanted not in ({Way.AUTO, Way.NATIVE} if self.money.native else ()):
                paid = self.money.symbol
                raise OperatorError(f"it is paid in {paid}: --pay {wanted} does not fit that")
            return Way.NATIVE
        await self._enough(amount)
        if wanted is not Way.AUTO:
            return wanted
        if await self.allowed() >= amount or await self._domain() is None:
            return Way.APPROVE
        return Way.PERMIT

    async def _enough(self, amount: int) -> None:
        (held,) = await self.chain.view(self.money.address, _BALANCE, self.payer)
        if not isinstance(held, int) or held < amount:
            has = self.money.written(held if isinstance(held, int) else 0)
            raise OperatorError(
                f"{self.payer} has {has}, and {self.money.written(amount)} are needed"
            )

    async def allowed(self) -> int:
        """What the contract may already take."""
        asked = (self.payer, self.contract)
        (allowed,) = await self.chain.view(self.money.address, _ALLOWANCE, *asked)
        return allowed if isinstance(allowed, int) else 0

    def approval(self, amount: int) -> Call:
        """The transaction that lets the contract take exactly this."""
        return Call(self.money.address, _APPROVE.data(self.contract, amount))

    async def permit(self, key: HotKey, amount: int, deadline: int) -> Permit:
        """Sign a permit of exactly this. Raises `OperatorError` where the token has none."""
        domain = await self._domain()
        if domain is None:
            raise OperatorError(
                f"{self.money.symbol} takes no permit that can be signed here: --pay approve"
            )
        (nonce,) = await self.chain.view(self.money.address, _NONCES, self.payer)
        words = {
            "owner": self.payer,
            "spender": self.contract,
            "value": amount,
            "nonce": nonce,
            "deadline": deadline,
        }
        return Permit(amount, deadline, *key.sign_typed(_message(domain, words)))

    async def _domain(self) -> dict[str, object] | None:
        """The token's domain, where it is as usual and the token says the same."""
        try:
            (separator,) = await self.chain.view(self.money.address, _SEPARATOR)
            (name,) = await self.chain.view(self.money.address, _NAME)
            await self.chain.view(self.money.address, _NONCES, self.payer)
        except OperatorError:
            return None
        for version in await self._versions():
            domain = {
                "name": name,
                "version": version,
                "chainId": self.chain.chain_id,
                "verifyingContract": self.money.address,
            }
            if encode_typed_data(full_message=_message(domain, None)).header == separator:
                return domain
        return None

    async def _versions(self) -> list[str]:
        try:
            (version,) = await self.chain.view(self.money.address, _VERSION)
        except OperatorError:
            return ["1"]
        return [str(version), "1"]


def _message(domain: dict[str, object], words: dict[str, object] | None) -> dict[str, Any]:
    """A permit as EIP-712 writes it; without words, one that only shows its domain."""
    none = {name: f"0x{0:040x}" if kind == "address" else 0 for name, kind in _PERMIT}
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
            "Permit": [{"name": name, "type": kind} for name, kind in _PERMIT],
        },
        "primaryType": "Permit",
        "domain": domain,
        "message": words or none,
    }
