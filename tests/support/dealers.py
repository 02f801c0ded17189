"""Several buyers, an operator and bad luck deal with one estate, in an order drawn from a seed.

What the contract does not allow is refused, as on any chain. The daemon is away, dies at any
commit, is paused; guests are deaf, nodes lose power, blocks are taken back. In the end luck is good
again, and time passes until every lease is over.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from chainwatch.errors import OperatorError
from provisioner import faultpoints
from provisioner.errors import HypervisorDown
from provisioner.simulator.faults import Fault, FaultName
from tests.support.books import Account, Books, Entry, entries
from tests.support.estate import GRACE, HOUR, LARGE, SMALL, Estate
from tests.support.flips import DEEPEST, flip
from tests.support.lease_contract import NATIVE, Reverted
from tests.support.realm import ALICES_KEY, TEMPLATE, Crash

MOST: Final = 8
PRICES: Final = {1: SMALL.price_per_second, 2: LARGE.price_per_second}
_COIN: Final = 10**18
_NODE: Final = "pve"
#: Seconds after which a node that lost power is surely back.
_BOOT: Final = 180

Deal = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Dealers:
    """Who deals with `it`; `people` are buyers. `done` is what happened, in order."""

    it: Estate
    people: tuple[str, ...]
    random: Random
    tokens: int = 0
    done: list[str] = field(default_factory=list)
    doubled: list[dict[int, list[str]]] = field(default_factory=list)

    async def deal(self, times: int) -> None:
        """Let so many things happen, and the daemon work between most of them."""
        buyers: tuple[Deal, ...] = (self._renew, self._transfer, self._keys, self._upgrade)
        seldom: tuple[Deal, ...] = (
            *(self._owners("end"), self._owners("refund"), self._owners("burn")),
            *(self._owners("cancelSubscription"), self._owners("withdrawUpgrade")),
            *(self._reboot, self._claim, self._collect, self._cancel_delivered),
        )
        luck: tuple[Deal, ...] = (
            *(self._away, self._dies, self._deaf, self._power_cut, self._refusing),
            *(self._back, self._back_again, self._paused, self._gives_back),
        )
        kinds = (*[self._buy] * 6, *buyers * 3, *seldom * 2, *luck * 2)
        await self.it.anvil.mine(DEEPEST)  # no bad luck takes back how the shop was opened
        for _ in range(times):
            deal = self.random.choice(kinds)
            try:
                await deal()
            except Reverted as refusal:
                self.done.append(f"  refused: {refusal.error}")
            await self._turns(self.random.randint(0, 6))

    async def settle(self) -> None:
        """Let luck be good again, and everything that is owed be done."""
        faultpoints.arm(None)
        self.it.cluster.state.faults.clear()
        self.it.cluster.guest(TEMPLATE).has_agent = True
        for vmid in self.it.cluster.inventory().guests:
            self.it.cluster.guest(vmid).has_agent = True
        self.it.cluster.advance(_BOOT)
        await self._resume()
        await self._turns(3)
        for _ in range(4):
            await self.it.daemon.supervisor.resync.survey()
            await self.it.daemon.supervisor.resync.enqueue_all("periodic resync")
            await self._turns(12)
            await self.it.finalize()

    async def end(self) -> None:
        """Let time pass until no lease is left, and no machine of one: those have their grace."""
        left: list[int] = []
        for _ in range(40):
            left = [token for token in range(1, self.tokens + 1) if await self._exists(token)]
            if not left and not self.it.machines():
                return
            await self.it.pass_time(GRACE)
            await self._turns(10, seconds=30)
            self.it.cluster.advance(HOUR)
            await self.it.daemon.supervisor.resync.enqueue_all("periodic resync")
        raise AssertionError((left, self.it.machines(), await self.it.sentences(), self.done))

    # --- buyers -----------------------------------------------------------------------------------

    async def _buy(self) -> None:
        if self.tokens >= MOST:
            return
        buyer, plan = self.random.choice(self.people), self.random.randint(1, 2)
        seconds = self.random.choice((600, HOUR, 5 * HOUR, 30 * HOUR))
        token, _ = await self.it.shop.mint(
            *(plan, buyer), seconds=seconds, ssh_key=ALICES_KEY, encryption_key=b"\1" * 32
        )
        self.tokens = max(self.tokens, token)
        self.done.append(f"{token}: bought, plan {plan}, {seconds} s")

    async def _exists(self, token: int) -> bool:
        try:
            return bool(await self.it.shop.owner_of(token))
        except Reverted:
            return False

    async def _send(self, function: str, *arguments: object, sender: str, value: int = 0) -> None:
        self.done.append(f"{function}{arguments}")
        await self.it.shop.deployed.send(function, *arguments, sender=sender, value=value)

    def _token(self) -> int:
        return self.random.randint(1, max(1, self.tokens))

    async def _owned(self) -> tuple[int, str]:
        token = self._token()
        return token, await self.it.shop.owner_of(token)

    def _owners(self, function: str) -> Deal:
        async def deal() -> None:
            token, owner = await self._owned()
            await self._send(function, token, sender=owner)

        return deal

    async def _renew(self) -> None:
        seconds = self.random.choice((60, HOUR, 9 * HOUR))
        payer = self.random.choice(self.people)
        await self._send("renewSubscription", self._token(), seconds, sender=payer, value=_COIN)

    async def _transfer(self) -> None:
        token, owner = await self._owned()
        await self._send(
            *("transferFrom", owner, self.random.choice(self.people), token), sender=owner
        )

    async def _keys(self) -> None:
        token, owner = await self._owned()
        await self._send("setKeys", token, ALICES_KEY, self.it.public(owner), sender=owner)

    async def _upgrade(self) -> None:
        token, owner = await self._owned()
        await self._send("requestUpgrade", token, 2, _COIN, sender=owner, value=_COIN)

    async def _reboot(self) -> None:
        token, owner = await self._owned()
        await self._send("requestAction", token, 1, b"", sender=owner)

    async def _claim(self) -> None:
        who = self.random.choice(self.people)
        await self._send("claim", NATIVE, who, sender=who)

    # --- the operator -----------------------------------------------------------------------------

    async def _collect(self) -> None:
        await self._send("collect", [self._token()], sender=self.it.shop.treasurer)

    async def _cancel_delivered(self) -> None:
        if self.random.random() < 0.3:
            await self._send("cancelDelivered", self._token(), sender=self.it.shop.admin)

    async def _gives_back(self) -> None:
        try:
            await self.it.desk().cancel(str(self._token()), "a test", 0)
        except (OperatorError, HypervisorDown) as error:
            self.done.append(f"  not cancelled: {error}")

    async def _paused(self) -> None:
        await self.it.desk().pause("effects", "a test", 0)
        self.done.append("paused")
        await self._turns(3)
        await self.it.pass_time(self.random.choice((600, 2 * HOUR)))
        await self._resume()

    async def _resume(self) -> None:
        if await self.it.daemon.stores.holds.pauses():
            await self.it.desk().resume_all("a test", 0)

    # --- luck -------------------------------------------------------------------------------------

    async def _turns(self, count: int, *, seconds: float = 4) -> None:
        for _ in range(count):
            await self.it.turns(1, seconds)
            await self.it.anvil.mine(1)
            seen = self.it.machines()
            if any(len(each) > 1 for each in seen.values()):
                self.doubled.append(seen)

    async def _away(self) -> None:
        """Nobody reads or does anything; then another process does."""
        seconds = self.random.choice((300, HOUR, 4 * HOUR, 30 * HOUR))
        self.done.append(f"away for {seconds} s")
        await self.it.pass_time(seconds)
        self.it.cluster.advance(seconds)
        await self.it.restart()

    async def _dies(self) -> None:
        """Die at one of the next commits."""
        left = self.random.randint(1, 30)
        self.done.append(f"dies at commit {left}")

        def die(point: str) -> None:
            nonlocal left
            left -= point.startswith("commit.")
            if left == 0:
                raise Crash(point)

        faultpoints.arm(die)
        await self._turns(6)
        faultpoints.arm(None)

    async def _deaf(self) -> None:
        """From now on machines are made that nobody hears, or the other way round."""
        template = self.it.cluster.guest(TEMPLATE)
        template.has_agent = not template.has_agent
        self.done.append(f"machines are heard: {template.has_agent}")

    async def _power_cut(self) -> None:
        self.it.cluster.power_cycle(_NODE)
        self.done.append("the node loses power")

    async def _refusing(self) -> None:
        """The next clones or growths fail."""
        method, path = self.random.choice((("POST", "*/clone"), ("PUT", "*/resize")))
        self.done.append(f"{path} fails")
        text = "got timeout"
        self.it.cluster.arm(Fault(FaultName.REFUSE, method, path, status=500, text=text))

    async def _back(self) -> None:
        """The last block is replaced by an empty one."""
        self.done.append("a block is taken back")
        await self.it.anvil.reorg(1)
        await self.it.anvil.mine(1)

    async def _back_again(self) -> None:
        """The last blocks are taken back, and come again with all that stood in them."""
        depth, later = self.random.randint(1, DEEPEST), self.random.randint(0, 1)
        turns = self.random.randint(1, 3)
        self.done.append(f"{depth} blocks are taken back and come again, {later} s later")
        await self.it.anvil.rpc("evm_setAutomine", False)
        await flip(self.it.anvil, depth, lambda: self.it.turns(turns), later=later)
        await self.it.anvil.rpc("evm_setAutomine", True)
        await self.it.anvil.mine(1)


async def judged(it: Estate) -> dict[int, Account]:
    """Hold the money of every lease against its time, from what the chain says; return both."""
    told = await entries(it.shop.deployed)
    books = Books(PRICES).take_in(told)
    books.balanced()
    held = int(str(await it.anvil.rpc("eth_getBalance", it.shop.address, "latest")), 16)
    assert held == sum(books.credits.values())
    for token, each in books.leases.items():
        assert (each.escrow, each.aside) == (0, 0), (token, each)
        _ends_in_one_way(token, each)
    assert ends(told) == sorted(books.leases)
    return books.leases


def _ends_in_one_way(token: int, each: Account) -> None:
    """Refunded whole, used up, or a part of each: the earned part is the time that it ran for."""
    if not each.delivered:
        assert (each.refunded, each.earned) == (each.paid, 0), (token, each)
    else:
        assert each.earned == each.time, (token, each)


def ends(told: list[Entry]) -> list[int]:
    """The tokens that were burned, each as often as that."""
    gone = [each for each in told if each.name == "Transfer" and each.text("to") == NATIVE]
    return sorted(each.number("tokenId") for each in gone)
