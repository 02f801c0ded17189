"""Commands at the same time as others, and beside a daemon: no double, and nobody else is hit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.backends.proxmox.byhand import ALL
from provisioner.backends.proxmox.privileges import Estate, Scope, privileges
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.errors import Declined
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.guests import Power
from provisioner.simulator.state import Grant
from provisioner.verbs.create import Made, create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.guest_exec import guest_exec
from provisioner.verbs.listing import listing
from provisioner.verbs.order import Gecos
from provisioner.verbs.power import reboot
from provisioner.verbs.resume import resume
from provisioner.verbs.snapshots import delete, roll_back, take
from provisioner.verbs.status import Status, status
from tests.support.by_hand import COMMANDS, Command
from tests.support.cli import DAY, OTHER, TEMPLATE, TOKEN, WALLET, Yard, configuration, order, yard
from tests.support.realm import FIRST, GRACE, Realm, realm

BOTH: Final = frozenset(Phase)

CREATES: Final = pytest.mark.parametrize(
    "command",
    [each for each in COMMANDS if each.name == "create"],
    ids=lambda command: command.id,
)


async def meanwhile(point: str, act: Callable[[], Awaitable[object]], run: Awaitable[Made]) -> Made:
    """Have `act` be done by another command when `run` passes `point` the first time."""
    done: list[asyncio.Task[object]] = []
    gate = asyncio.Event()

    def reached(passed: str) -> None:
        if passed == point and not done:
            done.append(asyncio.get_running_loop().create_task(acted()))

    async def acted() -> object:
        try:
            return await act()
        finally:
            gate.set()

    faultpoints.arm(reached)
    try:
        made = await run
    finally:
        faultpoints.arm(None)
    assert done, f"{point} was not passed"
    await done[0]
    return made


@pytest.mark.parametrize(
    "point",
    [
        "hypervisor.snapshot.before",
        "hypervisor.freed.after",
        "hypervisor.clone.before",
        "hypervisor.clone.after",
        "hypervisor.configure.before",
        "hypervisor.start.before",
    ],
)
async def test_two_who_make_the_same_machine_at_once_make_one(point: str) -> None:
    it = yard()
    made = await meanwhile(point, lambda: create(it.shop(), order()), create(it.shop(), order()))
    assert it.guest().vmid == made.vmid
    assert await status(it.shop(), "web") is Status.ACTIVE
    assert it.leaks() == []


async def test_many_who_make_the_same_machine_at_once_make_one() -> None:
    it = yard()
    made = await asyncio.gather(*(create(it.shop(), order()) for _ in range(8)))
    assert {each.vmid for each in made} == {it.guest().vmid}
    assert it.leaks() == []


async def test_of_two_owners_who_race_for_a_name_one_is_refused_it() -> None:
    it = yard()
    came = await asyncio.gather(
        create(it.shop(), order()),
        create(it.shop(), order(owner=OTHER)),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in came) == ["Declined", "Made"]
    assert it.guest().config["name"] == "web"


async def test_many_names_at_once_have_a_machine_each_whoever_asks_for_the_same_vmid() -> None:
    it = yard()
    names = [f"web{n}" for n in range(10)]
    made = await asyncio.gather(*(create(it.shop(3600), order(name)) for name in names))
    assert len({each.vmid for each in made}) == len(names) == len(it.guests())
    assert [line.name for line in await listing(it.shop())] == names


async def test_a_stranger_who_takes_the_vmid_first_keeps_it() -> None:
    it = yard()
    wanted = await create_alone("web")

    async def take_it() -> None:
        it.cluster.add_guest(wanted)

    made = await meanwhile("hypervisor.freed.after", take_it, create(it.shop(), order()))
    assert made.vmid != wanted
    assert set(it.guests()) == {made.vmid}
    assert it.cluster.guest(wanted).name == f"guest-{wanted}"


@CREATES
@pytest.mark.parametrize(
    ("where", "least"), [("hypervisor.config.before", 3), ("hypervisor.snapshot.before", 1)]
)
async def test_a_machine_that_vanishes_at_any_look_while_it_is_made_leaves_nothing(
    command: Command, where: str, least: int
) -> None:
    looks = 0
    while True:
        it, looks = command.yard(), looks + 1
        seen: list[str] = []

        def reached(point: str, it: Yard = it, seen: list[str] = seen, nth: int = looks) -> None:
            if point == where and it.guests():
                seen.append(point)
                if len(seen) == nth:
                    it.cluster.remove_guest(*it.guests())

        faultpoints.arm(reached)
        try:
            await command.does(it.shop())
        finally:
            faultpoints.arm(None)
        assert it.leaks() == [], f"when it was gone at look {looks}"
        if len(seen) < looks:
            break
        assert command.ends(it.guest()), f"when it was gone at look {looks}"
    assert looks > least


@CREATES
async def test_whose_guest_takes_the_place_of_a_new_machine_keeps_his_firewall(
    command: Command,
) -> None:
    it, taken = command.yard(), list[int]()

    def reached(point: str) -> None:
        if point == "hypervisor.snapshot.before" and it.guests() and not taken:
            taken.extend(it.guests())
            it.cluster.remove_guest(*taken)
            it.cluster.add_guest(*taken)

    faultpoints.arm(reached)
    try:
        await command.does(it.shop())
    finally:
        faultpoints.arm(None)
    (vmid,) = taken
    assert vmid not in it.cluster.state.firewalls
    assert command.ends(it.guest())


class Late(DirectApi):
    """A cluster whose list does not show what was made before its firewall is written."""

    hides = 0
    shows = False

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        self.shows = self.shows or (method != "GET" and "/firewall/" in path)
        data = await super().call(method, path, params, slow=slow)
        if self.shows or path != "/cluster/resources" or not isinstance(data, list):
            return data
        made = self._cluster.inventory().created_by(TOKEN)
        rows = [row for row in data if not (isinstance(row, dict) and row.get("vmid") in made)]
        self.hides += len(data) - len(rows)
        return rows


@CREATES
async def test_a_machine_that_the_list_does_not_show_yet_is_not_taken_for_gone(
    command: Command,
) -> None:
    it = command.yard()
    late = Late(it.cluster)
    await command.does(it.shop(api=late))
    assert late.hides > 0
    assert command.ends(it.guest())
    assert not [said for said in it.said if "removed" in said]
    assert it.leaks() == []


async def create_alone(name: str) -> int:
    return (await create(yard().shop(), order(name))).vmid


async def test_a_freed_vmid_rests_before_another_name_gets_it() -> None:
    it = yard()
    made = await create(it.shop(), order())
    await destroy(it.shop(), "web")
    assert (await create(it.shop(), order())).vmid == made.vmid + 1
    await destroy(it.shop(), "web")
    it.cluster.advance(3 * 3600)
    assert (await create(it.shop(), order())).vmid == made.vmid


# --------------------------------------------------------------------------- beside a daemon


def beside(world: Realm) -> Yard:
    """Return a yard in the daemon's own installation, range and cluster."""
    settings = configuration("test-1", FIRST)
    site = replace(settings.site, pool=world.config.machines.pool)
    return Yard(world.cluster, replace(settings, site=site))


