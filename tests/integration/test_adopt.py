"""An operator may vouch for a machine that proves nothing, and for no other."""

from pathlib import Path

import pytest

from chainwatch.errors import OperatorError
from provisioner.simulator.guests import ConfigValue
from tests.support.office import desk_of
from tests.support.realm import ALICES_KEY, FIRST, GRACE, Realm, realm

UID = 1000


async def bought(world: Realm) -> None:
    world.buy(lasts=100 * GRACE)
    world.finalize()
    await world.settle()


async def edited(world: Realm, **config: ConfigValue) -> None:
    """Buy a machine, and have somebody edit it until its lease gives up."""
    await bought(world)
    world.cluster.edit_guest(FIRST, **config)
    await world.daemon.supervisor.resync.survey()
    await world.daemon.supervisor.resync.enqueue_all("periodic resync")
    await world.settle()
    assert "parked" in await world.alarms()


@pytest.mark.parametrize(
    "config",
    [
        {"description": "my server"},
        {"smbios1": "uuid=11111111-2222-3333-4444-555555555555"},
    ],
    ids=["description", "uuid"],
)
async def test_a_machine_that_lost_its_identity_gets_it_back(
    tmp_path: Path, config: dict[str, ConfigValue]
) -> None:
    async with realm(tmp_path) as world:
        await edited(world, **config)
        desk, boots = desk_of(world), world.cluster.inventory().guests[FIRST].boots
        found = await desk.candidate("1", FIRST)
        assert found.refusal is None
        assert any("records say that it is this lease's" in each for each in found.evidence)
        await desk.adopt("1", FIRST, "I looked at its disk", UID)
        await world.settle()
        assert world.running() == [FIRST]
        assert world.cluster.inventory().guests[FIRST].boots == boots
        assert world.cluster.admits(FIRST, ALICES_KEY)
        assert world.cluster.inventory().guests[FIRST].link_up
        assert (await desk.show("1")).waits is None
        assert await world.alarms() == {}
        (told,) = await desk.audit(1)
        assert (told.uid, told.what, told.why) == (
            UID,
            "adopt",
            f"VM {FIRST}: I looked at its disk",
        )


async def test_whoever_could_enter_an_adopted_machine_cannot_any_more(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await edited(world, description="my server")
        strangers = "ssh-ed25519 AAAA stranger"
        world.guest().os.files["/home/debian/.ssh/authorized_keys"] = strangers
        await desk_of(world).adopt("1", FIRST, "I looked at its disk", UID)
        await world.settle()
        assert not world.cluster.admits(FIRST, strangers)
        assert world.cluster.admits(FIRST, ALICES_KEY)


async def refused(world: Realm, vmid: int, text: str, lease: str = "1") -> None:
    desk, before = desk_of(world), dict(world.cluster.guest(FIRST).config)
    found = await desk.candidate(lease, vmid)
    assert text in (found.refusal or "")
    with pytest.raises(OperatorError, match="is not adopted"):
        await desk.adopt(lease, vmid, "because", UID)
    assert dict(world.cluster.guest(FIRST).config) == before
    assert [entry.what for entry in await desk.audit(9)] == []


async def test_what_may_be_somebody_else_s_is_refused(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await bought(world)
        world.cluster.add_guest(100)
        world.cluster.add_guest(FIRST + 5)
        world.cluster.add_template(FIRST + 6)
        world.cluster.add_guest(FIRST + 7, config={"lock": "backup"})
        world.cluster.advance(11)
        await refused(world, 100, "not in our range")
        await refused(world, FIRST + 3, "no such VM")
        await refused(world, FIRST + 6, "is a template")
        await refused(world, FIRST + 7, "is locked (backup)")
        await refused(world, FIRST + 5, f"has VM {FIRST} already")
        await refused(world, FIRST, "nothing to adopt")
        world.buy(2, lasts=100 * GRACE)
        await world.settle()
        await refused(world, FIRST, "proves to be", lease="2")
        world.cluster.edit_guest(FIRST, description="edited")
        await refused(world, FIRST, "by our own records it is", lease="2")
        with pytest.raises(OperatorError, match="say why"):
            await desk_of(world).adopt("1", FIRST, "  ", UID)


async def test_a_machine_that_changes_meanwhile_is_not_adopted(tmp_path: Path) -> None:
    async with realm(tmp_path) as world:
        await edited(world, description="my server")
        operations = world.daemon.stores.operations
        (row,) = [each for each in await operations.recent(50) if each.step == "clone"]
        await operations.begin(row.key, "configure", FIRST, "pve", row.nonce)
        with pytest.raises(OperatorError, match="not adopted now"):
            await desk_of(world).adopt("1", FIRST, "because", UID)
        assert world.guest().config["description"] == "my server"
