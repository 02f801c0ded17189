"""Who takes our machine's VMID between our look and what cannot be undone keeps his guest.

He acts while the chain answers the last question, or between two readings of a command: our machine
goes, and his guest stands there with our very words. It stays as he made it, nothing counts as
begun, and the sentence says what was changed; whoever looks next finds a stranger.
"""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from chainwatch.control.passes import Outcome
from provisioner import faultpoints
from provisioner.errors import Changed, Declined, NotOurs, ProvisionError
from provisioner.lastlook import look_again
from provisioner.model import Kind, Verb
from provisioner.ports import Place
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.guests import Power
from provisioner.verbs.create import create
from provisioner.verbs.destroy import destroy
from provisioner.verbs.gc import Phase, collect
from provisioner.verbs.order import hardware
from provisioner.verbs.snapshots import delete, roll_back, take
from provisioner.workshop import Workshop
from tests.support.advice import says_what_to_do
from tests.support.at_once import at_once
from tests.support.chain_model import plan_events
from tests.support.cli import DAY, Yard, container_yard, order, yard
from tests.support.ordering import ordering
from tests.support.pve import NODE, VMID, direct_world
from tests.support.realm import FIRST, GRACE, HOUR, TEMPLATE, TOKEN, Realm, realm
from tests.support.takeover import Mallory

#: The mode of failure of a guest that is not there any more.
GONE: Final = 43
ASKED: Final = "chain.lease_at_latest.after"
_KINDS: Final = {"qemu": Kind.VM, "lxc": Kind.CONTAINER}
kinds = pytest.mark.parametrize("kind", list(Kind))


@pytest.fixture(autouse=True)
def no_disk_is_waited_for() -> Iterator[None]:
    """Have databases work at once; no faults are left armed."""
    with at_once():
        yield
    faultpoints.arm(None)


def strikes(
    cluster: Cluster,
    point: str,
    snapshot: str = "",
    storage: str = "local",
    *,
    running: bool = False,
) -> tuple[Mallory, list[int]]:
    """Have a stranger take our machine's place when `point` is passed while it stands still.

    Where it is `running`, or his guest is to have a `snapshot`, he does so while it runs. Returns
    him, and where he did.
    """
    mallory = Mallory(cluster, TEMPLATE)
    struck: list[int] = []

    def act(reached: str) -> None:
        if reached != point or struck:
            return
        (vmid,) = cluster.inventory().created_by(TOKEN)
        guest = cluster.guest(vmid)
        if not (snapshot or running) and guest.power is not Power.STOPPED:
            return
        struck.append(vmid)
        words, kind = str(guest.config["description"]), _KINDS[guest.kind]
        cluster.remove_guest(vmid)
        mallory.takes(vmid, words, kind, storage)
        if snapshot:
            mallory.keeps(vmid, kind, snapshot)

    faultpoints.arm(act)
    return mallory, struck


async def past_its_grace(world: Realm) -> None:
    """Buy a lease, and let it end and its grace pass, finally; it is not destroyed yet."""
    world.buy()
    await world.settle()
    world.pass_time(2 * HOUR)
    await world.settle()
    world.pass_time(GRACE + HOUR)
    world.finalize()
    await world.read()


async def struck_in(world: Realm, struck: list[int]) -> Outcome:
    """Turn until the stranger has struck; returns what that very pass came to."""
    reconciler = world.daemon.reconciler
    while True:
        await world.daemon.supervisor.poller.poll()
        outcome = await reconciler.reconcile(str(world.lease()))
        if struck:
            return outcome
        assert not outcome.through, "nothing is about to happen"
        world.cluster.advance(1)


async def is_spared(world: Realm, step: str, mallory: Mallory, struck: list[int]) -> None:
    """See that the pass says what was changed, that nothing was begun, and nothing is ever done."""
    outcome = await struck_in(world, struck)
    mallory.judge(TOKEN)
    assert "says something else" in outcome.sentence or "another uuid or MAC" in outcome.sentence
    assert "since it was looked at" in outcome.sentence
    operations = await world.daemon.stores.operations.recent(20, str(world.lease()))
    assert step not in [each.step for each in operations]
    faultpoints.arm(None)
    await world.daemon.supervisor.resync.enqueue_all("somebody asks")
    await world.settle()
    mallory.judge(TOKEN)
    assert f"VM {FIRST}" in " ".join((await world.alarms()).values())


@kinds
async def test_a_guest_that_came_while_the_chain_was_asked_is_not_destroyed(
    tmp_path: Path, kind: Kind
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=list(Kind).index(kind))) as world:
        await past_its_grace(world)
        await is_spared(world, "destroy", *strikes(world.cluster, ASKED))


