"""The story: two machines' whole lives, from purchase to destruction, and a stranger untouched.

Each act does what people do (buy, pay, hand over, let time pass) and then waits for what must follow
by itself. The daemon is never told anything: it sees the chain, and the story sees the machines.
"""

from dataclasses import dataclass, field

from chainwatch.demo.cluster import Guest
from chainwatch.demo.deployed import Receipt
from chainwatch.demo.expectations import Playbill
from chainwatch.demo.narrator import Narrator, Who, moment, span
from chainwatch.demo.sayings import told
from chainwatch.demo.stage import DAY, HOUR, SMALL, STRANGER, VMIDS, Person, Stage
from chainwatch.demo.watching import Watch, shape


@dataclass(slots=True)
class Story:
    """Plays on a stage, watched, and noted on a playbill."""

    stage: Stage
    watch: Watch
    playbill: Playbill
    narrator: Narrator
    first: int = 0
    second: int = 0
    vm: dict[int, int] = field(default_factory=dict)

    async def play(self) -> None:
        """Play all acts. Raises Unmet at the first expectation that is not met."""
        await self._opening()
        await self._bought_and_killed()
        await self._running()

    # --------------------------------------------------------------------------------- the acts

    async def _opening(self) -> None:
        async with self.playbill.act("opening", "The daemon comes up next to a machine of others"):
            await self.stage.daemon.start()
            await self.playbill.until("the daemon is up", self._started)

    async def _bought_and_killed(self) -> None:
        stage, alice = self.stage, self.stage.alice
        async with self.playbill.act(
            "killed", "Alice buys a machine; the daemon is killed in the middle of the clone"
        ):
            self._people(f"Alice buys plan 1 for {span(HOUR)}, with native coin")
            self.first, receipt = await stage.shop.mint(
                1, alice.account, seconds=HOUR, ssh_key=alice.ssh_key
            )
            await self._mined(receipt, confirm=1)
            await self.playbill.until("a clone is under way", self._cloning)
            pid = stage.daemon.pid
            code = await stage.daemon.kill()
            self._people(f"somebody kills the daemon: kill -9 {pid} (exit code {code})")
            await self.playbill.always("the clone was cut off from its daemon", self._cloning)
            await stage.daemon.start()

    async def _running(self) -> None:
        alice = self.stage.alice
        async with self.playbill.act("running", "The daemon comes back and finishes the machine"):
            await self._lives(self.first, alice)
            self.playbill.certain(
                "one machine exists for the lease, not two",
                so=len((await self.watch.look()).made_by(self.stage.token)) == 1,
            )

    # -------------------------------------------------------------------------------- the people

    def _people(self, what: str) -> None:
        self.narrator.tell(Who.PEOPLE, what)

    async def _mined(self, receipt: Receipt, *, confirm: int) -> None:
        head = await self.stage.chain.block()
        self.narrator.chain_time = head.timestamp
        self.narrator.tell(Who.CHAIN, told(receipt, self.stage.name))
        await self._mine(confirm)

    async def _mine(self, blocks: int) -> None:
        head = await self.stage.chain.mine(blocks)
        self.narrator.chain_time = head.timestamp

    # ----------------------------------------------------------------------------- what to expect

    async def _started(self) -> bool:
        return self.stage.socket.exists()

    async def _ours(self) -> list[Guest]:
        return (await self.watch.look()).made_by(self.stage.token)

    async def _cloning(self) -> bool:
        return any(guest.lock == "clone" for guest in await self._ours())

    async def _lives(self, token: int, person: Person) -> None:
        """Wait until the machine of a lease runs and its owner gets in."""

        async def enters() -> bool:
            for guest in await self._ours():
                if guest.name.startswith(f"lease-{token}-"):
                    self.vm[token] = guest.vmid
                    return await self.stage.cluster.admits(guest.vmid, person.ssh_key)
            return False

        await self.playbill.until(f"{person.name}'s SSH key gets into lease {token}'s machine", enters)
