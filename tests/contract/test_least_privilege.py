"""The privileges that are granted are those of the calls that are made: all of these, and no more.

Calls are counted where they arrive, in the simulated cluster, while machines live their lives; then
a life is lived by a token that has what `chainwatch proxmox grant` prints and nothing else.
"""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provisioner.backends.proxmox.archives import ProxmoxArchives
from provisioner.backends.proxmox.controls import ProxmoxControls
from provisioner.backends.proxmox.grant import role_line
from provisioner.backends.proxmox.inspection import Inspection, Sold
from provisioner.backends.proxmox.ostemplates import ProxmoxOsTemplates
from provisioner.backends.proxmox.privileges import (
    BACKUP_CALLS,
    CALLS,
    Estate,
    Scope,
    privileges,
    with_backups,
)
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.errors import ProvisionError
from provisioner.model import Kind
from provisioner.simulator.cluster import OS_TEMPLATE, Cluster
from provisioner.simulator.guests import Power
from provisioner.simulator.state import Grant, Token
from provisioner.simulator.wire import ApiRequest
from tests.support.pve import (
    BOB,
    FIREWALLS,
    NODE,
    TEMPLATE,
    TOKEN,
    VMID,
    WANTED,
    World,
    direct_world,
    world_over,
)
from tests.support.stretches import STRETCHES

#: What the simulated cluster shows without: it hides no disks, every list holds for all below it,
#: and one on `/vms` also for a template that has one of its own.
UNGUARDED: Final = {
    ("/nodes", "Sys.Audit"),
    ("/vms", "VM.Config.Disk"),
    ("/storage/local", "Datastore.Audit"),
    (f"/vms/{TEMPLATE}", "VM.Audit"),
}
#: What is asked by `chainwatch check` alone.
ESTATE: Final = Estate(
    (TEMPLATE,), ("local",), ("vmbr0",), ("archives",), pool="leases", backups="vault"
)
SETTINGS: Final = ProxmoxSettings(
    (TEMPLATE,),
    "leases",
    os_template=f"archives:vztmpl/{OS_TEMPLATE}",
    container_storage="local",
    backup_storage="vault",
)
MACHINES: Final = Scope.MACHINES
CONSOLE: Final = ("VM.Console",)
CHECKED: Final = {"GET /version", "GET /access/permissions", "GET /cluster/firewall/options"}
#: What is read only where deliveries are sent, and where an operator asks what a machine uses.
ASKED: Final = {
    "GET /nodes/{node}/qemu/{vmid}/agent/file-read",
    "GET /nodes/{node}/qemu/{vmid}/agent/get-fsinfo",
}


def all_of(estate: Estate) -> Iterator[tuple[str, str]]:
    """Yield every path with every privilege that is granted there."""
    for scope in Scope:
        for path in estate.paths(scope):
            yield from (
                (path, privilege) for privilege in privileges(scope, 8, with_backups(CALLS))
            )


def granted(*without: tuple[str, str]) -> World:
    """Return a world whose only token has what is printed, save `without`."""
    plain = direct_world()

    def grant(cluster: Cluster) -> None:
        cluster.add_pool("leases")
        cluster.add_storage("vault", "nfs")
        cluster.add_storage("archives")
        cluster.add_os_template(storage="archives")
        cluster.default_token()
        cluster.set_grants(TOKEN, everything=False)
        cluster.state.tokens[TOKEN].grants = tuple(
            Grant(path, frozenset({privilege}))
            for path, privilege in all_of(ESTATE)
            if (path, privilege) not in without
        )

    plain.see(grant)
    return world_over(plain.api, plain.see, SETTINGS)


