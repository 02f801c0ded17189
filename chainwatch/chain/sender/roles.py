"""What our key may do at a contract: deliver and nothing more, or mint credentials.

The roles of a lease contract are those of OpenZeppelin's AccessControl, asked as `hasRole`; one
without such a view says nothing, which is no error. Who may mint credentials each contract decides
in its own way, so a mint is tried, for nothing, and to ourselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.credential_calls import mint
from chainwatch.chain.sender.gateway import Gateway, View
from chainwatch.chain.sender.looks import WANTED, Answer, Look, Refusal, Seen, Word, plain
from chainwatch.domain.lease import LeaseId

_HAS_ROLE: Final = selector("hasRole(bytes32,address)")
PROVISIONER: Final = "PROVISIONER_ROLE"
#: Roles that a hot key must not have, and what they let its thief do.
TOO_MUCH: Final = {
    "DEFAULT_ADMIN_ROLE": "give itself every role",
    "TREASURER_ROLE": "take out what was paid",
}


@dataclass(frozen=True, slots=True)
class Roles:
    """Whether it is a provisioner (None: the contract does not tell), and what it has besides."""

    provisioner: bool | None
    besides: tuple[str, ...]


async def roles_of(gateway: Gateway, view: View, contract: str) -> Roles:
    """Return the roles of our key at a contract."""

    async def has(name: str) -> bool | None:
        role = bytes(32) if name == "DEFAULT_ADMIN_ROLE" else keccak(name.encode())
        data = f"{_HAS_ROLE}{role.hex()}{int(gateway.address, 16):064x}"
        return await gateway.has_role(view, contract, data)

    besides = [name for name in TOO_MUCH if await has(name)]
    return Roles(await has(PROVISIONER), tuple(besides))


async def may_mint(gateway: Gateway, view: View, credential: str) -> Seen:
    """Try a credential of no lease to ourselves: wanted where it would be minted, else why not."""

    def judge(answers: Sequence[Answer]) -> Seen:
        (answer,) = answers
        if isinstance(answer, Refusal):
            return Seen(Word.MOOT, plain(answer.said or answer.data))
        return WANTED

    call = mint(LeaseId(gateway.chain_id, credential.lower(), 0), gateway.address, credential)
    (seen,) = await gateway.look(view, [Look(((call.to, call.data),), judge)])
    return seen
