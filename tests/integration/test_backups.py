"""Nothing is destroyed without a backup where the policy wants one; judged by what the cluster has.

The backup proves whose it is, brings the machine back when its lease is paid for again, and goes
when it was kept for long enough.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chainwatch.domain.desired import Hold
from chainwatch.domain.events import KeysChanged
from provisioner.model import Verb
from provisioner.simulator.faults import Fault, FaultName
from tests.support.backing import BACKUPS, keeping
from tests.support.chain_model import plan_events
from tests.support.office import desk_of
from tests.support.realm import ALICES_KEY, BOBS_KEY, FIRST, GRACE, HOUR, Realm, realm

KEEP: Final = BACKUPS.keep
DIARY: Final = "/home/debian/diary"


async def over(world: Realm, watch: Callable[[], object] = lambda: None) -> None:
    """Buy a lease, write into its machine, and let lease and grace be over."""
    world.buy()
    await world.settle()
    world.guest().os.files[DIARY] = "dear diary"
    world.pass_time(2 * HOUR)
    world.finalize()
    await world.settle()
    world.pass_time(GRACE + 1)
    world.finalize()
    await world.settle(watch=watch)


async def renewed(world: Realm, lasts: int = 100 * GRACE) -> None:
    world.renew(lasts=lasts)
    world.finalize()
    await world.settle()


def backups(world: Realm) -> dict[str, int]:
    return dict(world.cluster.inventory().backups)


def tasks(world: Realm, kind: str) -> list[str | None]:
    return [task.status for task in world.cluster.inventory().tasks if task.kind == kind]


async def test_a_machine_is_backed_up_before_it_is_destroyed(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:

        def watch() -> None:
            assert world.guests() or backups(world)

        await over(world, watch)
        assert world.guests() == {}
        assert list(backups(world).values()) == [FIRST]
        (file,) = (f for f in world.cluster.state.files.values() if f.backup)
        assert (file.protected, file.volid.partition(":")[0]) == (True, "vault")
        assert tasks(world, "vzdump") == ["OK"]
        assert world.leaked() == ()
        assert await world.alarms() == {}


async def test_without_the_policy_nothing_is_backed_up(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await over(world)
        assert (world.guests(), backups(world)) == ({}, {})


async def test_a_backup_that_fails_delays_the_destroy_and_is_told(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        for _ in range(2):
            world.cluster.arm(Fault(FaultName.TASK_FAILS, "POST", "*/vzdump", text="job errors"))
        await over(world)
        assert list(world.guests()) == [FIRST]
        assert "not destroyed before there is a backup" in (await world.alarms())["backup-failed"]
        await world.turns(100, 10)
        assert tasks(world, "vzdump") == ["job errors"]
        for _ in range(2):
            world.cluster.advance(1800)
            await world.settle()
        assert tasks(world, "vzdump") == ["job errors", "job errors", "OK"]
        assert (world.guests(), len(backups(world))) == ({}, 1)
        assert "backup-failed" not in await world.alarms()


@pytest.mark.parametrize("trouble", ["full", "away", "locked", "unknown", "elsewhere"])
async def test_no_way_in_which_a_backup_fails_is_tried_hot(tmp_path: Path, trouble: str) -> None:
    async with keeping(tmp_path) as world:
        vault = world.cluster.state.storages["vault"]
        if trouble == "full":
            vault.size = 0
        elif trouble == "away":
            vault.active = False
        elif trouble == "elsewhere":
            vault.nodes = ("another",)
        elif trouble == "unknown":
            del world.cluster.state.storages["vault"]
        else:
            text = "can't lock file '/run/lock/qemu-server/lock-20000.conf' - got timeout"
            world.cluster.arm(Fault(FaultName.TASK_FAILS, "POST", "*/vzdump", text=text))
        await over(world)
        before = sum(world.cluster.inventory().calls.values())
        await world.turns(100, 10)
        assert len(tasks(world, "vzdump")) <= 1
        assert sum(world.cluster.inventory().calls.values()) - before < 100
        assert list(world.guests()) == [FIRST]
        assert await world.alarms()


async def test_a_backup_whose_reply_is_lost_is_made_once(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        world.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "*/vzdump"))
        await over(world)
        assert (world.guests(), len(backups(world))) == ({}, 1)


async def test_a_backup_by_somebody_else_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        world.buy()
        await world.settle()
        api = world.daemon.reconciler.machines.archives
        assert api is not None
        await api.store.back_up("pve", FIRST, "vault", "stop", "chainwatch-backup:1:bm90IG91cnM")
        world.cluster.settle()
        assert await api.look() == ()
        assert api.known == {}
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert len(backups(world)) == 2


# ----------------------------------------------------------------------------------------- restore


async def test_a_late_renewal_brings_the_machine_back_with_what_was_in_it(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        await renewed(world)
        assert world.running() == [FIRST]
        assert world.guest().os.files[DIARY] == "dear diary"
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert tasks(world, "qmclone") == ["OK"]
        assert tasks(world, "qmrestore") == ["OK"]
        assert await world.alarms() == {}
        steps = [each.step for each in await desk_of(world).operations(9)]
        assert "restore" in steps


async def test_what_is_restored_elsewhere_has_the_identity_of_its_new_place(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        world.cluster.add_guest(FIRST)  # a stranger took the VMID
        await renewed(world)
        (vmid,) = world.running()
        assert vmid != FIRST
        signer = world.daemon.reconciler.site.signer
        config = world.guest().config
        proof = signer.prove(str(config["description"]), vmid)
        assert proof is not None
        assert proof[0].vmid == vmid
        pool = world.daemon.reconciler.site.pool
        assert pool.addresses(vmid).mac in str(config["net0"])
        assert world.guest().os.files[DIARY] == "dear diary"
        assert FIRST not in world.touched_foreign()


async def test_what_is_restored_is_of_the_kind_that_it_was(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        world.mine(*plan_events(kind=1))  # what the plan sells by now
        await renewed(world)
        assert world.guest().kind == "qemu"
        assert world.guest().os.files[DIARY] == "dear diary"
        assert await world.alarms() == {}


async def test_who_was_locked_out_before_is_not_let_in_by_the_restored_disk(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        world.transfer()
        world.mine(KeysChanged(1, BOBS_KEY, "0x"))
        world.renew(lasts=100 * GRACE)
        world.finalize()

        def watch() -> None:
            assert not any(world.cluster.admits(vmid, ALICES_KEY) for vmid in world.running())

        await world.settle(watch=watch)
        (vmid,) = world.running()
        assert world.cluster.admits(vmid, BOBS_KEY)
        assert world.guest().os.files[DIARY] == "dear diary"


async def test_a_machine_that_was_restored_is_backed_up_again_at_its_next_end(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        await renewed(world, lasts=HOUR)
        world.guest().os.files[DIARY] = "dear diary, I was away"
        world.pass_time(2 * HOUR)
        world.finalize()
        await world.settle()
        world.pass_time(GRACE + 1)
        world.finalize()
        await world.settle()
        assert (world.guests(), len(backups(world))) == ({}, 2)
        await renewed(world)
        assert world.guest().os.files[DIARY] == "dear diary, I was away"


async def test_a_backup_on_a_node_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with keeping(tmp_path, "pve", "pve2", "pve3", kind="dir") as world:
        await over(world)
        (file,) = (f for f in world.cluster.state.files.values() if f.backup)
        world.cluster.add_template(9001, node="pve2")
        (node,) = file.nodes
        world.cluster.cut_power(node)
        world.renew(lasts=100 * GRACE)
        world.finalize()
        await world.turns(60)
        assert world.guests() == {}
        world.cluster.restore_power(node)
        await world.settle(1200)
        assert world.guest().os.files[DIARY] == "dear diary"


async def test_a_backup_on_a_storage_that_no_node_has_is_waited_for(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        vault = world.cluster.state.storages[BACKUPS.storage]
        vault.nodes = ("elsewhere",)
        world.renew(lasts=100 * GRACE)
        world.finalize()
        await world.turns(60)
        assert world.guests() == {}
        waiting = (await desk_of(world).show("1")).waits
        assert "no node that is online has the storage vault" in str(waiting)
        vault.nodes = ()
        await world.settle(1200)
        assert world.guest().os.files[DIARY] == "dear diary"


async def test_backups_that_nobody_sees_are_told_of_until_somebody_does(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        vault = world.cluster.state.storages[BACKUPS.storage]
        vault.nodes = ("elsewhere",)
        await world.restart()
        await world.daemon.supervisor.resync.survey()
        assert (await world.alarms())["backups-unseen"] == (
            "no node that is online has the storage vault, where backups are kept: "
            "bring the storage back, or give it to a node"
        )
        vault.nodes = ()
        await world.daemon.supervisor.resync.survey()
        assert "backups-unseen" not in await world.alarms()


async def test_a_backup_that_is_not_where_it_was_is_waited_for(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        files = world.cluster.state.files
        (volid,) = (volid for volid, file in files.items() if file.backup)
        aside = files.pop(volid)
        world.renew(lasts=100 * GRACE)
        world.finalize()
        await world.turns(60)
        assert world.guests() == {}
        waiting = (await desk_of(world).show("1")).waits
        assert "is not on vault, on any node: bring it back" in str(waiting)
        files[volid] = aside
        await world.settle(1200)
        assert world.guest().os.files[DIARY] == "dear diary"


async def test_who_orders_a_reinstall_gets_a_machine_where_the_backup_is_lost(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        files = world.cluster.state.files
        del files[next(volid for volid, file in files.items() if file.backup)]
        world.renew(lasts=100 * GRACE)
        world.finalize()
        await world.turns(60)
        assert world.guests() == {}
        await desk_of(world).order("1", (Verb.REINSTALL, ""), "its backup is lost", 0)
        await world.settle(1200)
        assert DIARY not in world.guest().os.files
        first = world.guest().vmid
        world.cluster.stop_guest(first)
        world.cluster.remove_guest(first)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert len(world.running()) == 1


async def test_a_database_that_was_lost_forgets_no_backup(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        async with world.db.transaction("audit") as tx:
            await tx.run("DELETE FROM operation")
        await world.restart()
        await renewed(world)
        assert world.guest().os.files[DIARY] == "dear diary"


async def test_a_reinstall_is_not_undone_by_a_backup_from_before(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        await renewed(world)
        await desk_of(world).order("1", (Verb.REINSTALL, ""), "a test", 0)
        await world.settle()
        assert DIARY not in world.guest().os.files
        assert world.running() == [FIRST]
        world.cluster.stop_guest(FIRST)
        world.cluster.remove_guest(FIRST)
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert DIARY not in world.guest().os.files


# ----------------------------------------------------------------------------------- what expires


async def test_a_backup_is_deleted_when_it_was_kept_for_long_enough(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        world.pass_time(KEEP // 2)
        world.finalize()
        await world.daemon.supervisor.resync.survey()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert len(backups(world)) == 1
        world.pass_time(KEEP)
        world.finalize()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert backups(world) == {}
        assert (await desk_of(world).status()).destroys.spent == 1


@pytest.mark.parametrize("why", ["hold", "pause", "renewed"])
async def test_a_backup_that_may_be_needed_is_kept(tmp_path: Path, why: str) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        holds = world.daemon.stores.holds
        if why == "hold":
            await holds.hold(str(world.lease()), Hold.HOLD, "a court asks", 0, now=1)
        elif why == "pause":
            await holds.pause("destroys", "a look", 0, now=1)
        world.pass_time(2 * KEEP)
        world.finalize()
        await world.read()
        if why == "renewed":
            world.renew(lasts=100 * GRACE)  # seen at latest alone
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.turns(40)
        assert len(backups(world)) == 1


async def test_a_stranger_s_backup_of_the_same_vmid_stays(tmp_path: Path) -> None:
    async with keeping(tmp_path) as world:
        await over(world)
        (ours,) = backups(world)
        state = world.cluster.state
        stranger = replace(state.files[ours], volid=f"{ours}.old", notes="mine")
        state.files[stranger.volid] = stranger
        world.pass_time(2 * KEEP)
        world.finalize()
        await world.daemon.supervisor.resync.survey()
        await world.daemon.supervisor.resync.enqueue_all("periodic resync")
        await world.settle()
        assert list(backups(world)) == [stranger.volid]
