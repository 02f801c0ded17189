"""Hosting subscriptions and their credentials on a real chain: our own fixtures of both contracts.

`contracts/src/test/Hosting.sol` and `Credentials.sol` have the functions and events of
`BlockhostSubscriptions` and `AccessCredentialNFT`; whose contracts they are is the first account.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from web3 import AsyncWeb3

from chainwatch.artifacts import Artifact
from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import Deployed, Receipt, deploy
from chainwatch.domain.events import (
    CredentialLinked,
    CredentialMoved,
    ExpiryUpdated,
    Logged,
    Subscribed,
)
from tests.support.anvil import CHAIN_ID
from tests.support.compiled import fixture

BEHIND = 2**32
"""Where in a block the order of its logs has ended."""

DAY = 86_400


def both() -> Artifact:
    """What the two contracts say and answer, as one."""
    first, second = fixture("Hosting"), fixture("Credentials")
    return replace(first, abi=[*first.abi, *second.abi])


@dataclass(frozen=True, slots=True)
class Hosting:
    """Both contracts; `admin` made them, and mints unless somebody else does."""

    deployed: Deployed
    credentials: Deployed
    admin: str

    @property
    def address(self) -> str:
        return self.deployed.address

    async def subscribe(self, owner: str, *, plan: int = 1, seconds: int = DAY) -> int:
        """A subscription of its owner, who pays; returns its id."""
        receipt = await self.deployed.send("subscribe", plan, seconds, b"sealed", sender=owner)
        return _said(receipt, "SubscriptionCreated", "subscriptionId")

    async def extend(self, token: int, seconds: int) -> Receipt:
        return await self.deployed.send("extend", token, seconds, sender=self.admin)

    async def cancel(self, token: int) -> Receipt:
        return await self.deployed.send("cancel", token, sender=self.admin)

    async def mint(self, owner: str, carried: bytes) -> int:
        """A credential that carries something; returns its number."""
        receipt = await self.credentials.send("mint", owner, carried, sender=self.admin)
        return _said(receipt, "CredentialMinted", "tokenId")

    async def sell(self, owner: str) -> int:
        """A subscription with its credential; returns the subscription."""
        token = await self.subscribe(owner)
        await self.mint(owner, self.words(token))
        return token

    def words(self, token: int) -> bytes:
        """What the credential of a subscription carries."""
        return f"chainwatch eip155:{CHAIN_ID}/erc721:{self.address.lower()}/{token}".encode()

    async def credential(self, token: int) -> int:
        """The first credential that carries the words of a subscription."""
        for number in range(1, await self._minted()):
            if await self.carried(number) == self.words(token):
                return number
        raise LookupError(f"subscription {token} has no credential")

    async def all_of(self, token: int) -> int:
        """How many credentials carry the words of a subscription."""
        carried = [await self.carried(number) for number in range(1, await self._minted())]
        return carried.count(self.words(token))

    async def carried(self, number: int) -> bytes:
        return await self.credentials.call(bytes, "getUserEncrypted", number)

    async def _minted(self) -> int:
        return await self.credentials.call(int, "totalSupply")

    async def transfer(self, token: int, owner: str, recipient: str) -> Receipt:
        number = await self.credential(token)
        return await self.credentials.send("transferFrom", owner, recipient, number, sender=owner)

    async def burn(self, token: int, owner: str) -> Receipt:
        return await self.credentials.send("burn", await self.credential(token), sender=owner)

    async def owner(self, token: int) -> str:
        return await self.credentials.call(str, "ownerOf", await self.credential(token))

    async def expiry(self, token: int) -> int:
        """When it ends: never, in a way, if it was cancelled."""
        found = await self.deployed.contract.functions.getSubscription(token).call()
        return 0 if found[4] else int(found[2])


def _said(receipt: Receipt, name: str, argument: str) -> int:
    for said in receipt.events:
        if said.name == name and isinstance(number := said.values[argument], int):
            return number
    raise LookupError(f"{receipt.tx_hash} says no {name}")


async def open_hosting(anvil: Anvil) -> Hosting:
    """Deploy both contracts from the first account, with one plan."""
    admin, *_ = await anvil.accounts()
    deployed = await deploy(anvil, fixture("Hosting"), sender=admin)
    credentials = await deploy(anvil, fixture("Credentials"), sender=admin)
    await deployed.send("createPlan", "small", 50, sender=admin)
    return Hosting(deployed, credentials, admin)


async def hosting_truth(shop: Hosting, up_to: int) -> list[Logged]:
    """What the receipts of blocks 0 to `up_to` say, and what credentials carried when minted."""
    told: list[Logged] = []
    web3 = shop.deployed.contract.w3
    readers = {
        event.topic: event
        for deployed in (shop.deployed, shop.credentials)
        for event in deployed.contract.all_events()
    }
    ours = {shop.address, shop.credentials.address}
    for number in range(up_to + 1):
        for receipt in await web3.eth.get_block_receipts(number):
            for log in receipt["logs"]:
                if log["address"] not in ours:
                    continue
                data = readers[log["topics"][0].to_0x_hex()].process_log(log)
                place = (number, data["blockHash"].to_0x_hex())
                tx_hash = data["transactionHash"].to_0x_hex()
                event = _event(data["event"], data["args"])
                if event is not None:
                    told.append(Logged(event, *place, data["logIndex"], tx_hash))
                if isinstance(event, CredentialMoved) and int(event.sender, 16) == 0:
                    linked = await _linked(shop, event, number)
                    if linked is not None:
                        told.append(Logged(linked, *place, BEHIND + data["logIndex"], tx_hash))
    return sorted(told, key=lambda logged: (logged.block, logged.log_index))


async def _linked(shop: Hosting, event: CredentialMoved, block: int) -> CredentialLinked | None:
    question = shop.credentials.contract.functions.getUserEncrypted(event.credential)
    carried = await question.call(block_identifier=block)
    begin, _, token = carried.decode().rpartition("/")
    if begin != shop.words(0).decode().rpartition("/")[0]:
        return None
    return CredentialLinked(int(token), event.credential, event.recipient)


def _event(
    name: str, said: Mapping[str, object]
) -> Subscribed | ExpiryUpdated | CredentialMoved | None:
    match name, dict(said):
        case "SubscriptionCreated", {
            "subscriptionId": int(token),
            "planId": int(plan),
            "subscriber": str(who),
            "expiresAt": int(until),
        }:
            return Subscribed(token, who.lower(), plan, until)
        case "SubscriptionExtended", {"subscriptionId": int(token), "newExpiresAt": int(until)}:
            return ExpiryUpdated(token, until)
        case "SubscriptionCancelled", {"subscriptionId": int(token)}:
            return ExpiryUpdated(token, 0)
        case "Transfer", {"tokenId": int(number), "from": str(sender), "to": str(recipient)}:
            return CredentialMoved(number, sender.lower(), recipient.lower())
    return None


def checksum(address: str) -> str:
    """An address as the contracts' functions take it."""
    return str(AsyncWeb3.to_checksum_address(address))
