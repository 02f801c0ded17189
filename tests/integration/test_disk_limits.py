"""A plan limits what its machines take of their disks, and nobody takes that away by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import Config
from chainwatch.control.checkup import checkup
from chainwatch.domain.plans import NO_RULES, PlanRule, PlanRules
from provisioner.model import Verb
from provisioner.terms import DiskLimits, Terms
from tests.support.chain_model import plan_events
from tests.support.office import desk_of
from tests.support.realm import FIRST, GRACE, HOUR, TEMPLATE, Realm, realm

LIMITS: Final = DiskLimits(mbps_read=200, mbps_write=12.5, iops_read=2000)
SAID: Final = {"mbps_rd=200", "mbps_wr=12.5", "iops_rd=2000"}


def sold(disk: DiskLimits | None) -> Callable[[Config], Config]:
    """Have the plan limit its disk."""
    return lambda config: replace(
        config, plans=PlanRules((PlanRule(Terms(disk=disk), name="small"),))
    )


def limits(world: Realm) -> set[str]:
    """Return what limits the machine's disk, as the cluster has it."""
    line = str(world.guest().config["scsi0"])
    return {part for part in line.split(",") if "ps" in part.partition("=")[0].split("_")[0]}


async def bought(world: Realm) -> None:
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()


async def looked_at(world: Realm) -> None:
    world.cluster.advance(11)
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()


async def replanned(world: Realm, config: Config) -> None:
    world.config = config
    await world.restart()
    await world.settle()


async def test_a_machine_never_starts_without_its_limits(tmp_path: Path) -> None:
    async with realm(tmp_path, adjust=sold(LIMITS)) as world:
        await bought(world)
        assert limits(world) == SAID
        assert world.guest().boot_disk_size() == 20 * 2**30
        log = list(world.cluster.inventory().call_log)
        puts = [i for i, each in enumerate(log) if each.path.endswith(f"/{FIRST}/config")]
        (started,) = [i for i, each in enumerate(log) if each.path.endswith("/status/start")]
        assert [i for i in puts if log[i].method == "PUT" and i < started]
        told = (await desk_of(world).show("1")).machines[0].wanted.terms
        assert told["disk"] == "mbps_read 200, mbps_write 12.5, iops_read 2000"


@pytest.mark.parametrize(
    "edited",
    [
        "",
        "mbps_rd=200,mbps_wr=12.5,iops_rd=99999",
        "mbps_rd=200,mbps_wr=12.5,iops_rd=2000,iops_rd_max=50000,iops_rd_max_length=60",
        "mbps_rd=200,mbps_wr=12.5,iops_rd=2000,iops_wr=1",
        "mbps=5000,iops=90000",
    ],
)
async def test_limits_that_somebody_changed_are_put_back_while_it_runs(
    edited: str, tmp_path: Path
) -> None:
    async with realm(tmp_path, adjust=sold(LIMITS)) as world:
        await bought(world)
        kept = [p for p in str(world.guest().config["scsi0"]).split(",") if p not in SAID]
        world.cluster.edit_guest(FIRST, scsi0=",".join([*kept, *filter(None, [edited])]))
        await looked_at(world)
        assert limits(world) == SAID
        assert set(str(world.guest().config["scsi0"]).split(",")) == {*kept, *SAID}
        assert world.guest().boots == 1


async def test_where_drift_is_only_told_the_limits_are_told_and_left(tmp_path: Path) -> None:
    def reporting(config: Config) -> Config:
        return replace(sold(LIMITS)(config), policy=replace(config.policy, repairs=False))

    async with realm(tmp_path, adjust=reporting) as world:
        await bought(world)
        line = str(world.guest().config["scsi0"])
        world.cluster.edit_guest(FIRST, scsi0=line.replace("iops_rd=2000", "iops_rd=9"))
        await looked_at(world)
        assert "iops_rd=9" in limits(world)
        assert "disk_limits" in (await world.alarms())["drift"]


async def test_a_plan_that_limits_later_reaches_machines_that_exist_and_forgets_none(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        assert limits(world) == set()
        without = world.config
        await replanned(world, sold(LIMITS)(without))
        assert limits(world) == SAID
        await replanned(world, sold(DiskLimits(iops_write=7))(without))
        assert limits(world) == {"iops_wr=7"}
        await replanned(world, replace(without, plans=NO_RULES))
        assert limits(world) == {"iops_wr=7"}, "without a word from the plan it stays as it is"


async def test_what_a_template_limits_stays_where_no_plan_does(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        line = str(world.cluster.guest(TEMPLATE).config["scsi0"])
        world.cluster.edit_guest(TEMPLATE, scsi0=f"{line},iops=500,iops_max=900")
        await bought(world)
        assert limits(world) == {"iops=500", "iops_max=900"}
        await replanned(world, sold(LIMITS)(world.config))
        assert limits(world) == SAID


async def test_no_container_is_made_of_a_plan_that_limits_its_disk_and_check_says_so(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=1), adjust=sold(LIMITS)) as world:
        world.buy()
        await world.settle()
        assert world.guests() == {}
        said = (await world.alarms())["parked"]
        assert said.startswith("Proxmox has no limits for the disk of a container")
        assert "take [plans.disk] out" in said
        found = await checkup(world.daemon.supervisor, world.db, deep=False)
        (plan,) = [each for each in found if each.subject == "plan 1 of model"]
        assert not plan.ok
        assert "[plans.disk]" in plan.text


async def test_a_container_that_exists_lives_on_without_the_limits_and_says_so(
    tmp_path: Path,
) -> None:
    async with realm(tmp_path, plan=plan_events(kind=1)) as world:
        world.buy()
        world.finalize()
        await world.settle()
        await replanned(world, sold(LIMITS)(world.config))
        assert world.running() == [FIRST]
        said = (await desk_of(world).show("1")).machines[0].sentence
        assert "its plan's limits for its disk are left out" in said
        assert await world.alarms() == {}
        asked = await desk_of(world).order("1", (Verb.REINSTALL, ""), "a test", 0)
        await world.settle()
        ended = (await desk_of(world).show("1")).orders[0]
        assert (ended.number, ended.outcome) == (asked.number, "refused")
        assert world.running() == [FIRST], "it was not destroyed for what cannot be made again"
        world.pass_time(2 * HOUR)
        await world.settle()
        assert world.running() == [], "its end comes all the same"