async def live(world: World) -> None:
    """Live a machine's life, by every call there is."""
    since = int(world.see(lambda cluster: cluster.now))
    world.see(strangers)
    assert VMID + 1 in (await world.hypervisor.snapshot()).guests
    await world.booted(replace(WANTED, memory_mib=1024))
    for own in FIREWALLS:
        await world.hypervisor.isolate(NODE, VMID, own)
        world.see(lambda cluster: cluster.state.firewalls[VMID].ipsets.clear())
        await world.hypervisor.isolate(NODE, VMID, own)
        assert await world.hypervisor.isolation(NODE, VMID) == own
    await world.ok(await world.hypervisor.resize(NODE, VMID, "scsi0", 20))
    assert await world.shell.answers(NODE, VMID)
    await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    await world.shell.set_gecos(NODE, VMID, "debian", "wallet=0x0,nft=1")
    await world.shell.end_sessions(NODE, VMID, "debian")
    await world.hypervisor.power(NODE, VMID)
    assert await world.hypervisor.volumes(NODE, VMID)
    await world.ok(await world.hypervisor.take_snapshot(NODE, VMID, "kept"))
    assert [row.name for row in await world.hypervisor.snapshots(NODE, VMID)] == ["kept"]
    await world.ok(await world.hypervisor.roll_back(NODE, VMID, "kept"))
    await world.ok(await world.hypervisor.start(NODE, VMID))
    await world.ok(await world.hypervisor.stop(NODE, VMID))
    await world.ok(await world.hypervisor.start(NODE, VMID))
    await pause(world)
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    archives = ProxmoxArchives(world.api, SETTINGS)
    await world.ok(await archives.back_up(NODE, VMID, "vault", "stop", "a note"))
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    (backup,) = await archives.archives(NODE, "vault") or ()
    await world.ok(
        await archives.restore(NODE, VMID, backup.volid, "back", "again", storage="local")
    )
    upid = await world.hypervisor.destroy(NODE, VMID)
    await world.ok(upid)
    await world.ok(await archives.drop(NODE, "vault", backup.volid))
    world.see(lambda cluster: setattr(cluster.state.storages["local"], "enabled", False))
    assert await world.hypervisor.volumes(NODE, VMID, destroyed_by=upid) == []
    world.see(lambda cluster: setattr(cluster.state.storages["local"], "enabled", True))
    assert await world.hypervisor.freed(since) == {VMID, VMID + 2}


async def live_as_container(world: World) -> None:
    """Live a container's life, by every call that the other lives do not make."""
    settings = replace(WANTED, memory_mib=1024, user="", ssh_keys="", uuid="", agent=False)
    kind = Kind.CONTAINER
    assert await ProxmoxOsTemplates(world.api).holds(NODE, str(SETTINGS.os_template))
    made = await world.hypervisor.create_container(
        NODE, VMID, replace(settings, onboot=False), "ours", disk_gib=4, keys=BOB
    )
    await world.ok(made)
    world.see(lambda cluster: inherit(cluster, VMID))
    for own in FIREWALLS:
        await world.hypervisor.isolate(NODE, VMID, own, kind=kind)
        world.see(lambda cluster: cluster.state.firewalls[VMID].ipsets.clear())
        await world.hypervisor.isolate(NODE, VMID, own, kind=kind)
        assert await world.hypervisor.isolation(NODE, VMID, kind=kind) == own
    config = await world.hypervisor.config(NODE, VMID, kind=kind)
    assert config is not None
    await world.hypervisor.configure(NODE, VMID, settings, "ours", config.digest, kind=kind)
    await world.ok(await world.hypervisor.resize(NODE, VMID, "rootfs", 20, kind=kind))
    await world.ok(await world.hypervisor.start(NODE, VMID, kind=kind))
    await world.hypervisor.power(NODE, VMID, kind=kind)
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30, kind=kind))
    await world.ok(await world.hypervisor.start(NODE, VMID, kind=kind))
    await world.ok(await world.hypervisor.stop(NODE, VMID, kind=kind))
    assert await world.hypervisor.snapshots(NODE, VMID, kind=kind) == []
    for refused in (  # its root is a file that knows no snapshots
        await world.hypervisor.take_snapshot(NODE, VMID, "kept", kind=kind),
        await world.hypervisor.roll_back(NODE, VMID, "kept", kind=kind),
    ):
        assert (await world.done(refused)).error is not None
    await world.ok(await world.hypervisor.destroy(NODE, VMID, kind=kind))


async def live_as_both(one: World, other: World) -> None:
    await live(one)
    await live_as_container(other)


def inherit(cluster: Cluster, vmid: int) -> None:
    """Give a guest the firewall of the template."""
    cluster.state.firewalls[vmid] = deepcopy(cluster.state.firewalls[TEMPLATE])


def strangers(cluster: Cluster) -> None:
    """Have somebody make two guests in our range, and destroy one of them."""
    for vmid in (VMID + 1, VMID + 2):
        cluster.add_guest(vmid)
    cluster.add_token(Token("admin@pve!x", "secret"))
    path = f"/nodes/{NODE}/qemu/{VMID + 2}"
    gone = cluster.handle(ApiRequest("DELETE", path, {}, "admin@pve!x=secret"))
    assert gone.status == 200
    cluster.settle()


