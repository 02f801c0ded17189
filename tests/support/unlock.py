"""A lock of Unlock Protocol on a real chain: the published bytecode, made as everybody makes one.

The code comes out of the npm package `@unlock-protocol/contracts`, pinned by its hash, which is MIT
by its sources; only tests use it, and nothing of it is committed or shipped. Unlock stands behind a
proxy, since it can be set up in a constructor only, and every lock behind the one that Unlock gives
it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from web3 import AsyncWeb3

from chainwatch import artifacts
from chainwatch.artifacts import Artifact
from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import Deployed, Receipt, deploy
from chainwatch.domain.events import ExpiryUpdated, Logged
from tests.support.compiled import fixture
from tests.support.oracle import truth

NOBODY: Final = "0x" + "0" * 40
FOR_EVER: Final = 2**256 - 1
MONTH: Final = 30 * 86_400
PRICE: Final = 1_000_000

_ABIS: Final = (
    Path(__file__).parents[2] / "contracts/node_modules/@unlock-protocol/contracts/dist/abis"
)
_VERSION: Final = 15
_BEHIND: Final = 2**32
"""Where in a block the order of its logs has ended."""

LATEST: Final = 2**62 - 1
"""What stands for every time that is later."""


def published(name: str) -> Artifact:
    """A contract as the npm package carries it, for example `PublicLock/PublicLockV15`."""
    told = json.loads((_ABIS / f"{name}.json").read_text(encoding="utf-8"))
    return artifacts.Artifact(
        name=told["contractName"],
        abi=told["abi"],
        bytecode=told["bytecode"],
        source=told["sourceName"],
        **dict.fromkeys(("compiler", "evm_version", "source_hash"), "not told"),
    )


@dataclass(frozen=True, slots=True)
class Lock:
    """`PublicLock` version 15; `manager` made it in the block `made_in`.

    Keys cost `PRICE` of `coin`, or of the chain's own.
    """

    deployed: Deployed
    manager: str
    coin: Deployed | None
    made_in: int

    @property
    def address(self) -> str:
        return self.deployed.address

    async def buy(self, owner: str, *, key_manager: str = NOBODY) -> int:
        """A key for its owner, who pays; returns its id."""
        function = "purchase(uint256[],address[],address[],address[],bytes[])"
        arguments = ([PRICE], [owner], [NOBODY], [key_manager], [b""])
        return await self._bought(function, arguments, owner, self._value)

    async def buy_periods(self, owner: str, periods: int) -> int:
        """A key for several periods in one transaction."""
        function = "purchase((uint256,address,address,address,address,bytes,uint256)[])"
        wanted = (PRICE, owner, NOBODY, NOBODY, NOBODY, b"", periods - 1)
        return await self._bought(function, ([wanted],), owner, periods * self._value)

    async def _bought(
        self, function: str, arguments: tuple[object, ...], payer: str, value: int
    ) -> int:
        return _made(await self.deployed.send(function, *arguments, sender=payer, value=value))

    async def grant(self, owner: str, expires_at: int, *more: tuple[str, int]) -> int:
        """Keys for nothing, in one transaction; returns the id of the first."""
        owners, times = zip((owner, expires_at), *more, strict=True)
        nobody = [NOBODY] * len(owners)
        return _made(await self.manage("grantKeys", list(owners), list(times), nobody))

    async def extend(self, token: int, payer: str) -> Receipt:
        """Pay for one more period: in a coin at whatever price, up to twice the first."""
        arguments = (2 * PRICE, token, NOBODY, b"")
        return await self.deployed.send("extend", *arguments, sender=payer, value=self._value)

    async def renew(self, token: int, sender: str) -> Receipt:
        """What anybody may do for a key that is paid in a coin, once it is nearly over."""
        return await self.deployed.send("renewMembershipFor", token, NOBODY, sender=sender)

    async def transfer(self, token: int, owner: str, recipient: str) -> Receipt:
        return await self.deployed.send("transferFrom", owner, recipient, token, sender=owner)

    async def share(self, token: int, owner: str, recipient: str, seconds: int) -> int:
        receipt = await self.deployed.send("shareKey", recipient, token, seconds, sender=owner)
        return _made(receipt)

    async def merge(self, token: int, into: int, owner: str, seconds: int) -> Receipt:
        return await self.deployed.send("mergeKeys", token, into, seconds, sender=owner)

    async def cancel(self, token: int, owner: str) -> Receipt:
        return await self.deployed.send("cancelAndRefund", token, sender=owner)

    async def burn(self, token: int, owner: str) -> Receipt:
        return await self.deployed.send("burn", token, sender=owner)

    async def manage(self, function: str, *arguments: object) -> Receipt:
        """What only the lock's manager may do."""
        return await self.deployed.send(function, *arguments, sender=self.manager)

    async def expiry(self, token: int) -> int:
        return await self.deployed.call(int, "keyExpirationTimestampFor", token)

    async def owner(self, token: int) -> str:
        return await self.deployed.call(str, "ownerOf", token)

    @property
    def _value(self) -> int:
        return 0 if self.coin else PRICE


