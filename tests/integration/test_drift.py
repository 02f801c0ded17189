"""What becomes of a machine that somebody changed behind our back, kind by kind."""

from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.config import Config
from chainwatch.domain.events import PlanDefined
from provisioner.identity import uuid_of
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName, Struck
from provisioner.simulator.settings import Settings
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, HOUR, Realm, realm


def reporting(settings: Config) -> Config:
    return replace(settings, policy=replace(settings.policy, repairs=False))


async def bought(world: Realm) -> None:
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()


async def looked_at(world: Realm) -> None:
    world.cluster.advance(11)
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()


async def because(world: Realm) -> str:
    return (await desk_of(world).show("1")).machines[0].sentence


async def test_what_was_edited_is_put_right(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.cluster.edit_guest(FIRST, cores=7, nameserver="192.0.2.99", cipassword="x")
        await looked_at(world)
        config = world.guest().config | world.guest().pending
        assert (config["cores"], config["nameserver"]) == (2, "192.0.2.53")
        assert config.get("cipassword") is None


async def test_what_was_edited_is_only_told_where_the_policy_says_so(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reporting) as world:
        await bought(world)
        world.cluster.edit_guest(FIRST, cores=7)
        await looked_at(world)
        assert world.guest().config["cores"] == 7
        assert "somebody changed its cores, which is left so" in (await world.alarms())["drift"]
        world.cluster.edit_guest(FIRST, cores=2)
        await looked_at(world)
        assert await world.alarms() == {}


async def test_who_may_enter_is_put_right_whatever_the_policy_says(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reporting) as world:
        await bought(world)
        config = world.guest().config
        world.cluster.edit_guest(FIRST, cores=7, net0=f"{config['net0']},link_down=1")
        await looked_at(world)
        assert "link_down" not in str(world.guest().config["net0"])
        assert world.guest().config["cores"] != 7 or world.guest().pending.get("cores") == 2


async def test_what_is_wanted_anew_is_not_taken_for_drift(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=reporting) as world:
        await bought(world)
        world.mine(PlanDefined(1, "larger", 0, 4, 4096, 20, GRACE))
        world.confirm()
        await world.settle()
        shown = world.guest().config | world.guest().pending
        assert (shown["cores"], str(shown["memory"])) == (4, "4096")
        assert await world.alarms() == {}


async def test_what_was_moved_is_followed(tmp_path: Path) -> None:
    cluster = Cluster(Settings(nodes=("pve", "pve2")))
    async with realm(tmp_path, cluster=cluster) as world:
        await bought(world)
        moved = world.guest()
        moved.node = "pve2" if moved.node == "pve" else "pve"
        for volume in cluster.state.volumes_of(FIRST):
            volume.node = moved.node if volume.node else ""
        world.cluster.stop_guest(FIRST)
        await desk_of(world).outlook.stores.work.enqueue([str(world.lease())], "a look")
        await looked_at(world)
        assert list(world.guests()) == [FIRST]
        story = await desk_of(world).show("1")
        assert story.machines[0].seen is not None
        assert story.machines[0].seen.node == moved.node


async def test_two_that_prove_to_be_one_are_both_left_and_the_newer_is_an_orphan(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        site, twin = world.daemon.reconciler.site, FIRST + 3
        proof = site.signer.prove(str(world.guest().config["description"]), FIRST)
        assert proof is not None
        who = replace(proof[0], vmid=twin)
        words = site.signer.describe(who, proof[1])
        uuid = f"uuid={uuid_of(who)}"
        world.cluster.add_guest(twin, config={"description": words, "smbios1": uuid})
        world.pass_time(2 * HOUR)
        world.finalize()
        world.pass_time(GRACE + 1)
        world.finalize()
        world.cluster.advance(11)
        await world.daemon.supervisor.resync.survey()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(30)
        assert {FIRST, twin} <= set(world.cluster.state.guests)
        (orphan,) = desk_of(world).orphans()
        assert orphan.vmid == twin
        assert "which is older" in orphan.evidence
        assert "all prove to be this machine" in (await world.alarms())["parked"]
        assert world.touched_foreign() == ()


async def test_who_starts_a_suspended_machine_sees_it_stopped_again(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        world.pass_time(2 * HOUR)
        await world.settle()
        world.cluster.start_guest(FIRST)
        await looked_at(world)
        assert world.running() == []


async def test_what_its_owner_powered_off_is_left_off(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.cluster.stop_guest(FIRST)
        await looked_at(world)
        assert world.running() == []
        assert "as its owner left it" in await because(world)


async def test_a_deleted_machine_is_made_again_and_told_of(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.cluster.stop_guest(FIRST)
        world.cluster.remove_guest(FIRST)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        for _ in range(5):
            await world.turn()
            world.cluster.advance(1)
        assert "vanished" in (await world.alarms())["machine-gone"]
        await world.settle()
        assert len(world.running()) == 1
        assert await world.alarms() == {}


# ------------------------------------------------------------------------------- another plan


@pytest.mark.parametrize("gib", [10, 40])
async def test_a_disk_grows_and_never_shrinks_and_show_says_so(tmp_path: Path, gib: int) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.mine(PlanDefined(1, "another", 0, 2, 2048, gib, GRACE))
        world.confirm()
        await world.settle()
        assert world.guest().boot_disk_size() == max(gib, 20) * 2**30
        kept = "its disk keeps its 20 GiB, though 10 are sold: a disk is never shrunk"
        assert (kept in await because(world)) == (gib == 10)
        assert (await desk_of(world).show("1")).waits is None


async def test_what_waits_for_the_next_boot_is_said_and_not_tried_again(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.mine(PlanDefined(1, "larger", 0, 4, 4096, 20, GRACE))
        world.confirm()
        await world.settle()
        said = "4 cores and 4096 MiB take effect with its next boot"
        assert said in await because(world)
        await looked_at(world)
        steps = [each.step for each in await desk_of(world).operations(50)]
        assert steps.count("configure") == 2
        world.cluster.stop_guest(FIRST)
        world.cluster.start_guest(FIRST)
        assert said not in await because(world)


async def test_volumes_of_who_has_a_freed_vmid_now_are_not_called_ours(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        world.buy()
        await world.settle()
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()

        def quicker(_: Struck) -> None:
            world.cluster.add_guest(FIRST)

        path = "/nodes/{node}/storage/{storage}/content"
        world.cluster.arm(Fault(FaultName.HAPPENS, "GET", path, act=quicker))
        await world.settle()
        theirs = world.cluster.guest(FIRST)
        assert theirs.created_by == "root@pam"
        assert await world.alarms() == {}
        assert await world.daemon.stores.operations.open_all() == []