async def pause(world: World) -> None:
    """Have somebody pause the machine behind our back."""

    def pause(cluster: Cluster) -> None:
        cluster.guest(VMID).power = Power.PAUSED

    world.see(pause)


async def test_every_call_that_a_life_makes_is_in_the_table_and_no_other(tmp_path: Path) -> None:
    made: Counter[str] = Counter()
    for name, stretch in STRETCHES.items():
        folder = tmp_path / name
        folder.mkdir()
        async with stretch.realm(folder) as world:
            for stage in (*stretch.before, *stretch.stages):
                await stage(world)
                await world.settle()
            made.update(world.cluster.inventory().calls)
    alone = granted()
    await live_as_both(alone, alone)
    made.update(alone.see(lambda cluster: dict(cluster.inventory().calls)))
    assert set(made) | CHECKED | ASKED == set(CALLS) | set(BACKUP_CALLS)


async def test_a_token_with_what_is_printed_lives_a_whole_life() -> None:
    await live_as_both(granted(), granted())


async def test_a_token_is_told_what_it_lacks_and_nothing_else() -> None:
    for less in sorted({*all_of(ESTATE)} - UNGUARDED):
        world = granted(less)
        told = await Inspection(world.api, SETTINGS, "vmbr0", TOKEN).remarks()
        (lack,) = [each.text for each in told if not each.ok]
        assert f"lacks {less[1]} on {less[0]}; on a node: pveum " in lack


@pytest.mark.parametrize("less", sorted({*all_of(ESTATE)} - UNGUARDED), ids=" ".join)
async def test_a_token_with_one_privilege_less_does_not(less: tuple[str, str]) -> None:
    with pytest.raises((ProvisionError, AssertionError)):
        await live_as_both(granted(less), granted(less))


@pytest.mark.parametrize("kind", Kind)
async def test_a_screen_takes_a_privilege_that_is_asked_only_where_screens_are_opened(
    kind: Kind,
) -> None:
    world, screens = granted(), replace(ESTATE, console=True)
    world.see(lambda cluster: a_machine(cluster, kind))
    closed = Inspection(world.api, SETTINGS, "vmbr0", TOKEN)
    assert all(each.ok for each in await closed.remarks())
    (lack,) = [each.text for each in await replace(closed, console=True).remarks() if not each.ok]
    assert f"lacks VM.Console on /pool/leases; on a node: {role_line(MACHINES, CONSOLE)}" in lack
    with pytest.raises(ProvisionError):
        await ProxmoxControls(world.api).console(NODE, VMID, kind=kind)
    extra = set(privileges(MACHINES, 8, screens.calls(CALLS)))
    assert extra - {*privileges(MACHINES, 8)} == {*CONSOLE}
    world.see(opened)
    assert all(each.ok for each in await replace(closed, console=True).remarks())
    assert (await ProxmoxControls(world.api).console(NODE, VMID, kind=kind)).ticket


@pytest.mark.parametrize("seen", [True, False], ids=["seen", "not seen"])
async def test_a_node_s_own_folder_of_snippets_is_seen_unless_a_lack_is_warned_of(
    *, seen: bool
) -> None:
    world = granted()

    def shelve(cluster: Cluster) -> None:
        cluster.add_storage("shelf")
        token = cluster.state.tokens[TOKEN]
        more = Grant("/storage/shelf", frozenset({"Datastore.Audit"}))
        token.grants = (*token.grants, *((more,) if seen else ()))

    world.see(shelve)
    sold = Sold(snippets="shelf")
    told = await Inspection(world.api, SETTINGS, "vmbr0", TOKEN, sold).remarks()
    assert all(each.ok for each in told)
    warned = any("lacks Datastore.Audit on /storage/shelf" in each.text for each in told)
    folders = (await world.hypervisor.snapshot()).folders
    assert (("shelf", NODE) in folders, warned) == (seen, not seen)


def opened(cluster: Cluster) -> None:
    """Grant the token what opens screens."""
    token = cluster.state.tokens[TOKEN]
    token.grants = (*token.grants, Grant("/pool/leases", frozenset(CONSOLE)))


def a_machine(cluster: Cluster, kind: Kind) -> None:
    """Put a running guest of a kind into the pool."""
    make = cluster.add_guest if kind is Kind.VM else cluster.add_container
    make(VMID, running=True)
    cluster.state.pools["leases"].members.add(VMID)
