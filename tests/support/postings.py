"""A daemon of its own that sends, killed in the middle, and what the chain tells of it afterwards.

An act is something that is owed on the chain, and the fault points that are passed until that is
final. Each case is an installation with a contract, a hot key and so a line of nonces of its own,
on a chain that goes on while the daemon lives. Whether something was done once is counted on the
chain: what the contract said, what our account sent, and what still waits for a block.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account
from web3 import AsyncWeb3

from chainwatch.admin.client import Json
from chainwatch.chain.ethereum import keccak
from provisioner import faultpoints
from tests.support.acts import edges
from tests.support.anvil import CHAIN_ID
from tests.support.daemon import GRACE, HOUR, KEY, Grounds, Installation, installation
from tests.support.lease_contract import PlanOffer
from tests.support.processes import PATIENCE

#: Names one case to be played alone: an act and a fault point.
ONLY: Final = "CHAINWATCH_KILL_SENDER"
TOKEN: Final = 1
NOBODY: Final = f"0x{0:040x}"
#: Seconds between two blocks: a pass of the sender takes one at least.
BLOCK: Final = 0.25
#: More than any node has, so that no machine is ever made of it.
HUGE: Final = PlanOffer(name="huge", memory_mib=2**31)

Happening: TypeAlias = Callable[["Posting"], Awaitable[object]]


@dataclass(slots=True)
class Posting:
    """A daemon with a hot key that is its alone; `foreign` nonces of it are used by somebody."""

    it: Installation
    address: str
    foreign: int = 0
    order: Sequence[str] = field(default=())

    # --------------------------------------------------------------------------- what happens

    async def buy(self, plan: int = 1) -> None:
        public = X25519PrivateKey.generate().public_key().public_bytes_raw()
        await self.it.shop.mint(
            plan, self.it.buyer, seconds=HOUR, ssh_key=KEY, encryption_key=public
        )
        await self.pass_time(1)

    async def pass_time(self, seconds: int) -> None:
        """Let the chain's time pass, and have that be final."""
        await self.it.grounds.chain.advance(seconds)
        await self.it.grounds.chain.mine(4)

    async def dies(self, point: str) -> None:
        """One life of the daemon, which ends at a fault point; blocks come all the while."""
        await self.it.daemon.start(point)
        async with self._blocks():
            await self._typed()
            with suppress(TimeoutError):
                await self.it.daemon.end()
        alive = self.it.daemon.alive
        assert not alive, f"it never passed {point}\n{self.it.daemon.said()[-4000:]}"
        assert await self.it.daemon.end() == -signal.SIGKILL, point

    async def lives(self, act: "Act") -> None:
        """The last life, in which all comes to its end."""
        await self.it.daemon.start()
        async with self._blocks():
            await self._typed()
            ended = partial(self._has_ended, act)
            await self.it.until("all that was owed is final", ended, seconds=2 * PATIENCE)
        assert await self.it.daemon.stop() == 0

    @asynccontextmanager
    async def _blocks(self) -> AsyncIterator[None]:
        """Have blocks come, for as long as this lasts."""

        async def come() -> None:
            while True:
                await self.it.grounds.chain.mine(1)
                await asyncio.sleep(BLOCK)

        async with asyncio.TaskGroup() as tasks:
            coming = tasks.create_task(come())
            yield
            coming.cancel()

    async def _typed(self) -> None:
        """Type the order as soon as a daemon takes it, if one lives so long."""
        while self.order and self.it.daemon.alive:
            if await self.it.status.ready():
                await self.it.run(*self.order)
                return
            await asyncio.sleep(BLOCK)

    async def _has_ended(self, act: "Act") -> bool:
        if not await self.it.status.ready():
            return False
        status, story = await self.it.ask(f"/leases/{self.it.lease(TOKEN)}")
        if status != 200 or not isinstance(story, dict):
            return False
        states = [each["state"] for each in _rows(story["sendings"]) if each["kind"] == act.kind]
        return states == ["final"] and (act.machines == 0 or await self.it.settled(TOKEN))

    # ----------------------------------------------------------------------- what came of it

    async def effects(self, event: str) -> int:
        """How often the contract said an event, or burnt the token (`burnt`)."""
        contract = self.it.shop.deployed.contract
        name = "Transfer" if event == "burnt" else event
        logs = await contract.get_event_by_name(name).get_logs(from_block=0)
        said = [log["args"] for log in logs if log["args"]["tokenId"] == TOKEN]
        return sum(event != "burnt" or each["to"] == NOBODY for each in said)

    async def nonces(self) -> list[int]:
        """The nonces of our account's transactions that succeeded, in the order of the chain."""
        chain = self.it.grounds.chain
        found: list[int] = []
        eth = AsyncWeb3(chain.provider).eth
        first = int(self.it.settings["source"]["start_block"])  # type: ignore[arg-type] # a number
        for number in range(first, (await chain.block()).number + 1):
            for tx in (await chain.block(number)).transactions:
                sent = await eth.get_transaction(tx)  # type: ignore[arg-type] # a hash in hex
                if sent["from"].lower() == self.address:
                    receipt = await eth.get_transaction_receipt(tx)  # type: ignore[arg-type] # as above
                    assert receipt["status"] == 1, f"{tx} was in vain"
                    found.append(sent["nonce"])
        return found

    async def pending(self) -> int:
        """How many transactions of our account wait for a block."""
        pool = await self.it.grounds.chain.rpc("txpool_content")
        assert isinstance(pool, dict)
        return sum(
            len(by_nonce)
            for part in ("pending", "queued")
            for address, by_nonce in pool[part].items()
            if address.lower() == self.address
        )


