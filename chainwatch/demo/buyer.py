"""The people around a lease contract: an admin who sells, buyers who pay, anyone who renews.

Each method is one transaction, as a wallet would send it, and gives its receipt back decoded. A
purchase asks the chain for the price and for its time, never this machine's clock, so it works
after time travel too. A plan paid in an ERC-20 wants the buyer's `approve` on that token first.
"""

from dataclasses import dataclass
from typing import TypeAlias

from chainwatch.demo.anvil import Anvil
from chainwatch.demo.deployed import Deployed, Receipt, deploy

NATIVE = "0x" + "0" * 40
_PATIENCE_S = 3600
_PAYMENT_TOKEN, _PRICE = 8, 12
"""Where they stand in the contract's `Plan`."""

Purchase: TypeAlias = tuple[int, str, int, int, int, str, bytes]


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """What an admin puts on sale. Kind 0 is a VM, 1 a container; grace in seconds; the price per
    second in the smallest unit of the payment token (zero address: the native coin); cap 0: none.
    It is delivered within `delivery_time` seconds; an early end costs `end_fee` hundredths of a
    percent of the unused rest.
    """

    name: str = "small"
    kind: int = 0
    cores: int = 1
    memory_mib: int = 1024
    disk_gib: int = 10
    grace: int = 3600
    payment_token: str = NATIVE
    price_per_second: int = 1_000
    cap: int = 0
    delivery_time: int = 3600
    end_fee: int = 0


