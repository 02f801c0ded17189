"""Long histories, made in seconds: many leases' events in a block, or one event in many blocks.

A contract that only says what a lease contract would (`contracts/src/test/Crier.sol`) tells of
purchases and renewals, so the logs are real ones of a real node: with receipts, blooms and hashes.
A full block is forty purchases, in four events each, and forty renewals of earlier leases.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from web3.types import RPCEndpoint

from chainwatch.demo.deployed import Deployed, deploy
from tests.support.anvil import Anvil
from tests.support.compiled import fixture
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
_Call: TypeAlias = tuple[str, tuple[object, ...]]
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
            await self._send(*self._purchases(), *self._renewals())
            await anvil.rpc("evm_mine")
        return (await anvil.block()).number

    async def sparse_blocks(self, count: int) -> int:
        """Mine so many blocks with a log in every fiftieth; returns the last one's number."""
        anvil = self.deployed.anvil
        for _ in range(count // GAP):
            await self.one_log()
            await anvil.mine(GAP)
        return (await anvil.block()).number

    async def single_blocks(self, count: int) -> int:
        """Mine so many blocks with a log in each; returns the last one's number."""
        anvil = self.deployed.anvil
        for _ in range(count):
            await self.one_log()
            await anvil.rpc("evm_mine")
        return (await anvil.block()).number

    async def reorg(self, depth: int) -> None:
        """Replace the last blocks, with a log in each, by as many with another log in each."""
        until = _UNTIL + self.nonce
        requests = [
            (self._request("renew", (TOKEN, 1, until), self.nonce - depth + place), place)
            for place in range(depth)
        ]
        await self.deployed.anvil.reorg(depth, requests)

    async def one_log(self) -> None:
        """Send one renewal; it is in no block yet."""
        await self._send(("renew", (TOKEN, 1, _UNTIL)))

    def _purchases(self) -> Iterator[_Call]:
        for count in _PURCHASES:
            yield "sell", (self.sold + 1, count, _UNTIL, ALICES_KEY)
            self.sold += count

    def _renewals(self) -> Iterator[_Call]:
        token = max(self.sold - _LATER, 0) + 1
        for count in _RENEWALS:
            yield "renew", (token, count, _UNTIL + self.nonce)
            token += count

    async def _send(self, *calls: _Call) -> None:
        """Send these in one request; they are mined in their order."""
        requests = [
            (RPCEndpoint("eth_sendTransaction"), [self._request(*call, nonce)])
            for nonce, call in enumerate(calls, self.nonce)
        ]
        self.nonce += len(calls)
        for answer in await self.deployed.anvil.provider.make_batch_request(requests):
            if not isinstance(answer, dict) or "error" in answer:
                raise RuntimeError(f"eth_sendTransaction: {answer}")

    def _request(self, what: str, arguments: tuple[object, ...], nonce: int) -> dict[str, object]:
        data = self.deployed.contract.encode_abi(what, args=arguments)
        to = {"from": self.sender, "to": self.deployed.address, "data": data}
        return to | {"gas": hex(_GAS), "nonce": hex(nonce)}


async def crier(anvil: Anvil, account: int) -> Crier:
    """Deploy a crier for `account` (0 to 9) alone; from then on blocks come on purpose."""
    await anvil.rpc("evm_setAutomine", True)
    sender = (await anvil.accounts())[account]
    deployed = await deploy(anvil, fixture("Crier"), sender=sender)
    await anvil.rpc("evm_setAutomine", False)
    return Crier(deployed, sender, nonce=1)