def _rows(told: Json) -> list[dict[str, Json]]:
    """Return the objects in a list."""
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []


# ------------------------------------------------------------------------------------------- acts


async def bought(post: Posting) -> None:
    await post.buy()


async def overdue(post: Posting) -> None:
    """Nobody delivers it in time."""
    await post.buy()
    await post.pass_time(HOUR + 1)


async def grace_over(post: Posting) -> None:
    """It was delivered, and nobody was there until its grace was over."""
    await post.buy()
    await post.it.shop.deliver(TOKEN)
    await post.pass_time(HOUR + GRACE + 1)


async def hopeless(post: Posting) -> None:
    """No node has room for what was bought."""
    await post.it.shop.create_plan(HUGE)
    await post.buy(plan=2)


async def robbed(post: Posting) -> None:
    """What was signed and never sent has the nonce that a thief of the key uses."""
    await post.buy()
    await post.dies("commit.sending_signed.after")
    chain = post.it.grounds.chain
    await chain.rpc("anvil_impersonateAccount", post.address)
    await chain.rpc("eth_sendTransaction", {"from": post.address, "to": post.address})
    await chain.rpc("anvil_stopImpersonatingAccount", post.address)
    await chain.mine(1)
    post.foreign = 1


@dataclass(frozen=True, slots=True)
class Act:
    """`happens`, and an effect of this `kind` is owed, which the contract tells by `event`.

    `order` is typed to each daemon, `reaches` are the calls and commits that are passed, and so
    many `machines` are there in the end. Of some points the second time is one to die at too
    (`often`): a pass signs it, and another one at least sees what became of it.
    """

    kind: str
    event: str
    happens: Happening
    reaches: tuple[str, ...]
    machines: int = 0
    order: tuple[str, ...] = ()
    often: tuple[str, ...] = ()

    @property
    def points(self) -> tuple[str, ...]:
        return (*edges(*self.reaches), *(f"{point}:2" for point in edges(*self.often)))


_SENT: Final = (
    *("sender.account", "sender.traces", "sender.look", "sender.simulate", "sender.broadcast"),
    *("commit.sending_signed", "commit.sending_broadcast", "commit.sending_seen"),
    "commit.sending_end",
)
_OFTEN: Final = ("sender.account", "sender.traces", "sender.look")
_CANCEL: Final = ("cancel", str(TOKEN), "--reason", "there is no room", "--yes")