async def test_a_daemon_and_commands_share_a_range_and_leave_each_other_alone(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        it = beside(world)
        world.buy(1)
        await world.settle()
        (leased,) = world.guests()
        made = await create(it.shop(), order())
        await world.settle()
        assert set(world.guests()) == {leased, made.vmid}
        assert [line.name for line in await listing(it.shop())] == ["web"]

        world.cluster.advance(31 * DAY)
        before = dict(world.cluster.guest(leased).config)
        await collect(it.shop(), execute=True, phases=BOTH)
        assert world.cluster.guest(leased).config == before
        assert world.cluster.guest(leased).power is Power.RUNNING
        assert world.cluster.guest(made.vmid).power is Power.STOPPED

        kept = dict(world.cluster.guest(made.vmid).config)
        world.pass_time(2 * 3600)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 3600)
        world.finalize()
        await world.settle()
        await world.daemon.reconciler.index.survey()  # type: ignore[attr-defined]  # the resync itself
        assert set(world.guests()) == {made.vmid}
        assert world.cluster.guest(made.vmid).config == kept
        assert "orphans" not in await world.alarms()


async def test_the_daemons_machines_have_no_name_for_a_command(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        it = beside(world)
        world.buy(1)
        await world.settle()
        name = str(world.guest().name)
        before = dict(world.guest().config)
        for verb in (destroy, reboot, resume):
            try:
                await verb(it.shop(), name)
            except Declined as error:
                assert "no machine called" in str(error)  # noqa: PT017 - destroy says it otherwise
        assert world.guest().config == before
        assert world.guest().power is Power.RUNNING
        assert await status(it.shop(), name) is Status.DESTROYED


async def test_another_installations_machines_are_strangers() -> None:
    it = yard()
    await create(it.shop(), order())
    other = Yard(it.cluster, configuration("other-1"))
    assert await listing(other.shop()) == []
    it.cluster.advance(60 * DAY)
    assert (await collect(other.shop(), execute=True, phases=BOTH)).due == []
    assert it.guest().power is Power.RUNNING


# ------------------------------------------------------------------------------- least privilege


async def test_a_token_with_what_is_printed_does_everything_by_hand() -> None:
    it = yard()
    it.cluster.add_pool("leases")
    it.settings = replace(it.settings, proxmox=ProxmoxSettings((TEMPLATE,), pool="leases"))
    it.cluster.default_token()
    it.cluster.set_grants(TOKEN, everything=False)
    estate = Estate((TEMPLATE,), ("local",), ("vmbr0",), pool="leases")
    it.cluster.state.tokens[TOKEN].grants = tuple(
        Grant(path, frozenset(privileges(scope, 8, ALL)))
        for scope in Scope
        for path in estate.paths(scope)
    )
    await create(it.shop(), order(nft=7, gecos=Gecos(WALLET, 7, "admin")))
    assert (await guest_exec(it.shop(), "web", ["true"], 5)).code == 0
    await take(it.shop(), "web", "one")
    await roll_back(it.shop(), "web", "one")
    await delete(it.shop(), "web", "one")
    it.cluster.advance(31 * DAY)
    await collect(it.shop(), execute=True, phases=BOTH)
    await resume(it.shop(), "web", extend_days=1)
    await destroy(it.shop(), "web")
    assert it.guests() == {}


async def test_somebodys_container_in_our_range_is_passed_by() -> None:
    it = yard()
    wanted = await create_alone("web")
    container = it.cluster.add_container(wanted)
    made = await create(it.shop(), order())
    assert made.vmid != wanted
    assert [line.name for line in await listing(it.shop())] == ["web"]
    await destroy(it.shop(), "web")
    assert await status(it.shop(), "web") is Status.DESTROYED
    assert it.cluster.guest(wanted) is container
