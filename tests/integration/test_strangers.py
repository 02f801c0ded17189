"""A stranger's guest with our words is left alone, whatever words, and whenever they were read.

He reads them while our machine is made, or later, and may change a digit; then he stands with them
at its VMID. Nothing is done to his guest, by the daemon or by any command, and somebody is told.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.errors import NotOurs, ProvisionError
from provisioner.model import Kind
from provisioner.verbs import power
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.guest_exec import guest_exec
from provisioner.verbs.order import Order, hardware
from provisioner.verbs.resume import renew, resume
from provisioner.workshop import Workshop
from tests.support.chain_model import plan_events
from tests.support.cli import DAY, TOKEN, Yard, container_yard, crashing, order, yard
from tests.support.realm import GRACE, HOUR, Crash, Realm, realm
from tests.support.takeover import Mallory, edited

KINDS: Final = {Kind.VM: 0, Kind.CONTAINER: 1}
WORDS: Final = ("as they were last", "edited", "first")
kinds = pytest.mark.parametrize("kind", list(KINDS))


def chosen(words: str, first: str, last: str) -> str:
    return {"first": first, "edited": edited(last), "as they were last": last}[words]


async def first_words(world: Realm, vmid: int) -> str:
    """Return what a machine that is being made says of itself as soon as it says it."""
    for _ in range(40):
        guest = world.cluster.state.guests.get(vmid)
        said = str(guest.config.get("description", "")) if guest else ""
        if "chainwatch:1:" in said:
            return said
        world.cluster.advance(0.05)
    raise AssertionError(f"VM {vmid} never said whose it is")


async def bought(world: Realm) -> tuple[int, str]:
    """Buy a machine; returns its VMID and what it says while it is being made."""
    world.buy(1, lasts=HOUR)
    while not (vmids := [v for v in world.cluster.state.guests if v >= 20000]):
        await world.turn()
    return vmids[0], await first_words(world, vmids[0])


async def looked_again(world: Realm) -> None:
    resync = world.daemon.supervisor.resync
    await resync.survey()
    await resync.enqueue_all("somebody asks")
    await world.settle()


@kinds
@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("suspended", [False, True])
async def test_the_daemon_leaves_a_stranger_alone_to_the_end_of_the_lease(
    tmp_path: Path, kind: Kind, words: str, suspended: bool
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=KINDS[kind])) as world:
        mallory = Mallory(world.cluster, 9000)
        vmid, first = await bought(world)
        await world.settle()
        if suspended:
            world.pass_time(2 * HOUR)
            world.finalize()
            await world.settle()
        last = str(world.cluster.guest(vmid).config["description"])
        world.cluster.remove_guest(vmid)
        mallory.takes(vmid, chosen(words, first, last), kind)
        await looked_again(world)
        mallory.judge(TOKEN)
        told = " ".join((await world.alarms()).values())
        assert f"VM {vmid}" in told
        assert "somebody changed it" in told or "bare clone" in told
        for seconds in (2 * HOUR, GRACE + HOUR):
            world.pass_time(seconds)
            world.finalize()
            await looked_again(world)
        mallory.judge(TOKEN)


async def test_words_of_a_clone_that_was_broken_off_are_worth_nothing(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        mallory = Mallory(world.cluster, 9000)
        vmid, first = await bought(world)
        mallory.breaks_off(vmid)
        mallory.takes(vmid, first, Kind.VM)
        await looked_again(world)
        mallory.judge(TOKEN)
        assert set(world.cluster.state.guests) == {9000, vmid}, "nothing is made beside it"
        assert "that clone failed" in " ".join((await world.alarms()).values())


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Kind.VM, "was replaced there since"), (Kind.CONTAINER, "somebody changed it")],
)
async def test_what_was_replaced_while_the_daemon_was_down_is_a_stranger(
    tmp_path: Path, kind: Kind, told: str
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=KINDS[kind])) as world:
        mallory = Mallory(world.cluster, 9000)
        vmid, first = await bought(world)
        world.cluster.advance(10)
        mallory.destroys(vmid, kind)
        mallory.takes(vmid, first, kind)
        await world.restart()
        await looked_again(world)
        mallory.judge(TOKEN)
        assert told in " ".join((await world.alarms()).values())


async def test_a_bare_clone_of_ours_is_finished_after_an_outage(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        vmid, _ = await bought(world)
        world.cluster.advance(1000)
        await world.restart()
        await world.settle()
        assert world.running() == [vmid]


# ------------------------------------------------------------------------------ the command line

DOINGS: Final[dict[str, Callable[[Workshop], Awaitable[object]]]] = {
    "start": lambda shop: power.start(shop, "web"),
    "stop": lambda shop: power.stop(shop, "web"),
    "kill": lambda shop: power.kill(shop, "web"),
    "reboot": lambda shop: power.reboot(shop, "web"),
    "create": lambda shop: create(shop, order()),
    "renew": lambda shop: renew(shop, "web", 2_000_000_000),
    "resume": lambda shop: resume(shop, "web", expires_at=2_000_000_000),
    "exec": lambda shop: guest_exec(shop, "web", ("true",), 10),
    "destroy": lambda shop: destroy(shop, "web"),
}


def words_now(it: Yard) -> str:
    """Return the words of the clone that is under way, as soon as it says them."""
    for _ in range(40):
        for vmid, guest in it.cluster.state.guests.items():
            said = str(guest.config.get("description", ""))
            if vmid >= 30000 and "chainwatch:1:" in said:
                return said
        it.cluster.advance(0.05)
    raise AssertionError("no clone says whose it is")


def ordered(kind: Kind) -> Order:
    return order(spec=hardware(1, 1024, 10, kind))


async def cut_off(it: Yard, kind: Kind = Kind.VM) -> None:
    """Begin to make a machine, and die as soon as it was asked for."""
    call = "clone" if kind is Kind.VM else "create_container"
    faultpoints.arm(crashing(f"hypervisor.{call}.after"))
    with pytest.raises(Crash):
        await create(it.shop(), ordered(kind))


@kinds
@pytest.mark.parametrize("words", WORDS)
async def test_no_command_touches_a_stranger(kind: Kind, words: str) -> None:
    it = container_yard() if kind is Kind.CONTAINER else yard()
    mallory = Mallory(it.cluster, 9000)
    await cut_off(it, kind)
    first = words_now(it)
    vmid = (await create(it.shop(), ordered(kind))).vmid
    last = str(it.guest().config["description"])
    it.cluster.remove_guest(vmid)
    mallory.takes(vmid, chosen(words, first, last), kind)
    for name, does in DOINGS.items():
        try:
            await does(it.shop(60))
        except ProvisionError:
            continue
        assert name == "create", f"{name} did something"
    for _ in range(2):
        it.cluster.advance(60 * DAY)
        await collect(it.shop(60), execute=True, phases=frozenset(Phase))
    mallory.judge(TOKEN)


async def test_a_command_that_was_cut_off_finishes_no_clone_that_was_broken_off() -> None:
    it = yard()
    mallory = Mallory(it.cluster, 9000)
    await cut_off(it)
    (vmid,) = (vmid for vmid in it.cluster.state.guests if vmid >= 30000)
    words = words_now(it)
    mallory.breaks_off(vmid)
    mallory.takes(vmid, words, Kind.VM)
    with pytest.raises(NotOurs, match="interrupted by signal"):
        await create(it.shop(60), order())
    mallory.judge(TOKEN)


async def test_a_command_that_was_cut_off_finishes_no_clone_that_was_replaced() -> None:
    it = yard()
    mallory = Mallory(it.cluster, 9000)
    await cut_off(it)
    (vmid,) = (vmid for vmid in it.cluster.state.guests if vmid >= 30000)
    words = words_now(it)
    it.cluster.settle()
    mallory.destroys(vmid, Kind.VM)
    mallory.takes(vmid, words, Kind.VM)
    with pytest.raises(NotOurs, match="was replaced there since"):
        await create(it.shop(60), order())
    mallory.judge(TOKEN)
