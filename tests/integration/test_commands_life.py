"""A machine's life by hand: made, limited, suspended, given back, taken away, with no database."""

import asyncio
from dataclasses import replace

import pytest

from provisioner.errors import Declined, HypervisorDown, NoRoom, ProvisionError
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guests import Power
from provisioner.verbs import power, snapshots
from provisioner.verbs.create import create, mock, plan
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.gecos import write_gecos
from provisioner.verbs.guest_exec import TIMED_OUT, guest_exec
from provisioner.verbs.listing import listing
from provisioner.verbs.metrics import metrics
from provisioner.verbs.order import Gecos, hardware
from provisioner.verbs.resume import renew, resume
from provisioner.verbs.status import Status, status
from provisioner.verbs.throttle import Limits, throttle
from tests.support.cli import DAY, FIRST, LAST, OTHER, WALLET, Yard, order, yard
from tests.support.simulated import KEY


async def expiry(it: Yard) -> int:
    found = await it.shop().census.find("web")
    assert found is not None
    assert found.card is not None
    return found.card.expires_at


# ----------------------------------------------------------------------------------------- create


async def test_a_machine_is_made_as_it_was_ordered() -> None:
    it = yard()
    spec = hardware(3, 4096, 40)
    made = await create(
        it.shop(), replace(order(ssh_key=KEY, tags=("blue",), user="alice", nft=7), spec=spec)
    )
    guest = it.guest()
    assert (made.name, made.vmid, made.nft, made.user) == ("web", guest.vmid, 7, "alice")
    assert (guest.cores, guest.memory, guest.boot_disk_size()) == (3, 4096 * 2**20, 40 * 2**30)
    assert guest.config["tags"] == "blue;chainwatch"
    assert made.ip is not None
    assert f"ip={made.ip}/24" in str(guest.config["ipconfig0"])
    assert guest.os.account_of(KEY) == "alice"


async def test_the_same_command_again_finds_the_same_machine() -> None:
    it = yard()
    first = await create(it.shop(), order(nft=7))
    assert await create(it.shop(), order(nft=7)) == first
    assert len(it.guests()) == 1


async def test_a_name_belongs_to_its_owner() -> None:
    it = yard()
    await create(it.shop(), order())
    before = dict(it.guest().config)
    with pytest.raises(Declined, match=f"belongs to {WALLET}"):
        await create(it.shop(), order(owner=OTHER))
    assert it.guest().config == before


async def test_a_dry_run_reserves_nothing_and_guesses_right() -> None:
    it = yard()
    guess = await plan(it.shop(), order())
    assert it.guests() == {}
    assert not any(call.startswith(("POST", "PUT")) for call in it.cluster.inventory().calls)
    assert await create(it.shop(), order()) == guess


async def test_a_mock_asks_nobody() -> None:
    it = yard()
    assert mock(it.shop(), order()).vmid in it.settings.site.pool
    assert not it.cluster.inventory().calls


async def test_an_address_that_is_asked_for_decides_the_vmid() -> None:
    it = yard()
    made = await create(it.shop(), order(ip="203.0.113.17"))
    assert (made.vmid, made.ip) == (FIRST + 7, "203.0.113.17")
    with pytest.raises(NoRoom, match="is taken"):
        await plan(it.shop(), order("other", ip="203.0.113.17"))
    with pytest.raises(Declined, match="not among the addresses"):
        await plan(it.shop(), order("other", ip="198.51.100.1"))


async def test_names_that_proxmox_refuses_are_shown_in_another_form_and_found_all_the_same() -> (
    None
):
    it = yard()
    for name in ("a_b", "a-b", "a..b", "7", "x" * 100, "Ends-"):
        made = await create(it.shop(), order(name))
        assert made.name == name
        assert await status(it.shop(), name) is Status.ACTIVE
    assert len({guest.name for guest in it.guests().values()}) == 6


async def test_a_wallet_is_written_into_the_guest_once_its_account_is_there() -> None:
    it = yard()
    await create(it.shop(), order(nft=7, gecos=Gecos(WALLET, 7, "admin")))
    assert it.guest().os.comments == {"admin": f"wallet={WALLET},nft=7"}
    await write_gecos(it.shop(), "web", Gecos(OTHER, 8, "admin"))
    assert it.guest().os.comments == {"admin": f"wallet={OTHER},nft=8"}
    with pytest.raises(Declined, match=f"belongs to {OTHER}"):
        await create(it.shop(), order(owner=WALLET))


async def test_a_full_range_is_told_and_nothing_is_made() -> None:
    it = yard()
    for vmid in range(FIRST, LAST + 1):
        it.cluster.add_guest(vmid)
    with pytest.raises(ProvisionError, match="are taken or rest"):
        await create(it.shop(5), order())
    assert it.guests() == {}


