"""Somebody else's subscription NFT on a real chain, and everything that it can do to a reader."""

from dataclasses import dataclass

from web3 import AsyncWeb3

from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import Deployed, Receipt, deploy
from tests.support.compiled import fixture


@dataclass(frozen=True, slots=True)
class SubscriptionContract:
    """`contracts/src/test/Subscription.sol`; anybody may do anything, `sender` does it."""

    deployed: Deployed
    sender: str

    @property
    def address(self) -> str:
        return self.deployed.address

    async def mint(self, owner: str, token: int, expires_at: int) -> Receipt:
        return await self._send("mint", owner, token, expires_at)

    async def announce_and_mint(self, owner: str, token: int, expires_at: int) -> Receipt:
        """Mints, but says the expiry first."""
        return await self._send("announceAndMint", owner, token, expires_at)

    async def give(self, owner: str, token: int) -> Receipt:
        """Mints, and says no expiry."""
        return await self._send("give", owner, token)

    async def renew(self, token: int, seconds: int) -> Receipt:
        return await self._send("renewSubscription", token, seconds)

    async def cancel(self, token: int) -> Receipt:
        return await self._send("cancelSubscription", token)

    async def transfer(self, token: int, owner: str, recipient: str) -> Receipt:
        return await self.deployed.send("transferFrom", owner, recipient, token, sender=owner)

    async def approve(self, token: int, owner: str, who: str) -> Receipt:
        return await self.deployed.send("approve", who, token, sender=owner)

    async def burn(self, token: int) -> Receipt:
        return await self._send("burn", token)

    async def chatter(self, token: int) -> str:
        """Emits an event that is none of ours; returns the transaction's hash."""
        return (await self._send("chatter", token)).tx_hash

    async def misspell(self, token: int, expires_at: int) -> str:
        """Emits an event of a known name with another type; returns the transaction's hash."""
        return await self._emit("misspell", token, expires_at)

    async def mumble(self, token: int, expires_at: int) -> str:
        """Emits a known event with nothing indexed; returns the transaction's hash."""
        return await self._emit("mumble", token, expires_at)

    async def _send(self, function: str, *arguments: object) -> Receipt:
        return await self.deployed.send(function, *arguments, sender=self.sender)

    async def _emit(self, function: str, *arguments: object) -> str:
        """Send what emits logs that no ABI reads."""
        contract = self.deployed.contract
        call = contract.get_function_by_name(function)(*arguments)
        tx_hash = await call.transact({"from": self.sender})
        receipt = await contract.w3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=0.02)
        assert receipt["status"] == 1
        return receipt["transactionHash"].to_0x_hex()


async def open_subscriptions(anvil: Anvil) -> SubscriptionContract:
    """Deploy the contract from the first account."""
    sender, *_ = await anvil.accounts()
    return SubscriptionContract(await deploy(anvil, fixture("Subscription"), sender=sender), sender)


async def subscriptions_at(anvil: Anvil, address: str) -> SubscriptionContract:
    """Return the contract that stands at an address already."""
    sender, *_ = await anvil.accounts()
    artifact = fixture("Subscription")
    web3 = AsyncWeb3(anvil.provider)
    contract = web3.eth.contract(AsyncWeb3.to_checksum_address(address), abi=artifact.abi)
    return SubscriptionContract(Deployed(anvil, address, artifact, contract), sender)
