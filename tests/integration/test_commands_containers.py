"""A container's life by hand: every verb that Proxmox has for one, and the node's way into it."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from provisioner import faultpoints
from provisioner.driver import OutOfTime
from provisioner.errors import Declined, NoRoom
from provisioner.model import Kind
from provisioner.simulator.guests import Power
from provisioner.simulator.lxc.container import Container
from provisioner.verbs import power, snapshots
from provisioner.verbs.create import create, plan
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.guest_exec import guest_exec
from provisioner.verbs.listing import listing
from provisioner.verbs.metrics import metrics
from provisioner.verbs.order import Gecos, Order, hardware
from provisioner.verbs.resume import renew, resume
from provisioner.verbs.status import Status, status
from provisioner.verbs.throttle import Limits, throttle
from tests.support.cli import DAY, WALLET, Yard, container_yard, crashing, order, yard
from tests.support.realm import Crash
from tests.support.simulated import KEY

BOTH = frozenset(Phase)


def ordered(**more: object) -> Order:
    spec = hardware(2, 1024, 10, Kind.CONTAINER)
    return order(**{"spec": spec, "ssh_key": KEY, **more})  # type: ignore[arg-type]  # a test names the fields of Order


async def made(it: Yard, **more: object) -> Container:
    await create(it.shop(), ordered(**more))
    guest = it.guest()
    assert isinstance(guest, Container)
    return guest


async def sweep(it: Yard) -> None:
    came_to = await collect(it.shop(), execute=True, phases=BOTH)
    assert came_to.failures == []


@pytest.fixture(autouse=True)
async def disarmed() -> AsyncIterator[None]:
    yield
    faultpoints.arm(None)


async def test_a_container_is_made_as_it_was_ordered_and_found_again() -> None:
    it = container_yard()
    guess = await plan(it.shop(), ordered())
    made_ = await create(it.shop(), ordered())
    guest = it.guest()
    assert isinstance(guest, Container)
    assert made_ == guess
    assert made_.user == "root"
    assert (guest.config["cores"], guest.config["memory"]) == (2, 1024)
    assert guest.boot_disk_size() == 10 * 2**30
    assert guest.power is Power.RUNNING
    assert guest.os.account_of(KEY) == "root"
    assert await create(it.shop(), ordered()) == made_
    assert len(it.guests()) == 1
    with pytest.raises(Declined, match="is a container"):
        await create(it.shop(), order())


async def test_without_an_archive_no_container_is_begun() -> None:
    it = yard()
    for verb in (plan, create):
        with pytest.raises(Declined, match=r"machines\.os_template"):
            await verb(it.shop(), ordered())
    assert it.guests() == {}


async def test_a_wallet_that_could_not_be_written_is_refused_before_anything_is_made() -> None:
    it = container_yard(over_ssh=False)
    with pytest.raises(Declined, match=r"nodes_ssh.*--no-web3"):
        await create(it.shop(), ordered(nft=7, gecos=Gecos(WALLET, 7, "root")))
    assert it.guests() == {}


def test_a_container_has_no_account_but_root_and_no_endless_key() -> None:
    parts = (b"ssh-rsa", b"\1\0\1", b"\1" * 3000)
    data = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    with pytest.raises(Declined, match="no account but root"):
        ordered(user="alice")
    with pytest.raises(Declined, match="at most"):
        ordered(ssh_key=f"ssh-rsa {base64.b64encode(data).decode()}")


async def test_each_switch_may_be_pressed_twice() -> None:
    it = container_yard()
    guest = await made(it)
    for verb, ends in ((power.stop, Power.STOPPED), (power.start, Power.RUNNING)):
        for _ in range(2):
            await verb(it.shop(), "web")
            assert guest.power is ends
    it.cluster.advance(60)
    boots = guest.boots
    await power.reboot(it.shop(), "web")
    assert (guest.power, guest.boots) == (Power.RUNNING, boots + 1)
    for _ in range(2):
        await power.kill(it.shop(), "web")
        assert guest.power is Power.STOPPED


async def test_what_an_agent_would_say_of_a_container_is_not_known() -> None:
    it = container_yard()
    await made(it)
    it.cluster.advance(60)
    told = await metrics(it.shop(), "web")
    assert (told.state, told.cpu_count) == ("running", 2)
    assert told.memory_total_mb == 1024
    assert told.disk_total_mb > 0
    assert (told.disk_used_mb, told.net_connections) == (-1, -1)
    assert (told.disk_read_iops, told.guest_agent_responsive) == (-1, False)
    (line,) = await listing(it.shop())
    assert line.status is Status.ACTIVE


async def test_limits_of_a_container_stay_through_a_suspension_and_are_lifted() -> None:
    it = container_yard()
    guest = await made(it)
    before = dict(guest.config)
    await throttle(it.shop(), "web", Limits(cpu_shares=50, cpu_quota=50, bandwidth_in=8000))
    assert float(guest.config["cpulimit"]) == 1
    assert "rate=" in str(guest.config["net0"])
    with pytest.raises(Declined, match="no limits for the disk of a container"):
        await throttle(it.shop(), "web", Limits(iops_read=5))
    it.cluster.advance(31 * DAY)
    await sweep(it)
    await resume(it.shop(), "web", extend_days=10)
    assert float(guest.config["cpulimit"]) == 1
    await throttle(it.shop(), "web", Limits(reset=True))
    keys = ("cpulimit", "cpuunits", "net0")
    assert [guest.config.get(key) for key in keys] == [before.get(key) for key in keys]


async def test_snapshots_of_a_container_come_back_and_go() -> None:
    it = container_yard()
    await made(it)
    await snapshots.take(it.shop(), "web", "before")
    await renew(it.shop(), "web", it.shop().clock.now() + 99 * DAY)
    await snapshots.roll_back(it.shop(), "web", "before")
    found = await it.shop().existing("web")
    assert found.card is not None
    assert found.card.expires_at > it.shop().clock.now() + 98 * DAY
    await snapshots.delete(it.shop(), "web", "before")
    assert await snapshots.snapshots(it.shop(), "web") == []


async def test_an_expired_container_is_suspended_given_back_with_its_key_and_collected() -> None:
    it = container_yard(over_ssh=False)
    guest = await made(it)
    it.cluster.advance(31 * DAY)
    await sweep(it)
    assert await status(it.shop(), "web") is Status.SUSPENDED
    await resume(it.shop(), "web", extend_days=10)
    assert await status(it.shop(), "web") is Status.ACTIVE
    it.cluster.advance(60)  # until it has booted
    assert it.cluster.admits(guest.vmid, KEY)
    it.cluster.advance(11 * DAY)
    await sweep(it)
    it.cluster.advance(8 * DAY)
    await sweep(it)
    assert it.guests() == {}
    assert it.leaks() == []


async def test_a_container_is_destroyed_by_its_name() -> None:
    it = container_yard()
    await made(it)
    await destroy(it.shop(), "web")
    assert it.guests() == {}
    assert it.leaks() == []
    assert await status(it.shop(), "web") is Status.DESTROYED


async def test_a_command_is_run_in_a_container_from_its_node() -> None:
    it = container_yard()
    guest = await made(it, nft=7, gecos=Gecos(WALLET, 7, "root"))
    assert guest.os.comments == {"root": f"wallet={WALLET},nft=7"}
    ended = await guest_exec(it.shop(), "web", ["echo", "a b", "c"], 5)
    assert (ended.code, ended.output) == (0, b"a b c\n")
    assert (await guest_exec(it.shop(), "web", ["sleep", "99"], 2)).code == 124


async def test_without_ssh_nobody_gets_into_a_container_and_the_key_is_named() -> None:
    it = container_yard(over_ssh=False)
    await made(it)
    with pytest.raises(Declined, match=r"write \[nodes_ssh\]"):
        await guest_exec(it.shop(), "web", ["true"], 5)


async def test_a_container_whose_making_died_anywhere_is_finished_by_the_same_command() -> None:
    asked = {"nft": 7, "gecos": Gecos(WALLET, 7, "root")}
    counted = dict[str, int]()

    def count(point: str) -> None:
        counted[point] = counted.get(point, 0) + 1

    faultpoints.arm(count)
    await made(container_yard(), **asked)
    faultpoints.arm(None)
    assert "hypervisor.create_container.after" in counted
    assert "node.pct_exec.after" in counted
    for point, times in counted.items():
        for nth in range(1, min(times, 4) + 1):
            it = container_yard()
            faultpoints.arm(crashing(point, nth))
            with pytest.raises(Crash):
                await made(it, **asked)
            faultpoints.arm(None)
            guest = await made(it, **asked)
            where = f"died at {point}, time {nth}: {it.said[-8:]}"
            assert it.leaks() == [], where
            assert guest.power is Power.RUNNING, where
            assert guest.os.account_of(KEY) == "root", where
            assert guest.os.comments == {"root": f"wallet={WALLET},nft=7"}, where
            found = await it.shop().census.find("web")
            assert found is not None, where
            assert found.finished, where


async def test_a_container_that_was_begun_and_never_finished_is_taken_away() -> None:
    counted: set[str] = set()
    faultpoints.arm(counted.add)
    await made(container_yard())
    faultpoints.arm(None)
    for point in counted:
        it = container_yard()
        faultpoints.arm(crashing(point))
        with pytest.raises(Crash):
            await made(it)
        faultpoints.arm(None)
        it.cluster.advance(3700)
        finished = any(found.finished for found in (await it.shop().census.all()).found)
        await sweep(it)
        assert (it.guests() != {}) == finished, point
        assert it.leaks() == [], point


async def test_an_edited_stamp_does_not_shut_a_container_s_owner_out() -> None:
    it = container_yard()
    guest = await made(it)
    found = await it.shop().existing("web")
    signer = it.settings.site.signer
    text = signer.describe(found.identity, replace(found.stamps, access=None), found.card)
    it.cluster.edit_guest(guest.vmid, description=text)
    it.cluster.advance(31 * DAY)
    await sweep(it)
    await resume(it.shop(), "web", extend_days=10)
    it.cluster.advance(60)  # until it has booted
    assert it.cluster.admits(guest.vmid, KEY)


async def test_a_container_is_made_on_the_node_that_has_the_archive() -> None:
    it = container_yard(("pve", "pve2", "pve3"))
    archive = it.cluster.add_os_template(nodes=("pve2",))
    it.cluster.add_guest(300, node="pve2", running=True)  # the fullest of the three
    assert (await made(it)).node == "pve2"
    it.cluster.state.files.clear()
    said = f"OS template {archive} is missing on pve, pve2, pve3: there, pveam download"
    with pytest.raises(NoRoom, match=said):
        await plan(it.shop(), ordered(name="other"))
    with pytest.raises(OutOfTime, match=said):  # which it waited for
        await create(it.shop(seconds=20), ordered(name="other"))