ACTS: Final[Mapping[str, Act]] = {
    "deliver": Act(
        *("deliver", "LeaseDelivered", bought, ("commit.work", "guest.host_keys", *_SENT)),
        machines=1,
        often=_OFTEN,
    ),
    "cancel": Act("cancel", "burnt", overdue, _SENT, often=_OFTEN),
    "burn": Act("burn", "burnt", grace_over, _SENT, often=_OFTEN),
    "cancel by hand": Act(
        "cancel", "burnt", hopeless, ("commit.sending_want", *_SENT), order=_CANCEL
    ),
    "deliver after a thief": Act(
        *("deliver", "LeaseDelivered", robbed),
        (
            *("sender.final_nonce", "sender.testimony", "commit.sending_waits"),
            *("commit.sending_seen", "commit.sending_signed", "sender.broadcast"),
        ),
        machines=1,
    ),
    "deliver while looked at": Act(
        "deliver", "LeaseDelivered", bought, ("sender.has_role",), machines=1, order=("check",)
    ),
}

Case: TypeAlias = tuple[str, tuple[str, ...]]

#: Where a daemon dies in an ordinary run, in one life after the other: each point in one of them.
COVERING: Final[Sequence[Case]] = (
    (
        "deliver",
        (
            *("guest.host_keys.before", "commit.work.after", "sender.account.after"),
            *edges("sender.simulate"),
            *("commit.sending_signed.before", "commit.sending_signed.after"),
            *edges("sender.broadcast"),
            *edges("commit.sending_seen", "commit.sending_end"),
        ),
    ),
    (
        "cancel",
        (
            *("sender.account.before", "sender.look.before", "sender.traces.before"),
            "commit.sending_broadcast.before",
        ),
    ),
    (
        "burn",
        (*("sender.look.after", "sender.traces.after"), "commit.sending_broadcast.after"),
    ),
    ("cancel by hand", edges("commit.sending_want")),
    (
        "deliver after a thief",
        edges("sender.final_nonce", "commit.sending_waits", "sender.testimony"),
    ),
    ("deliver while looked at", edges("sender.has_role")),
)


def cases() -> list[Case]:
    """Return what is to be played now: all in a soak, else a selection, or what is named."""
    if only := os.environ.get(ONLY):
        name, point = only.rsplit(maxsplit=1)
        return [(name, (point,))]
    if os.environ.get("CHAINWATCH_SOAK", "0") == "0":
        return list(COVERING)
    return [(name, (point,)) for name, act in ACTS.items() for point in act.points]


def named(case: Case) -> str:
    """Return a case's name: of a single death it is what `CHAINWATCH_KILL_SENDER` takes."""
    name, points = case
    return f"{name} {points[0] if len(points) == 1 else f'{len(points)} deaths'}"


async def played(place: Grounds, folder: Path, case: Case) -> None:
    """Play an act with a daemon that is killed at each point in turn, and judge what is left."""
    name, points = case
    act = ACTS[name]
    async with installation(place, folder) as it:
        post = await _opened(it)
        await act.happens(post)
        post.order = act.order
        for point in points:
            await post.dies(point)
        await post.lives(act)
        assert await post.effects(act.event) == 1
        assert await post.nonces() == [*range(post.foreign + 1)]
        assert await post.pending() == 0
        paid = HOUR * PlanOffer().price_per_second
        owed = await it.shop.deployed.call(int, "creditOf", NOBODY, it.buyer)
        assert owed == (paid if act.kind == "cancel" else 0)
        await it.judge(machines=act.machines)


async def _opened(it: Installation) -> Posting:
    """Give the installation a hot key of its own, with coins and the role of a provisioner."""
    key, file = secrets.token_bytes(32), it.folder / "sender-key"
    file.touch(0o600)
    file.write_text(key.hex())
    it.settings["sender"] = {"key_file": str(file)}
    it.settings["[sender.chains]"] = {"chain_id": CHAIN_ID, "most_fee_gwei": 50.0}
    it.configure()
    address = Account.from_key(key).address
    chain, shop = it.grounds.chain, it.shop
    await chain.rpc("anvil_setBalance", address, hex(10**18))
    role = keccak(b"PROVISIONER_ROLE")
    await shop.deployed.send("grantRole", role, address, sender=shop.admin)
    return Posting(it, address.lower())


#: Every fault point of the sender.
SENDERS: Final = frozenset(edges(*faultpoints.SENDING, *faultpoints.SENDING_COMMITS))