@kinds
@pytest.mark.parametrize("step", ["reinstall", "switch-off"])
async def test_a_guest_that_came_while_the_chain_was_asked_is_not_made_anew(
    tmp_path: Path, kind: Kind, step: str
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=list(Kind).index(kind))) as world:
        world.buy(lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        await ordering(Verb.REINSTALL)(world)
        running = step == "switch-off"
        await is_spared(world, step, *strikes(world.cluster, ASKED, running=running))


async def test_a_guest_that_came_while_the_chain_was_asked_is_not_rolled_back(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy(lasts=100 * GRACE)
        world.finalize()
        await world.settle()
        for verb in (Verb.SNAPSHOT, Verb.ROLLBACK):
            await ordering(verb)(world)
            if verb is Verb.SNAPSHOT:
                await world.settle()
        (kept,) = world.guest().snapshots
        await is_spared(world, "rollback", *strikes(world.cluster, ASKED, kept))


@pytest.mark.parametrize("lock", [None, "backup"])
async def test_who_changes_our_machine_while_the_chain_is_asked_is_waited_for(
    tmp_path: Path, lock: str | None
) -> None:
    async with realm(tmp_path) as world:
        await past_its_grace(world)
        asked: list[str] = []

        def act(reached: str) -> None:
            if reached == ASKED and not asked:
                asked.append(reached)
                world.cluster.edit_guest(FIRST, **({"lock": lock} if lock else {"cores": 1}))

        faultpoints.arm(act)
        outcome = await world.daemon.reconciler.reconcile(str(world.lease()))
        told = "was locked (backup)" if lock else "was given another configuration"
        assert f"VM {FIRST} {told} since it was looked at" in outcome.sentence
        assert list(world.guests()) == [FIRST]
        if lock:
            world.cluster.edit_guest(FIRST, lock=None)
        await world.settle()
        assert world.guests() == {}
        assert world.leaked() == ()


async def test_who_removes_our_machine_while_the_chain_is_asked_has_spared_us_the_destroy(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await past_its_grace(world)

        def act(reached: str) -> None:
            if reached == ASKED:
                world.cluster.remove_guest(FIRST)
                faultpoints.arm(None)

        faultpoints.arm(act)
        outcome = await world.daemon.reconciler.reconcile(str(world.lease()))
        assert f"VM {FIRST} is gone from node pve since it was looked at" in outcome.sentence
        await world.settle()
        operations = await world.daemon.stores.operations.recent(20, str(world.lease()))
        assert "destroy" not in [each.step for each in operations]


# ------------------------------------------------------------------------------ the command line

Doing = Callable[[Workshop], Awaitable[object]]


async def gone(shop: Workshop) -> None:
    """Collect what is over; what fails of it fails."""
    done = await collect(shop, execute=True, phases=frozenset({Phase.DESTROY}))
    if done.failures:
        raise NotOurs("; ".join(done.failures))


async def made(kind: Kind) -> Yard:
    """Make a machine, and let its time and its grace pass: it stands still, and is suspended."""
    it = container_yard() if kind is Kind.CONTAINER else yard()
    await create(it.shop(), order(spec=hardware(1, 1024, 10, kind)))
    await take(it.shop(), "web", "before")
    it.cluster.advance(31 * DAY)
    await collect(it.shop(), execute=True, phases=frozenset({Phase.SUSPEND}))
    it.cluster.advance(8 * DAY)
    return it


@kinds
@pytest.mark.parametrize(
    ("doing", "point"),
    [
        (lambda shop: destroy(shop, "web"), "hypervisor.power.after"),
        (gone, "hypervisor.power.after"),
        (lambda shop: roll_back(shop, "web", "before"), "hypervisor.snapshots.after"),
        (lambda shop: delete(shop, "web", "before"), "hypervisor.snapshots.after"),
    ],
    ids=["destroy", "gc", "rollback", "delete-snapshot"],
)
async def test_no_command_destroys_what_came_after_it_had_looked(
    kind: Kind, doing: Doing, point: str
) -> None:
    it = await made(kind)
    mallory, struck = strikes(it.cluster, point, "before", "thin")
    with pytest.raises(ProvisionError, match=r"uuid|MAC|since it was looked at"):
        await doing(it.shop(60))
    assert struck
    mallory.judge(TOKEN)
    assert "before" in it.cluster.guest(struck[0]).snapshots


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_rollback_that_waited_for_a_lock_is_done_to_the_machine_that_had_it(
    *, replaced: bool
) -> None:
    it = await made(Kind.VM)
    vmid, passed = it.guest().vmid, list[str]()
    mallory = Mallory(it.cluster, TEMPLATE)

    def act(reached: str) -> None:
        if reached == "hypervisor.snapshots.after":
            it.cluster.edit_guest(vmid, lock="backup")
        if it.cluster.guest(vmid).lock is not None:
            passed.append(reached)
        if passed.count("hypervisor.config.before") == 2:
            faultpoints.arm(None)
            it.cluster.edit_guest(vmid, lock=None)
            if replaced:
                words = str(it.guest().config["description"])
                it.cluster.remove_guest(vmid)
                mallory.takes(vmid, words, Kind.VM)
                mallory.keeps(vmid, Kind.VM, "before")

    faultpoints.arm(act)
    if replaced:
        with pytest.raises(Declined, match=r"since it was looked at.*the same command again"):
            await roll_back(it.shop(60), "web", "before")
    else:
        assert "is as it was" in await roll_back(it.shop(60), "web", "before")
    mallory.judge(TOKEN)


async def test_of_who_is_gone_by_now_it_is_asked_whether_he_was_moved() -> None:
    world = direct_world()
    config = await world.cloned()
    world.see(lambda cluster: cluster.remove_guest(VMID))
    with pytest.raises(Changed) as met:
        await look_again(world.hypervisor, Place(VMID, NODE), config)
    assert says_what_to_do(GONE, [str(met.value)])
