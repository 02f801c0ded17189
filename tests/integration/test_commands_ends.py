"""Until when a machine is paid: expiry, the phases of `gc`, and days that are added once."""

import pytest

from provisioner.census import Census, Sighting
from provisioner.driver import OutOfTime
from provisioner.errors import Declined, NotOurs
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import Power
from provisioner.simulator.modes.catalogue import MODES, arm, mend
from provisioner.simulator.modes.mode import DESTROY
from provisioner.verbs import power
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, Round, collect
from provisioner.verbs.resume import renew, resume
from provisioner.verbs.status import Status, status
from tests.support.cli import DAY, Yard, order, yard

BOTH = frozenset(Phase)
DISK_STAYS = 47


async def collected(it: Yard, *, execute: bool = True, grace_days: int | None = None) -> Round:
    return await collect(it.shop(3600), execute=execute, phases=BOTH, grace_days=grace_days)


async def expiry(it: Yard) -> int:
    found = await it.shop().census.find("web")
    assert found is not None
    assert found.card is not None
    return found.card.expires_at


async def test_what_has_expired_is_suspended_then_destroyed_after_its_grace() -> None:
    it = yard()
    await create(it.shop(), order())
    assert (await collected(it)).due == []
    it.cluster.advance(31 * DAY)
    dry = await collected(it, execute=False)
    assert [due.phase for due in dry.due] == [Phase.SUSPEND]
    assert it.guest().power is Power.RUNNING
    assert [due.phase for due in (await collected(it)).due] == [Phase.SUSPEND]
    assert it.guest().power is Power.STOPPED
    assert it.guest().config["onboot"] == 0
    assert await status(it.shop(), "web") is Status.SUSPENDED
    it.cluster.advance(6 * DAY)
    assert (await collected(it)).due == []
    it.cluster.advance(DAY + 60)
    assert [due.phase for due in (await collected(it)).due] == [Phase.DESTROY]
    assert it.guests() == {}
    assert it.leaks() == []


async def test_grace_runs_from_the_suspension_that_was_seen() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(100 * DAY)
    await collected(it)
    assert (await collected(it)).due == []
    assert it.guests()


async def test_each_phase_can_be_had_alone() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    only = frozenset({Phase.DESTROY})
    assert (await collect(it.shop(), execute=True, phases=only, grace_days=0)).due == []
    assert it.guest().power is Power.RUNNING


async def test_a_protected_machine_is_left_alone_and_told() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.edit_guest(it.guest().vmid, protection=1)
    it.cluster.advance(60 * DAY)
    assert (await collected(it)).due == []
    assert any("but is protected" in said for said in it.said)
    with pytest.raises(Declined, match="is protected"):
        await destroy(it.shop(), "web")
    assert it.guest().power is Power.RUNNING


async def test_one_machines_trouble_is_not_the_others() -> None:
    it = yard()
    for name in ("one", "two"):
        await create(it.shop(), order(name))
    it.cluster.advance(31 * DAY)
    first, second = sorted(it.guests())
    it.cluster.edit_guest(first, smbios1="uuid=11111111-2222-3333-4444-555555555555")
    came_to = await collected(it)
    assert len(came_to.failures) == 1
    assert "another uuid" in came_to.failures[0]
    assert it.cluster.guest(second).power is Power.STOPPED
    assert it.cluster.guest(first).power is Power.RUNNING


async def test_a_failed_stop_is_not_written_down_as_a_suspension() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    for _ in range(200):
        it.cluster.arm(Fault(FaultName.REFUSE, "POST", "*/status/shutdown", text="never heard of"))
    came_to = await collect(it.shop(20), execute=True, phases=BOTH)
    assert len(came_to.failures) == 1
    it.cluster.state.faults.clear()
    assert await status(it.shop(), "web") is Status.ACTIVE
    assert [due.phase for due in (await collected(it, execute=False)).due] == [Phase.SUSPEND]


