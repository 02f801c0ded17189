"""The watched contract's own word on a lease: its owner and expiry at one block, named by its hash.

A block named by hash, and canonical, leaves no room for an answer about another one. "There is no
such token" is an answer only as the contract's own revert, or as the zero address from a contract
whose profile says so; every other failure is raised.
"""

from dataclasses import dataclass

from chainwatch.chain.decode import LAST_SECOND, Profile
from chainwatch.chain.rpc import Call, RpcError
from chainwatch.chain.wire import raw_bytes
from chainwatch.errors import NotAChain


@dataclass(frozen=True, slots=True)
class Told:
    """What the contract says; `owner` is None where there is no such token, `expires_at` then 0."""

    owner: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract, and the profile that its answers are read by."""

    address: str
    profile: Profile

    def questions(self, token: int, block_hash: str) -> list[Call]:
        """The two calls (EIP-1898) that ask for a token's owner and expiry at a block."""
        at: dict[str, object] = {"blockHash": block_hash, "requireCanonical": True}
        return [
            ("eth_call", ({"to": self.address, "data": data}, at))
            for data in (self.profile.owner_call(token), self.profile.expiry_call(token))
        ]

    def expiry_question(self, token: int, block_hash: str) -> Call:
        """The second of the two."""
        return self.questions(token, block_hash)[1]

    def told(self, token: int, owner: object, expiry: object) -> Told:
        """What two answers say; raises `NotAChain` for what is none, or the node's error."""
        missing = [self._is_missing(answer, token) for answer in (owner, expiry)]
        if all(missing) or (missing[0] and not self.profile.expiry_needs_token):
            return Told(None, 0)
        for answer in (owner, expiry):
            if isinstance(answer, RpcError):
                raise answer
        owner_word = _word(owner)
        if owner_word == 0 and self.profile.zero_is_nobody:
            return Told(None, 0)
        if not 0 < owner_word < 2**160:
            raise NotAChain(f"the owner of lease {token} is not an address: {owner!r:.120}")
        return Told(f"0x{owner_word:040x}", self.expiry(token, expiry))

    def expiry(self, token: int, answer: object) -> int:
        """The time that an answer to `expiry_question` says, kept within `LAST_SECOND`."""
        expires_at = _word(answer)
        if expires_at >> self.profile.expiry_bits:
            raise NotAChain(f"the expiry of lease {token} is not a time: {answer!r:.120}")
        return min(expires_at, LAST_SECOND)

    def _is_missing(self, answer: object, token: int) -> bool:
        return isinstance(answer, RpcError) and self.profile.says_no_such_token(answer.data, token)


def _word(answer: object) -> int:
    data = raw_bytes(answer)
    if len(data) != 32:
        raise NotAChain(f"a call was answered with {len(data)} bytes instead of 32")
    return int.from_bytes(data)
