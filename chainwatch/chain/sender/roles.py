"""What our key may do at a lease contract: it should be a provisioner, and nothing more.

The roles are those of OpenZeppelin's AccessControl, asked as `hasRole`; a contract that has no such
view says nothing, which is no error.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.profiles.signatures import selector
from chainwatch.chain.sender.gateway import Gateway, View

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
