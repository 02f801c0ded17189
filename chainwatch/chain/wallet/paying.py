"""How a price is paid: with the chain's coin, after an approval, by permit, or by authorization.

Law: an approval, a permit and an authorization are for exactly the price, so that nothing is left
for the contract to take (of an upgrade's, whose price nobody knows before its block, the rest is
taken back). An authorization's nonce is the hash of the whole purchase, made here and not asked of
a node, which could name another purchase's: who sees it can complete this one and nothing else.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from eth_abi.abi import encode

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.wallet.amounts import Money
from chainwatch.chain.wallet.chain import Chain, Question
from chainwatch.chain.wallet.interface import function
from chainwatch.chain.wallet.typed import AUTHORIZATION, PERMIT, Signable, signable
from chainwatch.domain.sendings import Call
from chainwatch.errors import OperatorError

_BALANCE: Final = function("balanceOf(address)", "uint256")
_ALLOWANCE: Final = function("allowance(address,address)", "uint256")
_APPROVE: Final = function("approve(address,uint256)", "bool")
#: A purchase in the order of the contract's `Purchase`, and the salt.
_PURCHASE: Final = "(uint256,address,uint64,uint256,uint256,string,bytes)"

Purchase = tuple[int, str, int, int, int, str, bytes]


class Way(StrEnum):
    """How it is paid; `auto` takes what the token knows, a permit before an authorization."""

    AUTO = "auto"
    NATIVE = "native"
    APPROVE = "approve"
    PERMIT = "permit"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class Purse:
    """Whose money is spent, of which kind, and to which contract it goes."""

    chain: Chain
    money: Money
    payer: str
    contract: str

    async def way(self, wanted: Way, amount: int, *, purchase: bool) -> Way:
        """Settle how it is paid. Raises `OperatorError` when it can't be, or not like that."""
        if self.money.native or wanted is Way.NATIVE:
            if wanted not in ({Way.AUTO, Way.NATIVE} if self.money.native else ()):
                paid = self.money.symbol
                raise OperatorError(f"it is paid in {paid}: --pay {wanted} does not fit that")
            return Way.NATIVE
        if wanted is Way.AUTHORIZATION and not purchase:
            raise OperatorError(
                "the contract takes an authorization for a purchase alone: --pay permit or approve"
            )
        allowed = await self._enough(amount)
        if wanted is Way.APPROVE or (wanted is Way.AUTO and allowed >= amount):
            return Way.APPROVE
        return self._signed(wanted, await self._signable(), purchase=purchase)

    def _signed(self, wanted: Way, taken: Signable, *, purchase: bool) -> Way:
        known = {Way.PERMIT: taken.permits, Way.AUTHORIZATION: taken.authorizations and purchase}
        if wanted is Way.AUTO:
            return next((way for way, can in known.items() if can), Way.APPROVE)
        if not known[wanted]:
            others = [f"--pay {way}" for way, can in known.items() if can]
            instead = " or ".join([*others, "--pay approve"])
            raise OperatorError(
                f"{self.money.symbol} takes no {wanted} that can be signed here: {instead}"
            )
        return wanted

    async def _enough(self, amount: int) -> int:
        """What the contract may already take; raises where the payer has less than it costs."""
        held, allowed = await self.chain.views(
            [
                Question(self.money.address, _BALANCE, (self.payer,)),
                Question(self.money.address, _ALLOWANCE, (self.payer, self.contract)),
            ]
        )
        if isinstance(held, OperatorError):
            raise held
        if not isinstance(held[0], int) or held[0] < amount:
            has = self.money.written(held[0] if isinstance(held[0], int) else 0)
            raise OperatorError(
                f"{self.payer} has {has}, and {self.money.written(amount)} are needed"
            )
        found = 0 if isinstance(allowed, OperatorError) else allowed[0]
        return found if isinstance(found, int) else 0

    async def allowed(self) -> int:
        """What the contract may already take."""
        asked = (self.payer, self.contract)
        (allowed,) = await self.chain.view(self.money.address, _ALLOWANCE, *asked)
        return allowed if isinstance(allowed, int) else 0

    def approval(self, amount: int) -> Call:
        """The transaction that lets the contract take exactly this."""
        return Call(self.money.address, _APPROVE.data(self.contract, amount))

    async def permit(self, key: HotKey, amount: int, deadline: int) -> tuple[object, ...]:
        """Sign a permit of exactly this, in the order of the contract's `Permit`."""
        taken = await self._signable()
        if not taken.permits:
            raise OperatorError(f"{self.money.symbol} takes no permit any more: --pay approve")
        words: dict[str, object] = {
            "owner": self.payer,
            "spender": self.contract,
            "value": amount,
            "nonce": taken.nonce,
            "deadline": deadline,
        }
        return amount, deadline, *key.sign_typed(taken.message(PERMIT, words))

    async def authorization(
        self, key: HotKey, amount: int, purchase: Purchase, salt: bytes
    ) -> tuple[object, ...]:
        """Sign that exactly this is taken for that purchase, in the contract's order."""
        taken = await self._signable()
        deadline = purchase[4]
        words: dict[str, object] = {
            "from": self.payer,
            "to": self.contract,
            "value": amount,
            "validAfter": 0,
            "validBefore": deadline,
            "nonce": purchase_nonce(purchase, salt),
        }
        signed = key.sign_typed(taken.message(AUTHORIZATION, words))
        return self.payer, 0, deadline, salt, *signed

    async def _signable(self) -> Signable:
        return await signable(self.chain, self.money.address, self.payer)


def purchase_nonce(purchase: Purchase, salt: bytes) -> bytes:
    """The nonce of the authorization that pays a purchase, as the contract makes it."""
    return keccak(encode((_PURCHASE, "bytes32"), (purchase, salt)))
