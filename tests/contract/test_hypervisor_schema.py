"""Every call of a machine's whole life is one that the official schema has, answer included."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.terms import Cloning
from tests.support.pve import BOB, FIREWALLS, NODE, TEMPLATE, VMID, WANTED, direct_world, world_over
from tests.support.pve_schema import Schemas, check_exchange, packaged_paths, paths


class Schooled:
    """An `Api` that holds every exchange against a schema."""

    def __init__(self, api: Api, schemas: Schemas) -> None:
        self._api = api
        self._schemas = schemas
        self.called: set[str] = set()

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        data = await self._api.call(method, path, params, slow=slow)
        check_exchange(method, path, params or {}, data, self._schemas)
        self.called.add(f"{method} {path.rpartition('/')[2]}")
        return data


@pytest.mark.parametrize("schemas", [paths, packaged_paths], ids=["nearest", "packaged"])
@pytest.mark.parametrize("full", [False, True], ids=["linked", "full"])
async def test_a_whole_life_speaks_the_official_language(
    schemas: Callable[[], Schemas], *, full: bool
) -> None:
    plain = direct_world()
    plain.see(lambda cluster: cluster.add_pool("leases"))
    schooled = Schooled(plain.api, schemas())
    settings = ProxmoxSettings((TEMPLATE,), pool="leases")
    world = world_over(schooled, plain.see, settings)
    world.cloning = Cloning(full=full, storage="local" if full else None)
    since = int(world.see(lambda cluster: cluster.now))

    await world.hypervisor.snapshot()
    assert await world.hypervisor.vmid_is_free(VMID)
    await world.booted()
    assert VMID in world.see(lambda cluster: cluster.state.pools["leases"].members)
    for own in FIREWALLS:
        await world.hypervisor.isolate(NODE, VMID, own)
        assert await world.hypervisor.isolation(NODE, VMID) == own
    await world.ok(await world.hypervisor.resize(NODE, VMID, "scsi0", 20))
    assert await world.shell.answers(NODE, VMID)
    await world.shell.set_authorized_keys(NODE, VMID, "debian", BOB)
    await world.shell.end_sessions(NODE, VMID, "debian")
    config = await world.config()
    handed = replace(WANTED, ssh_keys=BOB, link_up=False)
    await world.hypervisor.configure(NODE, VMID, handed, "handed over", config.digest)
    await world.hypervisor.power(NODE, VMID)
    await world.ok(await world.hypervisor.shutdown(NODE, VMID, 30))
    await world.ok(await world.hypervisor.destroy(NODE, VMID))
    assert await world.hypervisor.clock(NODE) >= since
    rows = await world.hypervisor.tasks(NODE, since)
    states = await world.hypervisor.task_states([row.upid for row in rows])
    assert all(state.error is None for state in states.values())
    assert await world.hypervisor.freed(since) == {VMID}
    assert await world.hypervisor.volumes(NODE, VMID) == []
    assert {f"DELETE {VMID}", "POST clone", "PUT config", "PUT resize"} <= schooled.called
