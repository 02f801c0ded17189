"""A seeded trade on a lease contract: deals of all kinds, several to a block.

Nobody waits for a receipt and nobody asks whether a token still exists: after a reorg some of them
do not, and then the transaction is mined and says nothing, as on any chain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from web3 import AsyncWeb3

from chainwatch.demo.anvil import Anvil
from tests.support.lease_contract import LeaseContract, purchase

_GAS: Final = hex(1_000_000)
_LATER: Final = 2**63
_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"
)


@dataclass(slots=True)
class Trade:
    """Who deals with `shop` on `chain`; plan 1 is sold for `price` a second.

    Leases are bought for about `lasts` seconds: among the other deals, unless they are bought `on
    purpose` alone.
    """

    chain: Anvil
    shop: LeaseContract
    people: Sequence[str]
    random: Random
    price: int = 1_000
    tokens: int = 0
    lasts: int = 3_600
    on_purpose: bool = False
    _kinds: Sequence[Callable[[], dict[str, object]]] = field(init=False)

    def __post_init__(self) -> None:
        changes = (self._delivery, self._renewal, self._transfer, self._new_keys)
        self._kinds = changes if self.on_purpose else (self._mint, *changes)

    def on(self, chain: Anvil, seed: int) -> "Trade":
        """The same shop on another node that knows it, and a trade of its own from here."""
        deployed = replace(
            self.shop.deployed,
            anvil=chain,
            contract=AsyncWeb3(chain.provider).eth.contract(
                address=self.shop.deployed.contract.address, abi=self.shop.deployed.artifact.abi
            ),
        )
        shop = replace(self.shop, deployed=deployed)
        return replace(self, chain=chain, shop=shop, random=Random(seed))

    async def mine(self, *deals: int) -> None:
        """One block for each number, with as many deals in it."""
        for count in deals:
            await self.chain.rpc("evm_setAutomine", False)
            for _ in range(count):
                await self._send(self._deal())
            await self.chain.mine()
        await self.chain.rpc("evm_setAutomine", True)

    async def buy(self) -> None:
        """A purchase, in a block of its own."""
        await self._send(self._mint())

    async def grow(self, blocks: int) -> None:
        """So many blocks, some of them empty and some full."""
        await self.mine(*(self.random.choice((0, 0, 1, 1, 2, 5)) for _ in range(blocks)))

    async def reorg(self, depth: int) -> None:
        """Replace the last `depth` blocks by others, with another deal in the first, and go on.

        Without that deal empty blocks would be replaced by themselves.
        """
        await self.chain.reorg(depth, [(self._deal(), 0)])
        await self.mine(2)

    def _deal(self) -> dict[str, object]:
        return (self.random.choice(self._kinds) if self.tokens else self._mint)()

    async def _send(self, request: dict[str, object]) -> None:
        await self.chain.rpc("eth_sendTransaction", request)

    def _asked(
        self, sender: str, function: str, *arguments: object, value: int = 0
    ) -> dict[str, object]:
        data = self.shop.deployed.contract.encode_abi(function, args=arguments)
        who = {"from": sender, "to": self.shop.address}
        return {**who, "gas": _GAS, "value": hex(value), "data": data}

    def _token(self) -> int:
        return self.random.randint(1, self.tokens)

    def _person(self) -> str:
        return self.random.choice(self.people)

    def _mint(self) -> dict[str, object]:
        self.tokens += 1
        buyer, seconds = self._person(), self.random.randint(self.lasts, 2 * self.lasts)
        cost = seconds * self.price
        wanted = purchase(1, buyer, seconds, cost, _LATER, ssh_key=_KEY)
        return self._asked(buyer, "mint", wanted, value=cost)

    def _delivery(self) -> dict[str, object]:
        """One that was delivered already says nothing."""
        return self._asked(self.shop.provisioner, "deliver", self._token(), self._person(), b"")

    def _renewal(self) -> dict[str, object]:
        token, seconds = self._token(), self.random.randint(60, 600)
        cost = seconds * self.price
        return self._asked(self._person(), "renewSubscription", token, seconds, value=cost)

    def _transfer(self) -> dict[str, object]:
        owner = self._person()
        return self._asked(owner, "transferFrom", owner, self._person(), self._token())

    def _new_keys(self) -> dict[str, object]:
        return self._asked(self._person(), "setKeys", self._token(), _KEY, b"\x01\x02")
