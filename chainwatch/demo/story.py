"""The story: two leases' whole lives, from purchase to the last wei, and one that is refunded.

Each act does what people do (buy, pay, hand over, let time pass) and then waits for what must
follow by itself. The daemon is never told anything: it sees the chain, and the story sees the
chain, the machines and the money.
"""

from dataclasses import dataclass

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo.buyer import PlanOffer
from chainwatch.demo.cluster import Guest
from chainwatch.demo.narrator import moment, span
from chainwatch.demo.people import Person
from chainwatch.demo.reckoning import Reckoning
from chainwatch.demo.scene import Scene
from chainwatch.demo.stage import DAY, HOUR, LARGE, SMALL, STRANGER, TOKENS


@dataclass(slots=True)
class Story:
    """Plays all acts in a scene; `first` and `second` are the tokens of the two leases."""

    scene: Scene
    first: int = 0
    second: int = 0
    stranger: Guest | None = None

    async def play(self) -> None:
        """Play to the end. Raises Unmet at the first expectation that is not met."""
        reckoning = Reckoning(self.scene)
        await self._opening()
        await self._killed()
        await self._running()
        await self._delivered()
        await self._renewed()
        await self._second()
        await self._transferred()
        await reckoning.collected(self.first, self.second)
        await self._suspended()
        await self._resumed()
        await self._suspended_again()
        await self._destroyed()
        await self._untouched()
        await reckoning.refunded()
        await reckoning.settled()

    # ---------------------------------------------------------------------------------- beginning

    async def _opening(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("opening", "The daemon comes up next to a machine of somebody else"):
            scene.people(self._offer())
            await scene.stage.daemon.start()
            await bill.until("the daemon is ready", scene.status.ready)
            await bill.until(f"VM {STRANGER} has booted", self._stranger_booted)
            self.stranger = (await scene.inventory()).guests[STRANGER]
            await bill.always(f"the daemon calls VM {STRANGER} an orphan", self._orphaned)

    async def _killed(self) -> None:
        scene, stage, bill = self.scene, self.scene.stage, self.scene.playbill
        alice, till = stage.cast.alice, stage.till
        title = "Alice buys a machine, and the daemon is killed in the middle of the clone"
        async with bill.act("killed", title):
            self.first = await scene.buys(alice, "1", "1h", "--pay", "permit", confirm=0)
            paid = HOUR * SMALL.price_per_second
            what = f"one transaction paid {till.money.written(paid)}, and no approval is left"
            left = await till.tokens_of(alice.account), await till.may_take(alice.account)
            once = await till.sent_by(alice.account) == 1
            bill.certain(what, so=once and left == (TOKENS - paid, 0))
            await scene.mine(1)
            await bill.until("a clone is under way", scene.cloning)
            pid, code = stage.daemon.pid, await stage.daemon.kill()
            scene.people(f"somebody kills the daemon: kill -9 {pid} (it ended with {code})")
            await bill.always("the clone goes on without its daemon", scene.cloning)

    async def _running(self) -> None:
        scene, bill, cast = self.scene, self.scene.playbill, self.scene.stage.cast
        async with bill.act("running", "The daemon comes back and finishes what it had begun"):
            await scene.stage.daemon.start()
            enters = scene.enters(self.first, cast.alice)
            await bill.until("Alice's SSH key gets into the machine of lease 1", enters)
            await self._as_sold(self.first, SMALL)
            bill.certain("there is one machine, not two", so=len(await scene.ours()) == 1)

    async def _delivered(self) -> None:
        scene, bill, alice = self.scene, self.scene.playbill, self.scene.stage.cast.alice
        async with bill.act("delivered", "The daemon delivers, and tells Alice alone the way in"):
            await self._time_begins(self.first)
            way = await self._decrypts(alice)
            sealed = await scene.sealed(self.first, way.rpartition("@")[2])
            bill.certain("no other key opens it, and no address stands in it", so=sealed)
            await bill.until("the daemon is content", scene.content(self.first))

    async def _renewed(self) -> None:
        scene, carol = self.scene, self.scene.stage.cast.carol
        async with scene.playbill.act("renewed", "Anybody may renew: Carol pays for Alice"):
            await scene.signs(carol, "renew", str(self.first), "1h")
            await self._known_expiry(self.first)

    async def _second(self) -> None:
        scene, bill, cast = self.scene, self.scene.playbill, self.scene.stage.cast
        title = "Carol buys a larger machine and pays with the chain's coin"
        async with bill.act("second", title):
            self.second = await scene.buys(cast.carol, "2", "4h")
            enters = scene.enters(self.second, cast.carol)
            await bill.until("Carol's SSH key gets into the machine of lease 2", enters)
            await self._as_sold(self.second, LARGE)
            await self._time_begins(self.second)
            await bill.until("the daemon is content", scene.content(self.second))
            alice = scene.enters(self.second, cast.alice)
            bill.certain("Alice's key does not", so=not await alice())

    # ------------------------------------------------------------------------------------- middle

    async def _transferred(self) -> None:
        scene, bill, stage = self.scene, self.scene.playbill, self.scene.stage
        alice, bob, token = stage.cast.alice, stage.cast.bob, self.first
        async with bill.act("transferred", "Alice sells her lease to Bob"):
            guest = await scene.machine(token)
            logged_in = guest and await stage.cluster.log_in(guest.vmid, alice.ssh_key)
            bill.certain("Alice is logged in", so=bool(logged_in))
            await scene.signs(alice, "transfer", str(token), bob.account, confirm=0)
            await scene.signs(bob, "keys", str(token), "--ssh-key", bob.ssh_file)
            await bill.until("Alice is logged out and locked out", scene.kept_out(token, alice))
            await bill.until("the daemon is content", scene.content(token))
            await scene.mine(1)
            await bill.until("it has read Bob's key", scene.has_read_all_confirmed)
            bob_waits = scene.kept_out_by_key(token, bob)
            await bill.always("Bob is not in yet: the transfer is not final", bob_waits)
            untold = not await scene.published(token)()
            bill.certain("nor is he told how to get in", so=untold)
            await scene.finalize()
            await bill.until("the transfer is final, and Bob gets in", scene.enters(token, bob))
            await bill.always("Alice still does not", scene.kept_out_by_key(token, alice))
            await bill.until("the daemon tells the new owner", scene.published(token))
            await self._decrypts(bob)
            await scene.mine(1)
            await bill.until("the daemon is content", scene.content(token))

    async def _suspended(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("suspended", "Nobody pays, and lease 1 expires"):
            await self._pass_to_expiry(self.first)
            await bill.until("its machine is suspended", scene.suspended(self.first))
            carol = scene.enters(self.second, scene.stage.cast.carol)
            await bill.always("Carol's machine runs on", carol)

    async def _resumed(self) -> None:
        scene, bill, bob = self.scene, self.scene.playbill, self.scene.stage.cast.bob
        async with bill.act("resumed", "Bob pays late, within the grace"):
            before = await scene.machine(self.first)
            await scene.pass_time(HOUR, "and the machine stands still")
            await scene.signs(bob, "renew", str(self.first), "2h")
            await bill.until("Bob's SSH key gets in again", scene.enters(self.first, bob))
            after = await scene.machine(self.first)
            same = bool(before and after and before.vmid == after.vmid)
            bill.certain("it is the same machine", so=same)
            await bill.until("the daemon is content", scene.content(self.first))
            await self._known_expiry(self.first)

    # ------------------------------------------------------------------------------------- ending

    async def _suspended_again(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("suspended-again", "Both leases expire, and nobody pays any more"):
            await self._pass_to_expiry(self.first)
            await bill.until("machine 1 is suspended", scene.suspended(self.first))
            await bill.until("machine 2 is suspended", scene.suspended(self.second))

    async def _destroyed(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("destroyed", "The grace ends; when that is final, the machines go"):
            await scene.pass_time(DAY, "and with them the grace")
            await bill.until("the daemon has read it", scene.has_read_all_confirmed)
            kept = len(await scene.ours()) == 2
            bill.certain("it is not final yet: both machines are kept", so=kept)
            await scene.finalize()

            async def gone() -> bool:
                return not await scene.ours()

            await bill.until("it is final: both machines are destroyed", gone)
            await bill.until("the daemon burns both leases", self._burned)

    async def _untouched(self) -> None:
        scene, bill, token = self.scene, self.scene.playbill, self.scene.stage.token
        async with bill.act("untouched", "What is left"):
            inventory = await scene.inventory()
            bill.certain(
                "two machines were made in all", so=inventory.ended_well("qmclone", token) == 2
            )
            bill.certain("no VMID, disk or firewall is left behind", so=not inventory.leaked(token))
            same = inventory.guests.get(STRANGER) == self.stranger
            bill.certain(f"VM {STRANGER} runs as it did before", so=same)
            touched = inventory.foreign_touched.get(token, ())
            bill.certain("nothing of others was ever changed", so=not touched)
            await bill.always(f"the daemon calls VM {STRANGER} an orphan", self._orphaned)
            bill.certain(
                "SIGTERM ends the daemon, exit code 0", so=await scene.stage.daemon.stop() == 0
            )

    # ------------------------------------------------------------------------------------ details

    def _offer(self) -> str:
        money = self.scene.stage.till.money
        small = money.written(HOUR * SMALL.price_per_second)
        large = Money().written(HOUR * LARGE.price_per_second)
        return (
            f"the operator sells an hour of plan small for {small} (an ERC-20), of plan large for "
            f"{large}; what is not delivered within {span(SMALL.delivery_time)} is paid back"
        )

    async def _orphaned(self) -> bool:
        return STRANGER in await self.scene.status.orphans()

    async def _stranger_booted(self) -> bool:
        return (await self.scene.inventory()).guests[STRANGER].booted

    async def _as_sold(self, token: int, plan: PlanOffer) -> None:
        guest = await self.scene.machine(token)
        config = guest.config if guest else {}
        so = (
            str(config.get("cores")) == str(plan.cores)
            and str(config.get("memory")) == str(plan.memory_mib)
            and f"size={plan.disk_gib}G" in str(config.get("scsi0"))
        )
        what = f"{plan.cores} cores, {plan.memory_mib} MiB, {plan.disk_gib} GiB"
        self.scene.playbill.certain(f"the machine is what plan {plan.name} sells: {what}", so=so)

    async def _time_begins(self, token: int) -> None:
        """Wait for the daemon to say on the chain that the machine is there."""
        what = f"the daemon delivers lease {token}, with its own key"
        await self.scene.playbill.until(what, self.scene.delivered(token))
        self.scene.watch.voice.forget()
        await self.scene.mine(1)
        await self._known_expiry(token)

    async def _decrypts(self, person: Person) -> str:
        """Let the owner of the first lease decrypt the way in, which has to lead there."""
        way = await self.scene.way_in(self.first, person)
        what = f"{person.name} decrypts the way in, which is the machine's: {way}"
        self.scene.playbill.certain(what, so=way is not None)
        return str(way)

    async def _burned(self) -> bool:
        till = self.scene.stage.till
        there = await till.exists(self.first) or await till.exists(self.second)
        await self.scene.watch.look()
        return not there

    async def _known_expiry(self, token: int) -> None:
        expires_at = await self.scene.stage.shop.expires_at(token)
        what = f"the daemon knows that lease {token} is paid until {moment(expires_at)}"
        await self.scene.playbill.until(what, self.scene.paid_until(token, expires_at))

    async def _pass_to_expiry(self, token: int) -> None:
        expires_at = await self.scene.stage.shop.expires_at(token)
        now = (await self.scene.stage.chain.block()).timestamp
        await self.scene.pass_time(expires_at - now, f"and lease {token} expires")