def _made(receipt: Receipt) -> int:
    """The first key that a transaction made."""
    for said in receipt.events:
        if said.name == "Transfer" and isinstance(token := said.values["tokenId"], int):
            return token
    raise LookupError(f"{receipt.tx_hash} made no key")


async def open_lock(anvil: Anvil, *, duration: int = MONTH, coin: Deployed | None = None) -> Lock:
    """Deploy Unlock and a lock of its latest version from the first account."""
    manager, *_ = await anvil.accounts()
    code = await deploy(anvil, published("Unlock/UnlockV14"), sender=manager)
    begin = code.contract.encode_abi("initialize", args=[manager])
    proxy = await deploy(anvil, fixture("ERC1967Proxy"), code.address, begin, sender=manager)
    unlock = _seen_as(proxy.address, code)
    template = await deploy(anvil, published(f"PublicLock/PublicLockV{_VERSION}"), sender=manager)
    await unlock.send("addLockTemplate", template.address, _VERSION, sender=manager)
    await unlock.send("setLockTemplate", template.address, sender=manager)
    terms = (manager, duration, coin.address if coin else NOBODY, PRICE, 10_000, "machines")
    data = template.contract.encode_abi("initialize", args=list(terms))
    made = await unlock.send("createUpgradeableLock", data, sender=manager)
    (address,) = (each.values["newLockAddress"] for each in made.events if each.name == "NewLock")
    assert isinstance(address, str)
    lock = Lock(_seen_as(address, template), manager, coin, made.block_number)
    await lock.manage("updateLockConfig", duration, 10_000, 1000)
    return lock


def _seen_as(address: str, code: Deployed) -> Deployed:
    """The proxy at an address, with the functions of the code behind it."""
    contract = code.contract.w3.eth.contract(
        address=AsyncWeb3.to_checksum_address(address), abi=code.artifact.abi
    )
    return replace(code, address=address, contract=contract)


async def lock_truth(lock: Lock, up_to: int) -> list[Logged]:
    """What the logs say in the receipts, and what the lock answered where they say no expiry.

    That was at the end of the block, and is in the order of the chain behind all its logs.
    """
    said = [*await truth(lock, up_to), *await _asked(lock, up_to)]
    return sorted(said, key=lambda logged: (logged.block, logged.log_index))


async def _asked(lock: Lock, up_to: int) -> Iterable[Logged]:
    contract = lock.deployed.contract
    found: dict[tuple[int, int], Logged] = {}
    for event in (contract.events.Transfer(), contract.events.ExpireKey()):
        for log in await event.get_logs(from_block=0, to_block=up_to):
            token, block = log["args"]["tokenId"], log["blockNumber"]
            if log["args"].get("from", NOBODY) != NOBODY:
                continue
            question = contract.functions.keyExpirationTimestampFor(token)
            until = min(await question.call(block_identifier=block), LATEST)
            place = block, log["blockHash"].to_0x_hex(), _BEHIND + log["logIndex"]
            told = Logged(ExpiryUpdated(token, until), *place, log["transactionHash"].to_0x_hex())
            other = found.get((block, token), told)
            found[block, token] = max(told, other, key=lambda each: each.log_index)
    return found.values()
