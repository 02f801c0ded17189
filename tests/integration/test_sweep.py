"""A sweep looks at what may have changed, at a part of all else, and at nobody in vain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chainwatch.control import resync as resync_module
from tests.support.realm import ALICE, FIRST, Realm, realm

TOKENS = (1, 2, 3)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Realm]:
    """Three machines as desired, of which the list has heard; each sweep's part is one lease."""
    monkeypatch.setattr(resync_module, "LEAST", 1)
    async with realm(tmp_path) as made:
        for token in TOKENS:
            made.buy(token)
        made.finalize()
        await made.settle()
        made.cluster.advance(60)
        await swept(made)
        await made.settle()
        made.cluster.advance(60)
        yield made


async def swept(world: Realm) -> set[str]:
    """Sweep; returns the leases that are due because of it."""
    resync, work = world.daemon.supervisor.resync, world.daemon.stores.work
    assert not await work.keys()
    await resync.sweep()
    return {item.key for item in await work.due(world.daemon.supervisor.clock.now(), 100)}


def configs_read(world: Realm) -> int:
    counts = world.cluster.inventory().calls
    return counts["GET /nodes/{node}/qemu/{vmid}/config"]


def vmid_of(world: Realm, token: int) -> int:
    ((vmid, *_),) = (
        vmids
        for (key, _), vmids in world.daemon.supervisor.resync.places.items()
        if key == str(world.lease(token))
    )
    return vmid


async def test_a_sweep_over_machines_as_they_were_seen_reads_none_and_makes_a_part_due(
    world: Realm,
) -> None:
    before = configs_read(world)
    assert len(await swept(world)) == 1
    assert configs_read(world) == before


async def test_within_as_many_sweeps_as_there_are_parts_every_lease_has_its_turn(
    world: Realm,
) -> None:
    turns = set()
    for _ in TOKENS:
        turns |= await swept(world)
        await world.settle()
        world.cluster.advance(60)
    assert turns == {str(world.lease(token)) for token in TOKENS}


async def test_a_machine_that_somebody_stopped_renamed_or_removed_is_due(world: Realm) -> None:
    world.cluster.stop_guest(vmid_of(world, 1))
    world.cluster.edit_guest(vmid_of(world, 2), name="mine")
    world.cluster.remove_guest(vmid_of(world, 3))
    world.cluster.advance(15)
    assert await swept(world) == {str(world.lease(token)) for token in TOKENS}
    await world.settle()
    assert len(world.guests()) == len(TOKENS)


async def test_a_change_that_the_list_does_not_show_is_repaired_when_its_turn_has_come(
    world: Realm,
) -> None:
    vmid = vmid_of(world, 2)
    world.cluster.edit_guest(vmid, onboot=0)
    for _ in TOKENS:
        await swept(world)
        await world.settle()
        world.cluster.advance(60)
    assert world.cluster.guest(vmid).config["onboot"] == 1


async def test_a_second_machine_that_proves_to_be_the_same_is_found_by_two_proofs(
    world: Realm,
) -> None:
    vmid = vmid_of(world, 1)
    twin = FIRST + 15
    await swept(world)
    assert world.daemon.supervisor.resync.orphans == ()
    signer, reconciler = world.daemon.reconciler.site.signer, world.daemon.reconciler
    facts = await reconciler.facts.of(str(world.lease(1)))
    assert facts is not None
    proof = signer.prove(str(world.cluster.guest(vmid).config["description"]), vmid)
    assert proof is not None
    identity, stamps = proof
    forged = type(identity)(identity.installation, identity.key, identity.nonce, twin)
    world.cluster.add_guest(twin, config={"description": signer.describe(forged, stamps)})
    world.cluster.advance(15)
    await world.daemon.supervisor.resync.sweep()
    places = world.daemon.supervisor.resync.places
    assert places[identity.key, identity.nonce] == (vmid, twin)


async def test_a_stranger_in_our_range_is_told_by_the_next_sweep(world: Realm) -> None:
    world.cluster.add_guest(FIRST + 16, config={"name": "stranger"})
    world.cluster.advance(15)
    await swept(world)
    assert [each.vmid for each in world.daemon.supervisor.resync.orphans] == [FIRST + 16]
    assert FIRST + 16 not in world.touched_foreign()


async def test_a_start_does_not_read_machines_that_the_log_knows_before_it_works(
    world: Realm,
) -> None:
    before = configs_read(world)
    await world.restart()
    await world.check()
    await world.read()
    assert await world.daemon.supervisor.first_survey()
    assert configs_read(world) == before
    assert len(await world.daemon.stores.work.keys()) == len(TOKENS)


async def test_who_waits_in_the_queue_is_not_made_due_once_more(world: Realm) -> None:
    world.cluster.remove_guest(vmid_of(world, 1))
    world.cluster.advance(15)
    work, now = world.daemon.stores.work, world.daemon.supervisor.clock.now()
    await work.enqueue([str(world.lease(1))], "news")
    (item,) = await work.due(now, 1)
    await work.done(item, now + 100)
    await world.daemon.supervisor.resync.sweep()
    assert str(world.lease(1)) not in {each.key for each in await work.due(now, 100)}


async def test_the_buyer_of_a_machine_that_was_looked_at_is_served_at_once(world: Realm) -> None:
    world.transfer(1, ALICE, "0x" + "b0" * 20)
    world.finalize()
    await world.read()
    assert str(world.lease(1)) in await world.daemon.stores.work.keys()