async def test_an_edited_card_takes_nothing_away() -> None:
    it = yard()
    await create(it.shop(), order())
    guest = it.guest()
    text = str(guest.config["description"])
    until = await expiry(it)
    it.cluster.edit_guest(guest.vmid, description=text.replace(str(until), "1"))
    assert (await collected(it)).due == []
    with pytest.raises(NotOurs, match="card"):
        await create(it.shop(), order())
    assert it.guest().power is Power.RUNNING


async def test_a_renewal_seen_meanwhile_stops_the_collection() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    await collected(it)
    it.cluster.advance(8 * DAY)
    shop = it.shop()
    census = shop.census
    sighting = await census.all()
    await renew(it.shop(), "web", it.shop().clock.now() + DAY)

    class Stale(Census):
        async def all(self) -> Sighting:
            return sighting

    shop.__dict__["census"] = Stale(
        census.hypervisor, census.snapshots, census.site, census.wall, census.monotonic
    )
    await collect(shop, execute=True, phases=BOTH)
    assert it.guests()
    assert any("changed meanwhile" in said for said in it.said)


# ---------------------------------------------------------------------------------------- resume


async def test_days_are_added_to_what_is_left_and_never_twice() -> None:
    it = yard()
    await create(it.shop(), order())
    now = it.shop().clock.now()
    with pytest.raises(Declined, match="is not suspended"):
        await resume(it.shop(), "web", extend_days=10)
    it.cluster.advance(31 * DAY)
    await collected(it)
    now = it.shop().clock.now()
    assert "would resume" in await resume(it.shop(), "web", extend_days=10, dry_run=True)
    assert it.guest().power is Power.STOPPED
    await resume(it.shop(), "web", extend_days=10)
    assert it.guest().power is Power.RUNNING
    assert it.guest().config["onboot"] == 1
    assert abs(await expiry(it) - (now + 10 * DAY)) < 60
    with pytest.raises(Declined, match="is not suspended"):
        await resume(it.shop(), "web", extend_days=10)
    assert abs(await expiry(it) - (now + 10 * DAY)) < 60


async def test_a_resume_invents_no_days() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    await collected(it)
    with pytest.raises(Declined, match="ended on"):
        await resume(it.shop(), "web")
    assert it.guest().power is Power.STOPPED
    until = it.shop().clock.now() + 5 * DAY
    await resume(it.shop(), "web", expires_at=until)
    assert await expiry(it) == until


async def test_a_renewal_is_absolute_so_saying_it_twice_is_saying_it_once() -> None:
    it = yard()
    await create(it.shop(), order(days=20))
    until = await expiry(it) + 10 * DAY
    for _ in range(2):
        await renew(it.shop(), "web", until)
    assert await expiry(it) == until


async def test_a_suspended_machine_is_not_started_by_hand() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    await collected(it)
    with pytest.raises(Declined, match="use resume"):
        await power.start(it.shop(), "web")
    with pytest.raises(Declined, match="use resume"):
        await create(it.shop(), order())
    assert it.guest().power is Power.STOPPED


async def test_what_a_destroy_out_of_time_has_left_is_told_by_gc_until_it_is_gone() -> None:
    it = yard()
    await create(it.shop(), order())
    vmid = it.guest().vmid
    arm(it.cluster, MODES[DISK_STAYS], DESTROY)
    with pytest.raises(OutOfTime, match=f"VM {vmid} itself is destroyed"):
        await destroy(it.shop(60), "web")
    (away,) = (await collected(it)).failures
    assert "bring it back" in away
    mend(it.cluster, MODES[DISK_STAYS])
    volume = ", ".join(it.leaks())
    assert volume
    for execute in (False, True):
        (told,) = (await collected(it, execute=execute)).failures
        assert told == f"VM {vmid} is destroyed, but left {volume}: remove by hand"
    for each in it.leaks():
        del it.cluster.state.volumes[each]
    assert (await collected(it)).failures == []


async def test_what_carries_a_vmid_that_somebody_has_again_is_not_told_as_left() -> None:
    it = yard()
    made = await create(it.shop(), order())
    await destroy(it.shop(), "web")
    it.cluster.add_guest(made.vmid)
    assert (await collected(it)).failures == []
