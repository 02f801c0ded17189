"""Everybody who deals with a lease contract at once: any function, any lease, in a seeded order.

People know who owned what a block ago, and ask for no more: what is not allowed reverts and says
nothing, as on any chain. People, plans and times are few and close together, so that enough of it
succeeds. It is paid in coin, or in one of three tokens: one that everybody approved; one that
nobody did, so that all of it is paid by permits and authorizations; and one that knows
authorizations alone, and was approved for the rest. Anybody completes what was authorized, also a
second time, and uses permits before those who signed them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from eth_utils.address import to_checksum_address

from chainwatch.chain.ethereum import keccak
from chainwatch.chain.wallet.paying import Purchase
from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import deploy
from tests.support.compiled import fixture
from tests.support.lease_contract import (
    NATIVE,
    Deployed,
    LeaseContract,
    PlanOffer,
    issue_token,
    open_shop,
    purchase,
)
from tests.support.signers import Signers, signers

HOUR: Final = 3600
#: What everybody has of each token in the beginning.
PURSE: Final = 10**29
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
_TERMS: Final = f"0x{keccak(b'PlanTerms(uint256,address,uint256,uint32,bool)').hex()}"
#: Each small plan has a larger one, so many further, that is paid in the same.
_SMALL: Final = 4
PLANS: Final = 2 * _SMALL
_NATIVE, _APPROVED, _PERMITTED, _AUTHORIZED = range(1, _SMALL + 1)
#: What is bought or renewed by signatures.
SIGNED: Final = ("mintWithPermit", "mintWithAuthorization", "renewWithPermit")

Request = dict[str, object]


@dataclass(slots=True)
class Bazaar:
    """A shop with four plans and four larger ones, paid in native coin or in one of `coins`.

    `done` is how often each function succeeded.
    """

    anvil: Anvil
    shop: LeaseContract
    coins: Sequence[Deployed]
    signers: Signers
    random: Random
    tokens: int = 0
    done: Counter[str] = field(default_factory=Counter)
    _prices: dict[int, int] = field(default_factory=dict)
    _wished: list[tuple[int, int, int]] = field(default_factory=list)
    _plans_of: dict[int, int] = field(default_factory=dict)
    _owners_of: dict[int, str] = field(default_factory=dict)
    _waiting: list[int] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _overtaken: list[Request] = field(default_factory=list)
    _authorized: list[tuple[object, object]] = field(default_factory=list)
    _deals: Sequence[Callable[[], Request]] = field(init=False)

    def __post_init__(self) -> None:
        often = (self._mint, self._deliver)
        wishes = (self._upgrade, self._complete)
        sometimes = (self._renew, self._transfer, self._keys)
        signed = (self._mint_with_permit, self._mint_with_authorization, self._renew_with_permit)
        seldom = (
            *(self._owners("end"), self._owners("refund"), self._owners("burn")),
            *(self._owners("cancelSubscription"), self._owners("allowRenewal")),
            *(self._owners("withdrawUpgrade"), self._provisioners("cancelUndelivered")),
            *(self._provisioners("burn"), self._refuse),
            *(self._collect, self._withdraw, self._claim, self._action, self._publish),
            *(self._cancel_delivered, self._terms, self._pause, self._overtake, self._repeat),
        )
        self._deals = (*often * 8, *sometimes * 6, *wishes * 14, *signed * 4, *seldom)

    def paid_in(self, plan: int) -> str:
        """What a plan is paid in."""
        return (NATIVE, *(coin.address for coin in self.coins))[(plan - 1) % _SMALL]

    async def offers(self, offer: PlanOffer) -> None:
        """Put a plan on sale, at a price that everybody knows."""
        self._prices[await self.shop.create_plan(offer)] = offer.price_per_second

    async def deal(self, count: int) -> int:
        """So many deals that succeed, and time that passes between their blocks.

        Returns how many were tried.
        """
        await self.anvil.rpc("evm_setAutomine", False)
        tried = done = 0
        while done < count:
            await self.signers.look()
            sent = {}
            for _ in range(_IN_A_BLOCK):
                request = self.random.choice(self._deals)()
                digest = await self.anvil.rpc("eth_sendTransaction", request)
                sent[digest] = self._names[str(request["data"])[:10]]
            await self.anvil.rpc(
                "evm_increaseTime", self.random.choice((12, 12, 12, 60, 600, HOUR))
            )
            head = await self.anvil.mine()
            receipts = await self.anvil.rpc("eth_getBlockReceipts", hex(head.number))
            assert isinstance(receipts, list)
            good = [sent[r["transactionHash"]] for r in receipts if r["status"] == "0x1"]
            self.done.update(good)
            tried, done = tried + len(receipts), done + len(good)
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
        if topic == _TERMS:
            self._prices[int(words[0], 16)] = int(log["data"][66:130], 16)
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
        self._names[data[:10]] = function
        who = {"from": sender, "to": self.shop.address}
        return {**who, "gas": _GAS, "value": hex(value), "data": data}

    def _token(self) -> int:
        """Any lease, and the newer ones more often."""
        return self.random.randint(
            max(1, self.tokens - self.random.choice((5, 20))), self.tokens + 1
        )

    def _person(self) -> str:
        return self.random.choice(self.signers.people)

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
        wanted = self._wanted(_NATIVE, _APPROVED, _AUTHORIZED)
        return self._asked(wanted[1], "mint", wanted, value=self._value(wanted[0]))

    def _mint_with_permit(self) -> Request:
        if self._overtaken:
            return self._overtaken.pop()
        request, _ = self._permitted()
        return request

    def _overtake(self) -> Request:
        """Somebody saw a purchase, and uses its permit before its buyer is mined."""
        request, permit = self._permitted()
        self._overtaken.append(request)
        coin = self.coins[_PERMITTED - 2]
        given = (request["from"], self.shop.address, *permit)
        data = coin.contract.encode_abi("permit", args=given)
        self._names[data[:10]] = "permit"
        return {"from": self._person(), "to": coin.address, "gas": _GAS, "data": data}

    def _permitted(self) -> tuple[Request, tuple[object, ...]]:
        """A purchase that is paid by permit, and the permit."""
        plan, buyer, seconds, *_ = wanted = self._wanted(_PERMITTED)
        permit = self._permit(buyer, plan, seconds)
        return self._asked(buyer, "mintWithPermit", wanted, permit), permit

    def _mint_with_authorization(self) -> Request:
        plan, buyer, seconds, *_ = wanted = self._wanted(_APPROVED, _PERMITTED, _AUTHORIZED)
        price = self._prices[plan] * seconds
        signed = self.signers.authorization(self.paid_in(plan), buyer, price, wanted, self.random)
        self._authorized.append((wanted, signed))
        return self._asked(self._person(), "mintWithAuthorization", wanted, signed)

    def _repeat(self) -> Request:
        """Somebody completes what was authorized lately, whether that was done or not."""
        if not self._authorized:
            return self._mint_with_authorization()
        wanted = self.random.choice(self._authorized[-5:])
        return self._asked(self._person(), "mintWithAuthorization", *wanted)

    def _wanted(self, *plans: int) -> Purchase:
        """A purchase of one of these plans, for the one who pays."""
        plan, buyer, seconds = self.random.choice(plans), self._person(), self._seconds()
        keys = self.random.choice(("", f"ssh-ed25519 {_BLOB} me@x"))
        return purchase(plan, buyer, seconds, _COIN, _LATER, ssh_key=keys, encryption_key=b"\1")

    def _permit(self, payer: str, plan: int, seconds: int) -> tuple[object, ...]:
        """A permit of what it costs, or of more."""
        price = self._prices[plan] * seconds * self.random.choice((1, 1, 4))
        return self.signers.permit(self.paid_in(_PERMITTED), payer, price)

    def _seconds(self) -> int:
        return self.random.randint(600, 12 * HOUR)

    def _value(self, plan: int) -> int:
        """More than enough for what is paid in native coin; the others refuse it."""
        return _COIN if self.paid_in(plan) == NATIVE else 0

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
        value = self._value(self._plans_of.get(token, _NATIVE))
        return self._asked(
            *(self._person(), "renewSubscription", token, self._seconds()), value=value
        )

    def _renew_with_permit(self) -> Request:
        money = self.paid_in(_PERMITTED)
        known = [each for each, plan in self._plans_of.items() if self.paid_in(plan) == money]
        token = self.random.choice(known[-9:] or [self._token()])
        payer, seconds = self._person(), self._seconds()
        permit = self._permit(payer, self._plans_of.get(token, _PERMITTED), seconds)
        return self._asked(payer, "renewWithPermit", token, seconds, _COIN, permit)

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
        larger = _SMALL + 1 + (self._plans_of.get(token, _NATIVE) - 1) % _SMALL
        plan = self.random.choice((larger, larger, larger, _SMALL + 1, PLANS))
        return self._asked(owner, "requestUpgrade", token, plan, _COIN, value=self._value(plan))

    def _complete(self) -> Request:
        return self._asked(self.shop.provisioner, "completeUpgrade", *self._wish())

    def _refuse(self) -> Request:
        return self._asked(self.shop.provisioner, "refuseUpgrade", *self._wish())

    def _wish(self) -> tuple[int, int, int]:
        """An upgrade by its name: token, plan and deadline."""
        return self.random.choice(self._wished[-5:] or [(self._token(), PLANS, 0)])

    def _cancel_delivered(self) -> Request:
        return self._asked(self.shop.admin, "cancelDelivered", self._token())

    def _collect(self) -> Request:
        tokens = [self._token() for _ in range(3)]
        return self._asked(self.shop.treasurer, "collect", tokens)

    def _withdraw(self) -> Request:
        token = self._money()
        return self._asked(self.shop.treasurer, "withdraw", token, self.shop.treasurer, 1_000)

    def _claim(self) -> Request:
        person = self._person()
        return self._asked(person, "claim", self._money(), person)

    def _money(self) -> str:
        return self.paid_in(self.random.randint(1, PLANS))

    def _terms(self) -> Request:
        plan, price = self.random.randint(1, PLANS), self.random.randint(_PRICE // 2, 2 * _PRICE)
        cap, on_sale = self.random.choice((0, 0, 500)), self.random.random() < 0.9
        return self._asked(self.shop.admin, "setTerms", plan, price, cap, on_sale)

    def _pause(self) -> Request:
        return self._asked(self.shop.admin, "setSalesPaused", self.random.random() < 0.1)


async def opened(anvil: Anvil, seed: int) -> Bazaar:
    """A bazaar on a chain, where everybody has what is paid with, and the shop may take most."""
    shop = await open_shop(anvil)
    admin, *_ = await anvil.accounts()
    made = await signers(anvil, shop.address)
    approved, permitted = [await issue_token(anvil, admin, 10**30) for _ in range(2)]
    authorized = await deploy(anvil, fixture("SignedToken"), 10**30, sender=admin)
    for coin in (approved, permitted, authorized):
        for person in made.people:
            await coin.send("transfer", person, PURSE, sender=admin)
            if coin is not permitted:
                await coin.send("approve", shop.address, PURSE, sender=person)
    made.know(approved, "Test Token", "1", permits=False)
    made.know(permitted, "Test Token", "1", permits=True)
    made.know(authorized, "Signed Token", "2", permits=False)
    bazaar = Bazaar(anvil, shop, (approved, permitted, authorized), made, Random(seed))
    for times in (1, 3):
        for plan in range(1, _SMALL + 1):
            offer = PlanOffer(
                *("plan", 0, times, times * 1024, times * 10, HOUR, bazaar.paid_in(plan)),
                price_per_second=times * _PRICE,
                end_fee=1_000,
            )
            await bazaar.offers(offer)
    return bazaar
