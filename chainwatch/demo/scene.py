"""What the acts of the story are made of: what people do, and questions about what follows.

What people do is a transaction or time that passes, told as it happens. A question is asked of the
machine room or of the daemon's socket, never answered from the story's own memory of what it did.
"""

from dataclasses import dataclass

from chainwatch.demo.cluster import Guest, Inventory
from chainwatch.demo.deployed import Receipt
from chainwatch.demo.expectations import Playbill, Question
from chainwatch.demo.narrator import Narrator, Who, span
from chainwatch.demo.sayings import told
from chainwatch.demo.stage import EPOCH, Person, Stage
from chainwatch.demo.status import StatusSocket
from chainwatch.demo.watching import Watch


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage that is watched, and the playbill on which it is noted."""

    stage: Stage
    watch: Watch
    playbill: Playbill
    narrator: Narrator
    status: StatusSocket

    # ----------------------------------------------------------------------------- what people do

    def people(self, what: str) -> None:
        """Tell what somebody does."""
        self.narrator.tell(Who.PEOPLE, what)

    async def mined(self, receipt: Receipt, *, confirm: int = 1) -> None:
        """Tell a transaction that was mined, and mine `confirm` more blocks on it."""
        self.watch.voice.forget()
        await self.tell_time()
        self.narrator.tell(Who.CHAIN, told(receipt, self.stage.name))
        if confirm:
            await self.mine(confirm)

    async def mine(self, blocks: int) -> None:
        """Mine empty blocks, as a chain does by itself."""
        await self.stage.chain.mine(blocks)
        await self.tell_time()

    async def finalize(self) -> None:
        """Mine until what is confirmed now is final."""
        await self.mine(2 * EPOCH)

    async def pass_time(self, seconds: int, until: str) -> None:
        """Let time pass on the chain, and confirm the block that says so."""
        self.watch.voice.forget()
        await self.stage.chain.advance(seconds)
        await self.mine(1)
        self.narrator.tell(Who.CHAIN, f"time passes: {span(seconds)}, {until}")

    async def tell_time(self) -> None:
        """Put the time of the newest block before what is told from here on."""
        self.narrator.chain_time = (await self.stage.chain.block()).timestamp

    # --------------------------------------------------------------------------------- the machines

    async def inventory(self) -> Inventory:
        """Return what exists now, everything told that led there."""
        return await self.watch.look()

    async def ours(self) -> list[Guest]:
        """Return the machines that the daemon made and that still exist."""
        return (await self.inventory()).made_by(self.stage.token)

    async def machine(self, token: int) -> Guest | None:
        """Return the machine that was made for a lease, None when there is none."""
        made = [each for each in await self.ours() if each.name.startswith(f"lease-{token}-")]
        return made[0] if made else None

    async def cloning(self) -> bool:
        """Say whether a machine of ours is being cloned."""
        return any(guest.lock == "clone" for guest in await self.ours())

    def enters(self, token: int, person: Person) -> Question:
        """Ask whether a person's SSH key gets into a lease's machine."""

        async def ask() -> bool:
            guest = await self.machine(token)
            return guest is not None and await self.stage.cluster.admits(guest.vmid, person.ssh_key)

        return ask

    def kept_out_by_key(self, token: int, person: Person) -> Question:
        """Ask whether a person's key does not open a lease's machine, which is there."""

        async def ask() -> bool:
            guest = await self.machine(token)
            if guest is None:
                return False
            return not await self.stage.cluster.admits(guest.vmid, person.ssh_key)

        return ask

    def kept_out(self, token: int, person: Person) -> Question:
        """Ask whether nobody is logged in, and a person's key opens nothing."""

        async def ask() -> bool:
            guest = await self.machine(token)
            if guest is None or guest.sessions:
                return False
            return not await self.stage.cluster.admits(guest.vmid, person.ssh_key)

        return ask

    def suspended(self, token: int) -> Question:
        """Ask whether a machine stands still, stays so when its node boots, and is noted so."""

        async def ask() -> bool:
            guest = await self.machine(token)
            if guest is None or guest.power != "stopped" or guest.config.get("onboot"):
                return False
            return "is suspended" in self._decided(token)

        return ask

    # ----------------------------------------------------------------------------------- the daemon

    def paid_until(self, token: int, expires_at: int) -> Question:
        """Ask whether the daemon's socket tells this expiry (seconds) of a lease."""

        async def ask() -> bool:
            line = (await self.status.leases()).get(self.stage.lease(token))
            return line is not None and line.expires_at == str(expires_at)

        return ask

    def content(self, token: int) -> Question:
        """Ask whether the daemon's last word on a lease is that its machine runs as it should."""

        async def ask() -> bool:
            await self.watch.look()
            return self._decided(token).endswith("running, as desired")

        return ask

    def _decided(self, token: int) -> str:
        return self.watch.voice.decided.get(self.stage.lease(token), "")

    async def has_read_all_confirmed(self) -> bool:
        """Say whether the daemon has committed the block before the head, which is confirmed."""
        head = await self.stage.chain.block()
        await self.watch.look()
        return self.watch.voice.cursor == head.number - 1