async def test_who_waits_for_room_says_so_once_and_asks_ever_less() -> None:
    it = yard()
    for vmid in range(FIRST, LAST + 1):
        it.cluster.add_guest(vmid)
    began = it.cluster.now
    with pytest.raises(ProvisionError, match="are taken or rest"):
        await create(it.shop(400), order())
    assert len(it.said) == len(set(it.said))
    asked = [call.at - began for call in it.cluster.inventory().call_log]
    assert sum(at < 100 for at in asked) > 10 * sum(at >= 300 for at in asked) > 0


# ----------------------------------------------------------------------------------------- status


async def test_what_is_not_known_to_be_gone_is_never_called_destroyed() -> None:
    it = yard()
    assert await status(it.shop(), "web") is Status.DESTROYED
    await create(it.shop(), order())
    assert await status(it.shop(), "web") is Status.ACTIVE
    it.cluster.arm(Fault(FaultName.EMPTY, "GET", "/cluster/resources"))
    assert await status(it.shop(), "web") is Status.UNKNOWN
    it.cluster.set_quorum(quorate=False)
    assert await status(it.shop(), "web") is Status.UNKNOWN
    it.cluster.set_quorum(quorate=True)
    it.cluster.edit_guest(it.guest().vmid, name="renamed-by-hand")
    it.cluster.advance(30)
    assert await status(it.shop(), "web") is Status.ACTIVE
    it.cluster.edit_guest(it.guest().vmid, name="web", description="somebody wrote here")
    assert await status(it.shop(), "web") is Status.UNKNOWN
    with pytest.raises(ProvisionError, match="proves nothing"):
        await create(it.shop(0), order())
    assert len(it.guests()) == 1


async def test_a_machine_that_cannot_be_read_leaves_it_open_whether_it_is_the_one() -> None:
    it = yard()
    await create(it.shop(), order())
    path = f"/nodes/pve/qemu/{it.guest().vmid}/config"
    it.cluster.arm(Fault(FaultName.REFUSE, "GET", path, text="something never heard of"))
    assert await status(it.shop(), "web") is Status.UNKNOWN
    for _ in range(2):
        it.cluster.arm(Fault(FaultName.REFUSE, "GET", path, text="something never heard of"))
    with pytest.raises(ProvisionError, match="not done in time"):
        await destroy(it.shop(0), "web")


async def test_the_list_has_machines_of_the_command_line_only() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.add_guest(FIRST + 1)
    (line,) = await listing(it.shop())
    assert (line.name, line.status) == ("web", Status.ACTIVE)
    assert line.ip.startswith("203.0.113.")
    assert line.created is not None


# ------------------------------------------------------------------------------------------ power


async def test_each_switch_may_be_pressed_twice() -> None:
    it = yard()
    await create(it.shop(), order())
    for verb, ends in ((power.stop, Power.STOPPED), (power.start, Power.RUNNING)):
        for _ in range(2):
            await verb(it.shop(), "web")
            assert it.guest().power is ends
    it.cluster.advance(60)
    await power.reboot(it.shop(), "web")
    assert it.guest().power is Power.RUNNING
    for _ in range(2):
        await power.kill(it.shop(), "web")
        assert it.guest().power is Power.STOPPED


async def test_a_guest_that_does_not_listen_to_stop_goes_on_and_that_is_said() -> None:
    it = yard()
    await create(it.shop(), order())
    it.guest().ignores_acpi = True
    with pytest.raises(Declined, match="it goes on; kill cuts its power"):
        await power.stop(it.shop(), "web")
    assert it.guest().power is Power.RUNNING


@pytest.mark.parametrize("verb", [power.start, power.stop, power.kill, power.reboot])
async def test_a_name_that_nobody_has_touches_nothing(verb: type) -> None:
    it = yard()
    it.cluster.add_guest(FIRST)
    with pytest.raises(Declined, match="there is no machine called web"):
        await verb(it.shop(), "web")
    assert not any(call.startswith(("POST", "PUT")) for call in it.cluster.inventory().calls)


async def test_a_machine_of_another_at_our_vmid_is_never_hit() -> None:
    """A number that somebody counted is not an identity: the description is."""
    it = yard()
    made = await create(it.shop(), order())
    it.cluster.remove_guest(made.vmid)
    stranger = it.cluster.add_guest(made.vmid)
    it.cluster.edit_guest(made.vmid, name="web")
    it.cluster.advance(30)
    assert await status(it.shop(), "web") is Status.DESTROYED
    assert "does not exist" in await destroy(it.shop(), "web")
    with pytest.raises(Declined):
        await guest_exec(it.shop(), "web", ["true"], 5)
    assert it.cluster.guest(made.vmid) is stranger


