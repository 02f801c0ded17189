"""The watched contract's own word on a lease: its owner and expiry at one block, named by its hash.

A block named by hash, and canonical, leaves no room for an answer about another one. "There is no
such token" is an answer only as the contract's own revert, or as the zero address from a contract
whose profile says so; every other failure is raised.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.chain.decode import LAST_SECOND, Profile, one_word
from chainwatch.chain.profiles.signatures import owner_of
from chainwatch.chain.rpc import Call, RpcError
from chainwatch.chain.wire import raw_bytes
from chainwatch.domain.events import Block
from chainwatch.errors import NotAChain

Credentials: TypeAlias = Callable[[Sequence[int], Block], Awaitable[Mapping[int, int]]]
"""Tells the credentials of leases at a block, of those that had one, as the journal knows them."""


async def no_credentials(tokens: Sequence[int], at: Block) -> Mapping[int, int]:
    """No credential of any lease, for a source of one contract."""
    del tokens, at
    return {}


@dataclass(frozen=True, slots=True)
class Told:
    """What the contract says; `owner` is None where there is no such token, `expires_at` then 0."""

    owner: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract, and the profile that its answers are read by.

    `credential` is the contract whose tokens say who owns the leases that have one.
    """

    address: str
    profile: Profile
    credential: str = ""

    def questions(self, token: int, block_hash: str, credential: int | None = None) -> list[Call]:
        """The two calls (EIP-1898) that ask for a token's owner and expiry at a block.

        Of a lease that has a credential, the owner of that is asked for.
        """
        at: dict[str, object] = {"blockHash": block_hash, "requireCanonical": True}
        owner = (self.address, self.profile.owner_call(token))
        if credential is not None:
            owner = (self.credential, owner_of(credential))
        asked = (owner, (self.address, self.profile.expiry_call(token)))
        return [("eth_call", ({"to": to, "data": data}, at)) for to, data in asked]

    def expiry_question(self, token: int, block_hash: str) -> Call:
        """The second of the two."""
        return self.questions(token, block_hash)[1]

    def told(
        self, token: int, owner: object, expiry: object, credential: int | None = None
    ) -> Told:
        """What two answers say; raises `NotAChain` for what is none, or the node's error."""
        asked = (token if credential is None else credential, token)
        missing = [
            self._is_missing(answer, of) for answer, of in zip((owner, expiry), asked, strict=True)
        ]
        if all(missing) or (missing[0] and not self.profile.expiry_needs_token):
            return Told(None, 0)
        for answer in (owner, expiry):
            if isinstance(answer, RpcError):
                raise answer
        owned = raw_bytes(owner)
        owner_word = self.profile.owner_in(owned) if credential is None else one_word(owned)
        if owner_word == 0 and self.profile.zero_is_nobody:
            return Told(None, 0)
        if not 0 < owner_word < 2**160:
            raise NotAChain(f"the owner of lease {token} is not an address: {owner!r:.120}")
        return Told(f"0x{owner_word:040x}", self.expiry(token, expiry))

    def expiry(self, token: int, answer: object) -> int:
        """The time that an answer to `expiry_question` says, kept within `LAST_SECOND`."""
        expires_at = self.profile.expiry_in(raw_bytes(answer))
        if expires_at >> self.profile.expiry_bits:
            raise NotAChain(f"the expiry of lease {token} is not a time: {answer!r:.120}")
        return min(expires_at, LAST_SECOND)

    def _is_missing(self, answer: object, token: int) -> bool:
        return isinstance(answer, RpcError) and self.profile.says_no_such_token(answer.data, token)