@dataclass(frozen=True, slots=True)
class LeaseContract:
    """A deployed `Lease`, made by `open_shop`; whatever it has no method for, ask `deployed`."""

    deployed: Deployed
    admin: str
    treasurer: str
    provisioner: str

    @property
    def address(self) -> str:
        return self.deployed.address

    async def create_plan(self, offer: PlanOffer) -> int:
        """Puts a plan on sale and gives its id, counted from 1."""
        await self.deployed.send(
            "createPlan",
            (
                *(offer.name, offer.kind, offer.cores, offer.memory_mib, offer.disk_gib),
                *(offer.grace, offer.delivery_time, offer.end_fee),
                *(offer.payment_token, offer.price_per_second, offer.cap),
            ),
            sender=self.admin,
        )
        return await self.deployed.call(int, "planCount")

    async def set_terms(
        self, plan: int, price_per_second: int, *, cap: int = 0, on_sale: bool = True
    ) -> Receipt:
        return await self.deployed.send(
            "setTerms", plan, price_per_second, cap, on_sale, sender=self.admin
        )

    async def pause_sales(self, paused: bool) -> Receipt:
        return await self.deployed.send("setSalesPaused", paused, sender=self.admin)

    async def mint(
        self,
        plan: int,
        buyer: str,
        *,
        seconds: int = 3600,
        ssh_key: str = "",
        encryption_key: bytes = b"",
        recipient: str | None = None,
    ) -> tuple[int, Receipt]:
        """Buys a lease for exactly its price; gives its token id and the receipt.

        Its time begins only with `deliver`.
        """
        amount = await self.price(plan) * seconds
        native = await self.payment_token(plan) == NATIVE
        head = await self.deployed.anvil.block()
        receipt = await self.deployed.send(
            "mint",
            purchase(
                plan,
                recipient or buyer,
                seconds,
                amount,
                head.timestamp + _PATIENCE_S,
                ssh_key=ssh_key,
                encryption_key=encryption_key,
            ),
            sender=buyer,
            value=amount if native else 0,
        )
        return _token_of(receipt), receipt

    async def deliver(self, token: int, connection: bytes = b"") -> Receipt:
        """Says that the machine is there: the lease's time begins."""
        owner = await self.owner_of(token)
        return await self.deployed.send(
            "deliver", token, owner, connection, sender=self.provisioner
        )

    async def cancel_undelivered(self, token: int) -> Receipt:
        """Gives all that was paid back; the token is burned."""
        return await self.deployed.send("cancelUndelivered", token, sender=self.provisioner)

    async def refund(self, token: int, owner: str) -> Receipt:
        """Takes back what was not delivered in time, as credit; the token is burned."""
        return await self.deployed.send("refund", token, sender=owner)

    async def claim(self, payment_token: str, account: str) -> Receipt:
        """Takes out all that `account` is owed."""
        return await self.deployed.send("claim", payment_token, account, sender=account)

    async def renew(self, token: int, seconds: int, payer: str) -> Receipt:
        """Renews a lease for exactly its price; the payer may be anyone."""
        plan = await self.deployed.call(int, "planOf", token)
        native = await self.payment_token(plan) == NATIVE
        amount = await self.deployed.call(int, "priceOf", token) * seconds
        return await self.deployed.send(
            "renewSubscription", token, seconds, sender=payer, value=amount if native else 0
        )

    async def transfer(self, token: int, owner: str, recipient: str) -> Receipt:
        return await self.deployed.send("transferFrom", owner, recipient, token, sender=owner)

    async def set_keys(
        self, token: int, owner: str, ssh_key: str, encryption_key: bytes = b""
    ) -> Receipt:
        return await self.deployed.send("setKeys", token, ssh_key, encryption_key, sender=owner)

    async def cancel(self, token: int, owner: str) -> Receipt:
        """Says "do not renew"; the expiry stays."""
        return await self.deployed.send("cancelSubscription", token, sender=owner)

    async def allow_renewal(self, token: int, owner: str) -> Receipt:
        return await self.deployed.send("allowRenewal", token, sender=owner)

    async def end(self, token: int, owner: str) -> Receipt:
        return await self.deployed.send("end", token, sender=owner)

    async def burn(self, token: int, owner: str) -> Receipt:
        return await self.deployed.send("burn", token, sender=owner)

    async def collect(self, *tokens: int) -> Receipt:
        """Makes what was earned of these leases the operator's."""
        return await self.deployed.send("collect", list(tokens), sender=self.treasurer)

    async def withdraw(self, payment_token: str, recipient: str, amount: int) -> Receipt:
        return await self.deployed.send(
            "withdraw", payment_token, recipient, amount, sender=self.treasurer
        )

    async def expires_at(self, token: int) -> int:
        """Seconds, UTC; Reverted when there is no such token."""
        return await self.deployed.call(int, "expiresAt", token)

    async def owner_of(self, token: int) -> str:
        """A checksummed address; Reverted when there is no such token."""
        return await self.deployed.call(str, "ownerOf", token)

    async def price(self, plan: int) -> int:
        """What a second of a new lease costs now."""
        return int((await self.deployed.call(tuple, "plan", plan))[_PRICE])

    async def payment_token(self, plan: int) -> str:
        return str((await self.deployed.call(tuple, "plan", plan))[_PAYMENT_TOKEN])


def purchase(
    plan: int,
    recipient: str,
    seconds: int,
    max_amount: int,
    deadline: int,
    *,
    ssh_key: str = "",
    encryption_key: bytes = b"",
) -> Purchase:
    """What a buyer wants, as the contract's `Purchase`."""
    return plan, recipient, seconds, max_amount, deadline, ssh_key, encryption_key


async def open_shop(
    anvil: Anvil, *, provisioner: str | None = None, treasurer: str | None = None
) -> LeaseContract:
    """Deploys `Lease`: its admin is the first account, its provisioner and treasurer the last."""
    admin, *_, last_but_one, last = await anvil.accounts()
    roles = (admin, treasurer or last, provisioner or last_but_one)
    deployed = await deploy(anvil, "Lease", *roles, sender=admin)
    return LeaseContract(deployed, *roles)


async def issue_token(anvil: Anvil, holder: str, supply: int) -> Deployed:
    """Deploys `TestToken`, a plain ERC-20 with permit; `holder` gets the whole supply."""
    return await deploy(anvil, "TestToken", supply, sender=holder)


def _token_of(receipt: Receipt) -> int:
    for event in receipt.events:
        if event.name == "LeaseMinted" and isinstance(token := event.values["tokenId"], int):
            return token
    raise LookupError(f"{receipt.tx_hash} minted nothing")