# --------------------------------------------------------------------------------- limits, inside


async def test_limits_survive_a_suspension_and_are_lifted_together() -> None:
    it = yard()
    await create(it.shop(), replace(order(), spec=hardware(2, 1024, 10)))
    limits = Limits(100, 50, 8000, 16000, 500, 400)
    lines = await throttle(it.shop(), "web", limits)
    assert len(lines) == 5
    assert any("8000 kbit/s in each direction" in line for line in lines)
    limited = {"cpuunits", "cpulimit", "net0", "scsi0"}
    shown = {key: it.guest().config[key] for key in limited}
    assert (shown["cpuunits"], shown["cpulimit"]) == (100, 1)
    assert ",rate=0.953674" in str(shown["net0"])
    assert ",iops_rd=500,iops_wr=400" in str(shown["scsi0"]).replace("size=10G,", "")
    it.cluster.advance(31 * DAY)
    await collect(it.shop(), execute=True, phases=frozenset(Phase))
    await resume(it.shop(), "web", extend_days=1)
    assert {key: it.guest().config[key] for key in limited} == shown
    await throttle(it.shop(), "web", Limits(reset=True))
    assert not {"cpuunits", "cpulimit"} & set(it.guest().config)
    assert "rate=" not in str(it.guest().config["net0"])
    assert "iops" not in str(it.guest().config["scsi0"])


async def test_the_numbers_of_a_machine_that_answers_and_of_one_that_does_not() -> None:
    it = yard()
    await create(it.shop(), replace(order(), spec=hardware(2, 1024, 10)))
    it.cluster.advance(60)
    told = await metrics(it.shop(), "web")
    assert (told.cpu_count, told.memory_total_mb, told.disk_total_mb) == (2, 1024, 10240)
    assert (told.guest_agent_responsive, told.disk_used_mb) == (True, 2560)
    it.guest().has_agent = False
    told = await metrics(it.shop(), "web")
    assert (told.guest_agent_responsive, told.disk_used_mb, told.net_connections) == (False, -1, -1)
    await power.kill(it.shop(), "web")
    assert (await metrics(it.shop(), "web")).state == "stopped"


async def test_an_agent_that_never_answers_is_not_waited_for() -> None:
    it = yard()
    await create(it.shop(), order())
    shop = it.shop()
    begun = it.cluster.now

    class Silent:
        async def inside(self, _: str, __: int) -> None:
            await asyncio.Event().wait()

    shop.__dict__["guest"] = Silent()
    told = await metrics(shop, "web")
    assert not told.guest_agent_responsive
    assert it.cluster.now - begun < 2


async def test_a_command_in_a_guest_ends_as_it_ended_there() -> None:
    it = yard()
    await create(it.shop(), order())
    ended = await guest_exec(it.shop(), "web", ["echo", "two words", "&& reboot"], 5)
    assert (ended.code, ended.output) == (0, b"two words && reboot\n")
    ended = await guest_exec(it.shop(), "web", ["false"], 5)
    assert (ended.code, ended.error) == (1, b"no\n")


async def test_a_command_that_is_not_seen_to_end_is_no_success() -> None:
    it = yard()
    await create(it.shop(), order())
    ended = await guest_exec(it.shop(), "web", ["sleep", "60"], 3)
    assert ended.code == TIMED_OUT
    assert b"was not seen to end within 3 s" in ended.error


async def test_a_snapshot_brings_the_disk_back_and_not_the_expiry() -> None:
    it = yard()
    await create(it.shop(), order())
    await snapshots.take(it.shop(), "web", "before")
    assert "already" in await snapshots.take(it.shop(), "web", "before")
    until = await expiry(it) + DAY
    await renew(it.shop(), "web", until)
    it.guest().os.files["/etc/motd"] = "changed"
    await snapshots.roll_back(it.shop(), "web", "before")
    assert "/etc/motd" not in it.guest().os.files
    assert await expiry(it) == until
    assert [row.name for row in await snapshots.snapshots(it.shop(), "web")] == ["before"]
    for _ in range(2):
        await snapshots.delete(it.shop(), "web", "before")
    assert await snapshots.snapshots(it.shop(), "web") == []


async def test_destroying_twice_is_destroying_once() -> None:
    it = yard()
    await create(it.shop(), order())
    assert "is destroyed" in await destroy(it.shop(), "web")
    assert "does not exist" in await destroy(it.shop(), "web")
    assert it.guests() == {}
    assert it.leaks() == []


async def test_nothing_is_said_to_be_destroyed_by_a_cluster_that_is_not_believed() -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.set_quorum(quorate=False)
    with pytest.raises(HypervisorDown):
        await destroy(it.shop(), "web")
    assert it.guests()
