"""The story: two machines' whole lives, from purchase to destruction, and a stranger untouched.

Each act does what people do (buy, pay, hand over, let time pass) and then waits for what must
follow by itself. The daemon is never told anything: it sees the chain, and the story sees the
machines.
"""

from dataclasses import dataclass

from chainwatch.demo.buyer import PlanOffer
from chainwatch.demo.cluster import Guest
from chainwatch.demo.narrator import moment, span
from chainwatch.demo.scene import Scene
from chainwatch.demo.stage import DAY, HOUR, LARGE, SMALL, STRANGER


@dataclass(slots=True)
class Story:
    """Plays all acts in a scene; `first` and `second` are the tokens of the two leases."""

    scene: Scene
    first: int = 0
    second: int = 0
    stranger: Guest | None = None

    async def play(self) -> None:
        """Play to the end. Raises Unmet at the first expectation that is not met."""
        await self._opening()
        await self._killed()
        await self._running()
        await self._renewed()
        await self._second()
        await self._transferred()
        await self._suspended()
        await self._resumed()
        await self._suspended_again()
        await self._destroyed()
        await self._untouched()

    # ---------------------------------------------------------------------------------- beginning

    async def _opening(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("opening", "The daemon comes up next to a machine of somebody else"):
            await scene.stage.daemon.start()
            await bill.until("the daemon is ready", scene.status.ready)
            await bill.until(f"VM {STRANGER} has booted", self._stranger_booted)
            self.stranger = (await scene.inventory()).guests[STRANGER]
            await bill.always(f"the daemon calls VM {STRANGER} an orphan", self._orphaned)

    async def _killed(self) -> None:
        scene, stage, alice = self.scene, self.scene.stage, self.scene.stage.alice
        title = "Alice buys a machine, and the daemon is killed in the middle of the clone"
        async with scene.playbill.act("killed", title):
            scene.people(f"Alice buys {span(HOUR)} of plan {SMALL.name}, with native coin")
            self.first, receipt = await stage.shop.mint(
                1, alice.account, seconds=HOUR, ssh_key=alice.ssh_key
            )
            await scene.mined(receipt)
            await scene.playbill.until("a clone is under way", scene.cloning)
            pid, code = stage.daemon.pid, await stage.daemon.kill()
            scene.people(f"somebody kills the daemon: kill -9 {pid} (it ended with {code})")
            await scene.playbill.always("the clone goes on without its daemon", scene.cloning)

    async def _running(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("running", "The daemon comes back and finishes what it had begun"):
            await scene.stage.daemon.start()
            enters = scene.enters(self.first, scene.stage.alice)
            await bill.until("Alice's SSH key gets into the machine of lease 1", enters)
            await self._as_sold(self.first, SMALL)
            await self._delivered(self.first)
            await bill.until("the daemon is content", scene.content(self.first))
            bill.certain("there is one machine, not two", so=len(await scene.ours()) == 1)

    async def _renewed(self) -> None:
        scene, shop = self.scene, self.scene.stage.shop
        async with scene.playbill.act("renewed", "Anybody may renew: Carol pays for Alice"):
            scene.people(f"Carol pays {span(HOUR)} more for lease {self.first}")
            await scene.mined(await shop.renew(self.first, HOUR, scene.stage.carol.account))
            await self._known_expiry(self.first)

    async def _second(self) -> None:
        scene, stage, carol = self.scene, self.scene.stage, self.scene.stage.carol
        title = "Carol buys a larger machine and pays with an ERC-20"
        async with scene.playbill.act("second", title):
            scene.people(f"Carol buys {span(4 * HOUR)} of plan {LARGE.name}, with the ERC-20")
            cost = await stage.shop.price(2) * 4 * HOUR
            approval = await stage.money.send(
                "approve", stage.shop.address, cost, sender=carol.account
            )
            await scene.mined(approval, confirm=0)
            self.second, receipt = await stage.shop.mint(
                2, carol.account, seconds=4 * HOUR, ssh_key=carol.ssh_key
            )
            await scene.mined(receipt)
            enters = scene.enters(self.second, carol)
            await scene.playbill.until("Carol's SSH key gets into the machine of lease 2", enters)
            await self._as_sold(self.second, LARGE)
            await self._delivered(self.second)
            await scene.playbill.until("the daemon is content", scene.content(self.second))
            alice = scene.enters(self.second, stage.alice)
            scene.playbill.certain("Alice's key does not", so=not await alice())

    # ------------------------------------------------------------------------------------- middle

    async def _transferred(self) -> None:
        scene, bill, stage = self.scene, self.scene.playbill, self.scene.stage
        alice, bob, token = stage.alice, stage.bob, self.first
        async with bill.act("transferred", "Alice sells her lease to Bob"):
            guest = await scene.machine(token)
            logged_in = guest and await stage.cluster.log_in(guest.vmid, alice.ssh_key)
            bill.certain("Alice is logged in", so=bool(logged_in))
            scene.people("Alice hands lease 1 to Bob, and Bob publishes his SSH key")
            handover = await stage.shop.transfer(token, alice.account, bob.account)
            await scene.mined(handover, confirm=0)
            await scene.mined(await stage.shop.set_keys(token, bob.account, bob.ssh_key))
            await bill.until("Alice is logged out and locked out", scene.kept_out(token, alice))
            await bill.until("the daemon is content", scene.content(token))
            await scene.mine(1)
            await bill.until("it has read Bob's key", scene.has_read_all_confirmed)
            bob_waits = scene.kept_out_by_key(token, bob)
            await bill.always("Bob is not in yet: the transfer is not final", bob_waits)
            await scene.finalize()
            await bill.until("the transfer is final, and Bob gets in", scene.enters(token, bob))
            await bill.always("Alice still does not", scene.kept_out_by_key(token, alice))
            await bill.until("the daemon is content", scene.content(token))

    async def _suspended(self) -> None:
        scene, bill = self.scene, self.scene.playbill
        async with bill.act("suspended", "Nobody pays, and lease 1 expires"):
            await self._pass_to_expiry(self.first)
            await bill.until("its machine is suspended", scene.suspended(self.first))
            carol = scene.enters(self.second, scene.stage.carol)
            await bill.always("Carol's machine runs on", carol)

    async def _resumed(self) -> None:
        scene, bill, bob = self.scene, self.scene.playbill, self.scene.stage.bob
        async with bill.act("resumed", "Bob pays late, within the grace"):
            before = await scene.machine(self.first)
            await scene.pass_time(HOUR, "and the machine stands still")
            scene.people(f"Bob pays {span(2 * HOUR)} for lease 1, counted from now")
            await scene.mined(await scene.stage.shop.renew(self.first, 2 * HOUR, bob.account))
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

    async def _delivered(self, token: int) -> None:
        """The operator says on-chain that the machine is there: from here on, its time is paid."""
        self.scene.people(f"the operator delivers lease {token}")
        await self.scene.mined(await self.scene.stage.shop.deliver(token))
        await self._known_expiry(token)

    async def _known_expiry(self, token: int) -> None:
        expires_at = await self.scene.stage.shop.expires_at(token)
        what = f"the daemon knows that lease {token} is paid until {moment(expires_at)}"
        await self.scene.playbill.until(what, self.scene.paid_until(token, expires_at))

    async def _pass_to_expiry(self, token: int) -> None:
        expires_at = await self.scene.stage.shop.expires_at(token)
        now = (await self.scene.stage.chain.block()).timestamp
        await self.scene.pass_time(expires_at - now, f"and lease {token} expires")
