"""Machines by hand that are whole copies: where they lie, how long they are waited for."""

from argparse import ArgumentParser
from dataclasses import replace
from typing import Final

import pytest

from provisioner import faultpoints
from provisioner.cli.main import VERBS
from provisioner.cli.making import result
from provisioner.driver import OutOfTime
from provisioner.errors import NoRoom
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.settings import Durations, Settings
from provisioner.terms import Cloning
from provisioner.verbs.create import create, plan
from provisioner.verbs.gc import Phase, collect
from tests.support.cli import TEMPLATE, Yard, order

SAN: Final = "san"
GIB: Final = 2**30


def thick_yard(*, size: int = 2**40, rate: float = 1e9) -> Yard:
    """Return a cluster where machines are copied to thick storage, so many bytes a second."""
    cluster = Cluster(Settings(durations=Durations(full_clone_rate=rate)))
    cluster.add_storage(SAN, "lvm", size=size)
    cluster.add_template(TEMPLATE)
    it = Yard(cluster)
    site = replace(it.settings.site, cloning=Cloning(full=True, storage=SAN))
    it.settings = replace(it.settings, site=site)
    return it


def volumes(it: Yard) -> list[str]:
    """Return the volumes on the thick storage."""
    return sorted(volid for volid in it.cluster.state.volumes if volid.startswith(f"{SAN}:"))


async def test_a_machine_is_copied_to_the_storage_that_is_named() -> None:
    it = thick_yard()
    made = await create(it.shop(), order())
    assert f"{SAN}:vm-{made.vmid}-disk-0" in volumes(it)
    assert it.leaks() == []


async def test_a_dry_run_says_when_there_is_no_room_to_copy_to() -> None:
    it = thick_yard(size=15 * GIB)
    with pytest.raises(NoRoom, match=f"storage {SAN} has 5 GiB left"):
        await plan(it.shop(), order())


async def test_a_command_that_gives_up_on_a_copy_is_finished_by_the_same_command() -> None:
    it = thick_yard(rate=4 * GIB / 1800)
    with pytest.raises(OutOfTime, match="run the same command again"):
        await create(it.shop(seconds=900), order())
    made = await create(it.shop(seconds=3600), order())
    assert list(it.guests()) == [made.vmid]
    assert it.leaks() == []


async def test_waiting_for_an_hour_costs_few_calls() -> None:
    it = thick_yard(rate=4 * GIB / 3600)
    before = sum(it.cluster.inventory().calls.values())
    await create(it.shop(seconds=7200), order())
    assert sum(it.cluster.inventory().calls.values()) - before < 400


async def test_gc_leaves_a_copy_its_time_before_it_calls_it_abandoned() -> None:
    it = thick_yard(rate=4 * GIB / 200)
    it.settings = replace(it.settings, unfinished_after=60)
    with pytest.raises(OutOfTime):
        await create(it.shop(seconds=30), order())
    it.cluster.advance(200)  # the copy is there, and nobody could finish it before
    await collect(it.shop(), execute=True, phases=frozenset(Phase))
    assert len(it.guests()) == 1
    it.cluster.advance(120)
    await collect(it.shop(), execute=True, phases=frozenset(Phase))
    assert it.guests() == {}


@pytest.mark.parametrize(("kind", "seconds"), [("vm", 600), ("container", 0)])
def test_a_copy_is_waited_for_a_minute_more_for_each_gib(kind: str, seconds: int) -> None:
    verb, parser, it = VERBS["create"], ArgumentParser(), thick_yard()
    verb.arguments(parser)
    words = ["web", "--owner-wallet", order().owner, "--disk", "10", "--kind", kind]
    assert verb.more(it.settings, parser.parse_args(words)) == seconds
    linked = replace(it.settings, site=replace(it.settings.site, cloning=Cloning()))
    assert verb.more(linked, parser.parse_args(words)) == 0


@pytest.mark.parametrize("point", ["before", "after"])
async def test_who_is_killed_at_the_copy_finds_it_again(point: str) -> None:
    class Killed(BaseException):
        pass

    def die(reached: str) -> None:
        if reached == f"hypervisor.clone.{point}":
            raise Killed

    it = thick_yard(rate=4 * GIB / 60)
    faultpoints.arm(die)
    with pytest.raises(Killed):
        await create(it.shop(), order())
    faultpoints.arm(None)
    made = await create(it.shop(), order())
    assert list(it.guests()) == [made.vmid]
    assert it.leaks() == []
    assert '"status": "ok"' in result("ok", made)
