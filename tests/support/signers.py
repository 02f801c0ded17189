"""People who sign what they pay, permits and authorizations, instead of approving it beforehand.

They have keys of their own on a chain that lets them send without. Of how many permits of theirs a
token took, they know what it says at the last block, and count on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from eth_utils.address import to_checksum_address

from chainwatch.chain.sender.keys import HotKey
from chainwatch.chain.wallet.paying import Purchase, purchase_nonce
from chainwatch.chain.wallet.typed import AUTHORIZATION, PERMIT, Signable
from chainwatch.demo.anvil import Anvil
from tests.support.anvil import CHAIN_ID
from tests.support.lease_contract import Deployed

_LATER: Final = 2**63
_RICH: Final = hex(10**24)


@dataclass(slots=True)
class Signers:
    """Two people; what they sign is for `spender`, in the order of its `Permit` and the like."""

    anvil: Anvil
    spender: str
    keys: Mapping[str, HotKey]
    _domains: dict[str, dict[str, object]] = field(default_factory=dict)
    _permitting: list[Deployed] = field(default_factory=list)
    _nonces: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def people(self) -> Sequence[str]:
        return tuple(self.keys)

    def know(self, token: Deployed, name: str, version: str, *, permits: bool) -> None:
        """Sign for a token from now on, by the domain that it has."""
        self._domains[token.address] = {
            "name": name,
            "version": version,
            "chainId": CHAIN_ID,
            "verifyingContract": token.address,
        }
        self._permitting += [token] * permits

    async def look(self) -> int:
        """Know how many permits the tokens took; returns the sum."""
        for token in self._permitting:
            for owner in self.keys:
                self._nonces[token.address, owner] = await token.call(int, "nonces", owner)
        return sum(self._nonces.values())

    def permit(self, token: str, owner: str, amount: int) -> tuple[object, ...]:
        """The next permit of an owner, if all that he signed since the last look are taken."""
        nonce = self._nonces[token, owner]
        self._nonces[token, owner] += 1
        words: dict[str, object] = {
            "owner": owner,
            "spender": self.spender,
            "value": amount,
            "nonce": nonce,
            "deadline": _LATER,
        }
        message = Signable(self._domains[token], nonce, authorizations=True).message(PERMIT, words)
        return amount, _LATER, *self.keys[owner].sign_typed(message)

    def authorization(
        self, token: str, owner: str, amount: int, wanted: Purchase, random: Random
    ) -> tuple[object, ...]:
        """That exactly this is taken of an owner for that purchase, whoever completes it."""
        salt = random.randbytes(32)
        words: dict[str, object] = {
            "from": owner,
            "to": self.spender,
            "value": amount,
            "validAfter": 0,
            "validBefore": _LATER,
            "nonce": purchase_nonce(wanted, salt),
        }
        takes = Signable(self._domains[token], None, authorizations=True)
        signed = self.keys[owner].sign_typed(takes.message(AUTHORIZATION, words))
        return owner, 0, _LATER, salt, *signed


async def signers(anvil: Anvil, spender: str) -> Signers:
    """Two people with coin for gas, whom the chain lets send."""
    keys = [HotKey(bytes([number]) * 32) for number in (0x51, 0x52)]
    named: dict[str, HotKey] = {to_checksum_address(key.address): key for key in keys}
    for each in named:
        await anvil.rpc("anvil_impersonateAccount", each)
        await anvil.rpc("anvil_setBalance", each, _RICH)
    return Signers(anvil, spender, named)
