"""A backup that any pruning might take is protected again, whoever took its protection off."""

from pathlib import Path

import pytest

from provisioner.simulator.faults import Fault, FaultName
from tests.support.backing import BACKUPS, bare, found_bare, keeping
from tests.support.lives import bought, final, grace_over, run_out
from tests.support.realm import FIRST, GRACE, Realm


async def over(world: Realm) -> None:
    """A lease and its grace are over, and of its machine there is a backup."""
    for stage in (bought, run_out, final, grace_over):
        await stage(world)
        await world.settle()
    assert len(world.cluster.inventory().backups) == 1


async def paid_again(world: Realm) -> None:
    world.renew(lasts=100 * GRACE)
    world.finalize()
    await world.settle()


def unprotected(world: Realm) -> list[str]:
    files = world.cluster.state.files.values()
    return [file.volid for file in files if file.backup and not file.protected]


async def test_a_backup_whose_deletion_broke_off_is_protected_again_once_it_is_needed(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        vault = "storage 'vault' is not online"
        world.cluster.arm(Fault(FaultName.REFUSE, "DELETE", "*/content/*", status=500, text=vault))
        world.pass_time(2 * BACKUPS.keep)
        world.finalize()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        for _ in range(10):
            if unprotected(world):
                break
            await world.turns(1)
        assert len(unprotected(world)) == len(world.cluster.inventory().backups) == 1
        await paid_again(world)
        assert world.running() == [FIRST]
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert (unprotected(world), len(world.cluster.inventory().backups)) == ([], 1)


@pytest.mark.parametrize("paid", [False, True])
async def test_a_backup_that_somebody_bared_is_protected_again(paid: bool, tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        if paid:
            await paid_again(world)
        await found_bare(world)
        assert len(unprotected(world)) == 1
        await world.settle()
        assert (unprotected(world), len(world.cluster.inventory().backups)) == ([], 1)
        calls = sum(world.cluster.inventory().calls.values())
        await world.settle()
        assert sum(world.cluster.inventory().calls.values()) == calls


async def test_a_backup_that_is_bared_again_and_again_is_told_of_and_not_fought_for_hot(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        path = "/nodes/*/storage/vault/content"
        again = Fault(FaultName.HAPPENS, "GET", path, act=lambda _: bare(world), lasting=True)
        world.cluster.arm(again)
        await found_bare(world)
        before = sum(world.cluster.inventory().calls.values())
        await world.turns(100, 10)
        assert sum(world.cluster.inventory().calls.values()) - before < 100
        assert "was protected and is not" in (await world.alarms())["failing"]
        world.cluster.state.faults.armed.clear()
        await found_bare(world)
        await world.settle(seconds=7200)
        assert (unprotected(world), await world.alarms()) == ([], {})


async def test_a_storage_that_protects_nothing_is_told_of_and_keeps_nobody_from_his_machine(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        text = "attribute 'protected' is not supported for storage type 'other'"
        path = "/nodes/*/storage/vault/content/*"
        world.cluster.arm(Fault(FaultName.REFUSE, "PUT", path, text=text, lasting=True))
        await found_bare(world)
        await world.turns(30, 10)
        alarms = await world.alarms()
        assert alarms.keys() == {"failing"}
        assert text in alarms["failing"]
        await paid_again(world)
        assert world.running() == [FIRST]
        world.pass_time(200 * GRACE)
        world.finalize()
        await world.turns(30, 10)
        assert world.running() == []
