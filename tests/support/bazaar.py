"""Everybody who deals with a lease contract at once: any function, any lease, in a seeded order.

People know who owned what a block ago, and ask for no more: what is not allowed reverts and says
nothing, as on any chain. People, plans and times are few and close together, so that enough of it
succeeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from eth_utils.address import to_checksum_address

from chainwatch.chain.ethereum import keccak
from chainwatch.demo.anvil import Anvil
from tests.support.lease_contract import (
    NATIVE,
    Deployed,
    LeaseContract,
    PlanOffer,
    issue_token,
    open_shop,
    purchase,
)

HOUR: Final = 3600
_GAS: Final = hex(700_000)
_LATER: Final = 2**63
_COIN: Final = 10**18
_BLOB: Final = "AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4"
_PRICE: Final = 1_000
_IN_A_BLOCK: Final = 20
_TRANSFER: Final = f"0x{keccak(b'Transfer(address,address,uint256)').hex()}"
_DELIVERED: Final = f"0x{keccak(b'LeaseDelivered(uint256,uint64)').hex()}"
_MINTED: Final = f"0x{keccak(b'LeaseMinted(uint256,uint256,address,uint256,uint256)').hex()}"
_CHANGED: Final = f"0x{keccak(b'PlanChanged(uint256,uint256)').hex()}"
_UPGRADE: Final = f"0x{keccak(b'UpgradeUpdate(uint256,uint256,uint64,uint256)').hex()}"
_NATIVE_PLANS: Final = (1, 3)
PLANS: Final = 4

Request = dict[str, object]


@dataclass(slots=True)
class Bazaar:
    """A shop with plans 1 and 2 and the larger 3 and 4, the even ones paid in `coin`."""

    anvil: Anvil
    shop: LeaseContract
    coin: Deployed
    people: Sequence[str]
    random: Random
    tokens: int = 0
    _wished: list[tuple[int, int, int]] = field(default_factory=list)
    _plans_of: dict[int, int] = field(default_factory=dict)
    _owners_of: dict[int, str] = field(default_factory=dict)
    _waiting: list[int] = field(default_factory=list)
    _deals: Sequence[Callable[[], Request]] = field(init=False)

    def __post_init__(self) -> None:
        often = (self._mint, self._deliver)
        wishes = (self._upgrade, self._complete)
        sometimes = (self._renew, self._transfer, self._keys)
        seldom = (
            *(self._owners("end"), self._owners("refund"), self._owners("burn")),
            *(self._owners("cancelSubscription"), self._owners("allowRenewal")),
            *(self._owners("withdrawUpgrade"), self._provisioners("cancelUndelivered")),
            *(self._provisioners("burn"), self._refuse),
            *(self._collect, self._withdraw, self._claim, self._action, self._publish),
            *(self._cancel_delivered, self._terms, self._pause),
        )
        self._deals = (*often * 8, *sometimes * 6, *wishes * 10, *seldom)

    async def deal(self, count: int) -> int:
        """So many deals that succeed, and time that passes between their blocks.

        Returns how many were tried.
        """
        await self.anvil.rpc("evm_setAutomine", False)
        tried = done = 0
        while done < count:
            for _ in range(_IN_A_BLOCK):
                await self.anvil.rpc("eth_sendTransaction", self.random.choice(self._deals)())
            await self.anvil.rpc(
                "evm_increaseTime", self.random.choice((12, 12, 12, 60, 600, HOUR))
            )
            head = await self.anvil.mine()
            receipts = await self.anvil.rpc("eth_getBlockReceipts", hex(head.number))
            assert isinstance(receipts, list)
            tried, done = tried + len(receipts), done + sum(r["status"] == "0x1" for r in receipts)
            for log in (log for receipt in receipts for log in receipt["logs"]):
                if to_checksum_address(log["address"]) == self.shop.address:
                    self._see(log)
        await self.anvil.rpc("evm_setAutomine", True)
        return tried

    def _see(self, log: Mapping[str, Any]) -> None:
        """Know who owns what, as anybody could before he deals; the next block knows no more."""
        topic, *words = log["topics"]
        if topic == _TRANSFER:
            token, owner = int(words[2], 16), to_checksum_address(f"0x{words[1][-40:]}")
            if int(words[0], 16) == 0:
                self.tokens = max(self.tokens, token)
                self._waiting.append(token)
            self._owners_of[token] = owner
            if int(owner, 16) == 0:
                del self._owners_of[token]
        if topic in (_MINTED, _CHANGED):
            self._plans_of[int(words[0], 16)] = int(words[1], 16)
        if topic == _UPGRADE:
            token, data = int(words[0], 16), log["data"]
            plan, deadline = int(data[2:66], 16), int(data[66:130], 16)
            self._wished = [each for each in self._wished if each[0] != token]
            self._wished += [(token, plan, deadline)] * bool(plan)
        if topic == _DELIVERED or (topic == _TRANSFER and int(words[1], 16) == 0):
            token = int(words[-1], 16)
            self._waiting = [each for each in self._waiting if each != token]

    # --- what is dealt ----------------------------------------------------------------------------

    def _asked(self, sender: str, function: str, *arguments: object, value: int = 0) -> Request:
        data = self.shop.deployed.contract.encode_abi(function, args=arguments)
        who = {"from": sender, "to": self.shop.address}
        return {**who, "gas": _GAS, "value": hex(value), "data": data}

    def _token(self) -> int:
        """Any lease, and the newer ones more often."""
        return self.random.randint(
            max(1, self.tokens - self.random.choice((5, 20))), self.tokens + 1
        )

    def _person(self) -> str:
        return self.random.choice(self.people)

    def _owned(self) -> tuple[int, str]:
        """A lease and its owner, where that is known, or whoever believes to own it."""
        token = self._token()
        return token, self._owners_of.get(token, self._person())

    def _owners(self, function: str) -> Callable[[], Request]:
        def deal() -> Request:
            token, owner = self._owned()
            return self._asked(owner, function, token)

        return deal

    def _provisioners(self, function: str) -> Callable[[], Request]:
        return lambda: self._asked(self.shop.provisioner, function, self._token())

    def _mint(self) -> Request:
        plan, buyer, seconds = self.random.randint(1, 2), self._person(), self._seconds()
        keys = self.random.choice(("", f"ssh-ed25519 {_BLOB} me@x"))
        wanted = purchase(plan, buyer, seconds, _COIN, _LATER, ssh_key=keys, encryption_key=b"\1")
        value = _COIN if plan in _NATIVE_PLANS else 0
        return self._asked(buyer, "mint", wanted, value=value)

    def _seconds(self) -> int:
        return self.random.randint(600, 12 * HOUR)

    def _coins(self, token: int) -> int:
        """More than enough for what is paid in native coin; the others refuse it."""
        return _COIN if self._plans_of.get(token, 1) in _NATIVE_PLANS else 0

    def _deliver(self) -> Request:
        sealed = self.random.randbytes(self.random.choice((0, 40)))
        token = self.random.choice(self._waiting[-9:] or [self._token()])
        reader = self._owners_of.get(token, self._person())
        return self._asked(self.shop.provisioner, "deliver", token, reader, sealed)

    def _publish(self) -> Request:
        token, owner = self._owned()
        return self._asked(self.shop.provisioner, "publishConnection", token, owner, b"sealed")

    def _renew(self) -> Request:
        token = self._token()
        return self._asked(
            *(self._person(), "renewSubscription", token, self._seconds()), value=self._coins(token)
        )

    def _transfer(self) -> Request:
        token, owner = self._owned()
        return self._asked(owner, "transferFrom", owner, self._person(), token)

    def _keys(self) -> Request:
        line = f"ssh-ed25519 {_BLOB} {self.random.randint(0, 999)}@x"
        key = self.random.randbytes(32)
        token, owner = self._owned()
        return self._asked(owner, "setKeys", token, line, key)

    def _action(self) -> Request:
        kind, data = self.random.randint(1, 4), self.random.randbytes(self.random.choice((0, 9)))
        token, owner = self._owned()
        return self._asked(owner, "requestAction", token, kind, data)

    def _upgrade(self) -> Request:
        token, owner = self._owned()
        larger = 4 - self._plans_of.get(token, 1) % 2
        plan = self.random.choice((larger, larger, larger, 3, PLANS))
        value = _COIN if plan in _NATIVE_PLANS else 0
        return self._asked(owner, "requestUpgrade", token, plan, _COIN, value=value)

    def _complete(self) -> Request:
        return self._asked(self.shop.provisioner, "completeUpgrade", *self._wish())

    def _refuse(self) -> Request:
        return self._asked(self.shop.provisioner, "refuseUpgrade", *self._wish())

    def _wish(self) -> tuple[int, int, int]:
        """An upgrade by its name: token, plan and deadline."""
        return self.random.choice(self._wished[-5:] or [(self._token(), 3, 0)])

    def _cancel_delivered(self) -> Request:
        return self._asked(self.shop.admin, "cancelDelivered", self._token())

    def _collect(self) -> Request:
        tokens = [self._token() for _ in range(3)]
        return self._asked(self.shop.treasurer, "collect", tokens)

    def _withdraw(self) -> Request:
        token = self.random.choice((NATIVE, self.coin.address))
        return self._asked(self.shop.treasurer, "withdraw", token, self.shop.treasurer, 1_000)

    def _claim(self) -> Request:
        person, token = self._person(), self.random.choice((NATIVE, self.coin.address))
        return self._asked(person, "claim", token, person)

    def _terms(self) -> Request:
        plan, price = self.random.randint(1, PLANS), self.random.randint(_PRICE // 2, 2 * _PRICE)
        cap, on_sale = self.random.choice((0, 0, 500)), self.random.random() < 0.9
        return self._asked(self.shop.admin, "setTerms", plan, price, cap, on_sale)

    def _pause(self) -> Request:
        return self._asked(self.shop.admin, "setSalesPaused", self.random.random() < 0.1)


async def opened(anvil: Anvil, seed: int) -> Bazaar:
    """A bazaar on a chain, where everybody has coin and the shop may take it."""
    shop = await open_shop(anvil)
    admin, *people = (await anvil.accounts())[:3]
    coin = await issue_token(anvil, admin, 10**30)
    for person in people:
        await coin.send("transfer", person, 10**29, sender=admin)
        await coin.send("approve", shop.address, 10**29, sender=person)
    for times in (1, 3):
        for payment_token in (NATIVE, coin.address):
            offer = PlanOffer(
                *("plan", 0, times, times * 1024, times * 10, HOUR, payment_token),
                price_per_second=times * _PRICE,
                end_fee=1_000,
            )
            await shop.create_plan(offer)
    return Bazaar(anvil, shop, coin, people, Random(seed))
