"""What the acts of the story are made of: what people do, and questions about what follows.

What people do is a command that they type, or time that passes, told as it happens. A question is
asked of the machine room, of the chain or of the daemon's socket, never answered from the story's
own memory of what it did.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from chainwatch.demo.anvil import CHAIN_ID
from chainwatch.demo.cluster import Guest, Inventory
from chainwatch.demo.expectations import Playbill, Question, Unmet
from chainwatch.demo.narrator import Narrator, Who, span
from chainwatch.demo.people import Person, password_file
from chainwatch.demo.stage import EPOCH, Stage
from chainwatch.demo.status import StatusSocket
from chainwatch.demo.terminal import Ended
from chainwatch.demo.watching import Watch
from chainwatch.domain.sealing import Place, Unsealable, opened
from chainwatch.errors import OperatorError

_PATIENCE_S: Final = 30.0


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

    async def signs(self, person: Person, *words: str, confirm: int = 1) -> dict[str, Any]:
        """Let somebody type a command that sends transactions; tells what the program answers.

        `confirm` blocks are mined on them. Raises Unmet when the program fails.
        """
        ended = await self._types(person, words, "--yes")
        if ended.code:
            *_, why = ("it says nothing", *ended.err.splitlines())
            raise Unmet(f"`{' '.join(words)}` is done: not so, {why}")
        self.watch.voice.forget()
        await self.watch.look()
        if confirm:
            await self.mine(confirm)
        return ended.told

    async def buys(
        self, person: Person, plan: str, time: str, *options: str, confirm: int = 1
    ) -> int:
        """Let somebody buy a lease, and return its token."""
        words = ("buy", plan, time, "--ssh-key", person.ssh_file, *options)
        return int((await self.signs(person, *words, confirm=confirm))["token"])

    async def reads(self, person: Person, *words: str) -> Ended:
        """Let somebody type a command that only looks."""
        return await self._types(person, words)

    async def _types(self, person: Person, words: tuple[str, ...], *agreed: str) -> Ended:
        program = "chainwatch" if words[0] == "contract" else "chainwatch-lease"
        self.people(f"{person.name}: {program} {' '.join(words)}")
        typed = self.stage.terminal.types(
            *(program, *words, *agreed, "--json"),
            CHAINWATCH_RPC=self.stage.chain.url,
            CHAINWATCH_CHAIN_ID=str(CHAIN_ID),
            CHAINWATCH_CONTRACT=self.stage.shop.address,
            CHAINWATCH_KEYSTORE=str(person.keystore),
            CHAINWATCH_PASSWORD_FILE=str(password_file(self.stage.folder)),
        )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await typed
        except TimeoutError:
            raise Unmet(f"`{' '.join(words)}` ends: not so after {_PATIENCE_S:g} s") from None
        except OperatorError as error:
            raise Unmet(f"`{' '.join(words)}` ends: {error}") from None

    async def mine(self, blocks: int) -> None:
        """Mine empty blocks, as a chain does by itself."""
        await self.stage.chain.mine(blocks)
        await self.watch.look()

    async def finalize(self) -> None:
        """Mine until what is confirmed now is final."""
        await self.mine(2 * EPOCH)

    async def pass_time(self, seconds: int, until: str) -> None:
        """Let time pass on the chain, and confirm the block that says so."""
        self.watch.voice.forget()
        await self.stage.chain.advance(seconds)
        await self.mine(1)
        self.narrator.tell(Who.CHAIN, f"time passes: {span(seconds)}, {until}")

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

    # ------------------------------------------------------------------------------------ the chain

    def delivered(self, token: int) -> Question:
        """Ask whether the chain says that a lease's time runs, and that the daemon said so."""

        async def ask() -> bool:
            at = await self.stage.till.delivered_at(token)
            await self.watch.look()
            by = self.stage.blocks.sender_of("LeaseDelivered", token)
            return at != 0 and by == self.stage.cast.hot.account

        return ask

    def published(self, token: int) -> Question:
        """Ask whether sealed words about the way in stand on the chain."""

        async def ask() -> bool:
            there = await self.stage.till.connection(token) != b""
            await self.watch.look()
            return there

        return ask

    async def way_in(self, token: int, person: Person) -> str | None:
        """Let somebody decrypt his way in; None if it is not that of the machine, or not his.

        It is held against the machine: its address, and the keys of the account that is named.
        """
        ended = await self.reads(person, "connect", str(token))
        guest, told = await self.machine(token), ended.told
        if guest is None or not told:
            return None
        user, address = told["user"], told["ipv4"]
        keys = [
            text
            for path, text in guest.authorized_keys.items()
            if path.endswith(f"/{user}/.ssh/authorized_keys")
        ]
        lets_in = any(person.public_key in text for text in keys)
        its_own = f"ip={address}/" in str(guest.config.get("ipconfig0"))
        return f"ssh {user}@{address}" if lets_in and its_own else None

    async def sealed(self, token: int, word: str) -> bool:
        """Say whether no other key opens a lease's way in, and `word` does not stand in it."""
        blob = await self.stage.till.connection(token)
        place = Place(CHAIN_ID, self.stage.shop.address, token)
        try:
            opened(blob, X25519PrivateKey.generate(), place)
        except Unsealable:
            return word.encode() not in blob
        return False

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
