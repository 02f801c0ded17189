"""Long histories, made in seconds: many leases' events in a block, or one event in many blocks.

A contract that only says what a lease contract would (`contracts/src/test/Crier.sol`) tells of
purchases and renewals, so the logs are real ones of a real node: with receipts, blooms and hashes.
A full block is forty purchases, in four events each, and forty renewals of earlier leases.
"""

from dataclasses import dataclass
from typing import Final

from chainwatch.demo.deployed import Deployed, deploy
from tests.support.anvil import Anvil
from tests.support.realm import ALICES_KEY

#: Logs of a full block: purchases in four events each, then renewals, in several transactions.
LOGS: Final = 200
_PURCHASES: Final = (5,) * 8
_RENEWALS: Final = (20,) * 2
#: How many purchases a renewal comes after its own.
_LATER: Final = 4000
_UNTIL: Final = 2_000_000_000
_GAS: Final = 3_000_000
#: The lease that single logs are about.
TOKEN: Final = 1
#: Empty blocks between two events of a sparse history, one included.
GAP: Final = 50


@dataclass(slots=True)
class Crier:
    """A deployed crier, who speaks, and how far it has come; made by `crier`."""

    deployed: Deployed
    sender: str
    nonce: int
    sold: int = 0

    @property
    def address(self) -> str:
        """Its address in lower case."""
        return self.deployed.address.lower()

    async def full_blocks(self, count: int) -> int:
        """Mine so many blocks of `LOGS` logs each; returns the last one's number."""
        anvil = self.deployed.anvil
        for _ in range(count):
            for purchases in _PURCHASES:
                await self._say("sell", self.sold + 1, purchases, _UNTIL, ALICES_KEY)
                self.sold += purchases
            token = max(self.sold - _LATER, 0) + 1
            for renewals in _RENEWALS:
                await self._say("renew", token, renewals, _UNTIL + self.nonce)
                token += renewals
            await anvil.rpc("evm_mine")
        return (await anvil.block()).number

    async def sparse_blocks(self, count: int) -> int:
        """Mine so many blocks with a log in every fiftieth; returns the last one's number."""
        anvil = self.deployed.anvil
        for _ in range(count // GAP):
            await self.one_log()
            await anvil.mine(GAP)
        return (await anvil.block()).number

    async def one_log(self) -> None:
        """Send one renewal; it is in no block yet."""
        await self._say("renew", TOKEN, 1, _UNTIL)

    async def _say(self, what: str, *arguments: object) -> None:
        data = self.deployed.contract.encode_abi(what, args=arguments)
        request = {"from": self.sender, "to": self.deployed.address, "data": data}
        request |= {"gas": hex(_GAS), "nonce": hex(self.nonce)}
        await self.deployed.anvil.rpc("eth_sendTransaction", request)
        self.nonce += 1


async def crier(anvil: Anvil, account: int) -> Crier:
    """Deploy a crier for `account` (0 to 9) alone; from then on blocks come on purpose."""
    await anvil.rpc("evm_setAutomine", True)
    sender = (await anvil.accounts())[account]
    deployed = await deploy(anvil, "Crier", sender=sender)
    await anvil.rpc("evm_setAutomine", False)
    return Crier(deployed, sender, nonce=1)
