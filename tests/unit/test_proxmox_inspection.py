"""A token that may do too little, and a template that spoils its clones, are seen beforehand.

Answers are told in the shape in which an 8.4.21 told them; the same runs over the simulated cluster
in the contract tests.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import pytest

from provisioner.backends.proxmox.api import ApiError, JsonValue, ParamValue, Unreachable
from provisioner.backends.proxmox.inspection import Inspection, Sold
from provisioner.backends.proxmox.privileges import (
    CALLS,
    RELEASES,
    Estate,
    Release,
    Scope,
    privileges,
)
from provisioner.backends.proxmox.remarks import Remark
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.errors import HypervisorDown
from provisioner.isolation import common
from provisioner.terms import CLOSED
from tests.support.pve import direct_world

TOKEN: Final = "chainwatch@pve!daemon"
ESTATE: Final = Estate((9000,), ("local-lvm",), ("vmbr0", "vmbr1"), pool="leases")
CLEAN: Final[dict[str, JsonValue]] = {
    "template": 1,
    "agent": "enabled=1,fstrim_cloned_disks=1",
    "scsi0": "local-lvm:base-9000-disk-0,size=4G",
    "ide2": "cephfs:vm-9000-cloudinit,media=cdrom",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr1,firewall=1",
}


class Told:
    """An `Api` that answers what it was told to; it was never asked anything else."""

    def __init__(
        self,
        permissions: Mapping[str, Mapping[str, int]],
        release: Release,
        config: Mapping[str, JsonValue] | ApiError = CLEAN,
    ) -> None:
        self.rows: list[JsonValue] = [
            {"type": "node", "node": "pve", "id": "node/pve"},
            {"type": "qemu", "vmid": 9000, "node": "pve"},
        ]
        self.answers: dict[str, JsonValue | ApiError] = {
            "/version": {"version": f"{release}.1", "release": f"{release}.1"},
            "/access/permissions": {path: dict(names) for path, names in permissions.items()},
            "/cluster/resources": self.rows,
            "/cluster/firewall/options": {"enable": 1, "digest": "da39"},
            "/nodes/pve/qemu/9000/config": config if isinstance(config, ApiError) else dict(config),
        }

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        assert (method, params, slow) == ("GET", None, False)
        answer = self.answers[path]
        if isinstance(answer, ApiError):
            raise answer
        return answer


def granted(release: Release, estate: Estate = ESTATE) -> dict[str, dict[str, int]]:
    """Return what Proxmox tells a token that was given what is printed."""
    told: dict[str, dict[str, int]] = {}
    for scope in Scope:
        below = 0 if scope is Scope.CLUSTER else 1
        for path in estate.paths(scope):
            told.setdefault(path, {}).update(dict.fromkeys(privileges(scope, release), below))
    return told


async def remarks(api: Told, pool: str | None = "leases") -> list[Remark]:
    return await Inspection(api, ProxmoxSettings((9000,), pool), "vmbr0", TOKEN).remarks()


async def lacking(api: Told, pool: str | None = "leases") -> list[str]:
    """Return what is said to be wrong with the token."""
    return [each.text for each in await remarks(api, pool) if not each.ok]


# ------------------------------------------------------------------------------------ the token


@pytest.mark.parametrize("release", RELEASES)
async def test_what_is_printed_is_enough(release: Release) -> None:
    told = await remarks(Told(granted(release), release))
    assert [(each.subject, each.ok, each.warning) for each in told] == [
        ("token", True, False),
        ("firewall", True, False),
        ("template 9000", True, False),
    ]


@pytest.mark.parametrize("release", RELEASES)
async def test_each_missing_privilege_is_named_with_the_command_that_adds_it(
    release: Release,
) -> None:
    for path, names in granted(release).items():
        for name in names:
            less = granted(release)
            del less[path][name]
            (text,) = await lacking(Told(less, release))
            what, _, commands = text.partition("; on a node: ")
            assert what == f"{TOKEN} lacks {name} on {path}"
            command = commands.partition("; without such a role, before it: ")[0]
            words = shlex.split(command)
            assert words[0] == "pveum"
            if words[1:3] == ["role", "modify"]:
                assert words[-4:] == ["--append", "1", "--privs", name]
            else:
                assert words[1:4] == ["acl", "modify", path]
                assert words[-1] == TOKEN


async def test_a_list_that_is_missing_altogether_is_told_once() -> None:
    less = granted(9)
    del less["/pool/leases"]
    (text,) = await lacking(Told(less, 9))
    assert "VM.Allocate" in text
    assert "pveum acl modify /pool/leases --roles ChainwatchMachines" in text


async def test_a_role_that_may_not_exist_yet_is_told_how_it_is_made() -> None:
    less = granted(9)
    del less["/pool/leases"]
    (text,) = await lacking(Told(less, 9))
    role = shlex.split(text.partition("; without such a role, before it: ")[2])
    assert role[:4] == ["pveum", "role", "add", "ChainwatchMachines"]
    assert role[4:] == ["--privs", ",".join(privileges(Scope.MACHINES, 9, ESTATE.calls(CALLS)))]


async def test_a_role_that_is_held_elsewhere_is_not_made_again() -> None:
    estate = replace(ESTATE, templates=(9000, 9001))
    told = granted(9, estate)
    del told["/vms/9001"]
    api = Told(told, 9)
    inspection = Inspection(api, ProxmoxSettings((9000, 9001), "leases"), "vmbr0", TOKEN)
    texts = [each.text for each in await inspection.remarks() if not each.ok]
    (text,) = (each for each in texts if "lacks" in each)
    assert "pveum acl modify /vms/9001 --roles ChainwatchTemplate" in text
    assert "role add" not in text


async def test_a_token_without_anything_is_told_every_list() -> None:
    told = await lacking(Told({}, 8))
    assert len(told) == sum(len(ESTATE.paths(scope)) for scope in Scope)
    assert all("pveum acl modify /" in text for text in told)


@pytest.mark.parametrize("path", ["/vms", "/nodes"])
async def test_what_does_not_go_on_below_is_not_enough_for_what_is_there(path: str) -> None:
    stuck = granted(9)
    stuck[path] = dict.fromkeys(stuck[path], 0)
    assert any(f" on {path};" in text for text in await lacking(Told(stuck, 9)))


async def test_everything_granted_at_the_top_is_enough_everywhere() -> None:
    names = {name for scope in Scope for name in privileges(scope, 8)}
    assert await lacking(Told({"/": dict.fromkeys(names, 1)}, 8)) == []
    assert await lacking(Told({"/": dict.fromkeys(names, 0)}, 8)) != []


async def test_without_a_pool_everything_has_to_hold_for_all_guests() -> None:
    alone = Estate((9000,), ("local-lvm",), ("vmbr0", "vmbr1"))
    assert await lacking(Told(granted(9, alone), 9), pool=None) == []
    assert any(" on /vms;" in text for text in await lacking(Told(granted(9), 9), pool=None))


async def test_a_bridge_may_be_a_network_of_any_zone() -> None:
    told = granted(9)
    del told["/sdn/zones/localnetwork/vmbr0"]
    assert len(await lacking(Told(told, 9))) == 1
    told["/sdn/zones/tenants/vmbr0"] = {"SDN.Use": 1}
    assert await lacking(Told(told, 9)) == []
    del told["/sdn/zones/tenants/vmbr0"]
    told["/sdn/zones/tenants"] = {"SDN.Use": 1}
    assert await lacking(Told(told, 9)) == []


async def test_a_cluster_that_does_not_answer_is_an_error_of_the_hypervisor() -> None:
    class Away(Told):
        async def call(
            self,
            method: str,
            path: str,
            params: Mapping[str, ParamValue] | None = None,
            *,
            slow: bool = False,
        ) -> JsonValue:
            raise Unreachable("no route")

    with pytest.raises(HypervisorDown):
        await remarks(Away({}, 8))


# -------------------------------------------------------------------------------- the template


async def about(**config: JsonValue) -> list[tuple[bool, bool, str]]:
    """Return what is said of a template with these keys; None takes one away."""
    whole = {key: value for key, value in {**CLEAN, **config}.items() if value is not None}
    told = await remarks(Told(granted(8), 8, whole))
    return [
        (each.ok, each.warning, each.text) for each in told if each.subject.startswith("template")
    ]


@pytest.mark.parametrize(
    ("key", "value", "mended"),
    [
        ("onboot", 1, "qm set 9000 --onboot 0"),
        ("cipassword", "**********", "qm set 9000 --delete cipassword"),
        ("agent", None, "qm set 9000 --agent 1"),
        ("agent", "enabled=0", "qm set 9000 --agent 1"),
    ],
)
async def test_what_a_clone_should_not_inherit_is_a_warning(
    key: str, value: JsonValue, mended: str
) -> None:
    ((ok, warning, text),) = await about(**{key: value})
    assert (ok, warning) == (True, True)
    assert text.endswith(mended)


@pytest.mark.parametrize("agent", ["1", "enabled=1", "type=virtio,enabled=1", "1,type=isa"])
async def test_an_agent_is_switched_on_in_every_spelling(agent: str) -> None:
    assert [warning for _, warning, _ in await about(agent=agent)] == [False]


@pytest.mark.parametrize(
    ("key", "value", "mended"),
    [
        ("template", None, "qm template 9000"),
        ("args", "-device x", "qm set 9000 --delete args"),
        ("hookscript", "local:snippets/x.sh", "qm set 9000 --delete hookscript"),
        ("hostpci0", "0000:01:00.0", "qm set 9000 --delete hostpci0"),
        ("startup", "order=1", "qm set 9000 --delete startup"),
        ("ide2", None, "qm set 9000 --ide2 STORAGE:cloudinit"),
    ],
)
async def test_what_keeps_a_clone_from_becoming_a_machine_is_wrong(
    key: str, value: JsonValue, mended: str
) -> None:
    ((ok, _, text),) = await about(**{key: value})
    assert not ok
    assert text.endswith(mended)


async def test_a_template_that_is_not_shown_or_cannot_be_read_is_said() -> None:
    gone = Told(granted(8), 8)
    gone.answers["/cluster/resources"] = []
    assert any("does not show it" in text for text in await lacking(gone))
    refused = ApiError(403, "Permission check failed (/vms/9000, VM.Audit)")
    assert any("VM.Audit" in text for text in await lacking(Told(granted(8), 8, refused)))


# ---------------------------------------------------------------------------- what plans ask for


async def test_a_firewall_that_is_off_for_the_cluster_is_warned_of_with_the_command() -> None:
    api = Told(granted(8), 8)
    api.answers["/cluster/firewall/options"] = {"digest": "da39"}
    (told,) = [each for each in await remarks(api) if each.subject == "firewall"]
    assert (told.ok, told.warning) == (True, True)
    assert "pvesh set /cluster/firewall/options --enable 1 --policy_in ACCEPT" in told.text


async def test_a_node_that_only_a_plan_knows_is_warned_of() -> None:
    sold = Sold(nodes=frozenset({"pve", "far"}))
    settings = ProxmoxSettings((9000,), "leases")
    told = await Inspection(Told(granted(8), 8), settings, "vmbr0", TOKEN, sold).remarks()
    (odd,) = [each.text for each in told if each.warning]
    assert odd == "a plan names node far, which the cluster does not have: nothing is made there"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (None, "the cluster does not show it"),
        ({"content": "iso,vztmpl"}, "pvesm set san --content images,rootdir"),
        ({"content": "images"}, ""),
    ],
)
async def test_a_storage_to_copy_to_has_to_be_there_and_take_disks(
    row: dict[str, JsonValue] | None, said: str
) -> None:
    estate = replace(ESTATE, storages=("local-lvm", "san"))
    api = Told(granted(8, estate), 8)
    if row is not None:
        api.rows.append({"type": "storage", "storage": "san", "plugintype": "lvm", **row})
    sold = Sold(storages=("san",), linked=frozenset({9000}))
    told = await Inspection(api, ProxmoxSettings((9000,), "leases"), "vmbr0", TOKEN, sold).remarks()
    wrong = [each.text for each in told if each.subject == "storage san"]
    assert ([said in each for each in wrong] == [True]) if said else not wrong
    assert all(each.ok for each in told if each.subject == "token")


async def test_a_token_has_to_reach_the_storage_that_is_copied_to() -> None:
    sold = Sold(storages=("san",))
    look = Inspection(Told(granted(8), 8), ProxmoxSettings((9000,), "leases"), "vmbr0", TOKEN, sold)
    lacks = [each.text for each in await look.remarks() if not each.ok]
    assert any("/storage/san" in each and "Datastore" in each for each in lacks)


async def about_snippets(
    told: dict[str, dict[str, int]], on: str | None = "local", os_template: str | None = None
) -> list[str]:
    """Return what is warned of a token, where machines read their user-data from a storage."""
    settings = ProxmoxSettings((9000,), "leases", os_template=os_template)
    look = Inspection(Told(told, 9), settings, "vmbr0", TOKEN, Sold(snippets=on))
    found = [each for each in await look.remarks() if each.subject == "token"]
    assert all(each.ok for each in found)
    return [each.text for each in found if each.warning]


async def test_a_storage_of_snippets_that_is_not_seen_is_warned_of_with_what_makes_it_seen() -> (
    None
):
    (text,) = await about_snippets(granted(9))
    what, _, commands = text.partition("; on a node: ")
    assert what.startswith(f"{TOKEN} lacks Datastore.Audit on /storage/local, so the snippet ")
    role, grants = (shlex.split(each) for each in commands.split("; "))
    assert role == ["pveum", "role", "add", "ChainwatchArchive", "--privs", "Datastore.Audit"]
    assert grants[:6] == ["pveum", "acl", "modify", "/storage/local", "--roles", role[3]]
    assert grants[-1] == TOKEN


async def test_the_role_that_sees_a_storage_of_archives_is_not_made_twice() -> None:
    told = granted(9, replace(ESTATE, archives=("iso",)))
    (text,) = await about_snippets(told, os_template="iso:vztmpl/debian.tar.zst")
    assert "; on a node: pveum acl modify /storage/local --roles ChainwatchArchive " in text
    assert "role add" not in text


@pytest.mark.parametrize("path", ["/storage/local", "/storage", "/"])
async def test_a_storage_of_snippets_that_is_seen_is_not_warned_of(path: str) -> None:
    told = granted(9)
    told.setdefault(path, {})["Datastore.Audit"] = 1
    assert await about_snippets(told) == []


async def test_nobody_is_warned_of_snippets_where_there_are_none_or_their_storage_is_seen() -> None:
    assert await about_snippets(granted(9), on=None) == []
    assert await about_snippets(granted(9), on="local-lvm") == []


async def test_what_a_storage_of_disks_lacks_is_told_once_where_it_has_snippets_too() -> None:
    less = granted(9)
    del less["/storage/local-lvm"]["Datastore.Audit"]
    settings, sold = ProxmoxSettings((9000,), "leases"), Sold(snippets="local-lvm")
    told = await Inspection(Told(less, 9), settings, "vmbr0", TOKEN, sold).remarks()
    (text,) = [each.text for each in told if "Datastore.Audit" in each.text]
    assert "pveum role modify ChainwatchStorage" in text


async def test_a_template_that_cannot_be_cloned_linked_is_told_where_it_is_to_be() -> None:
    api = Told(granted(8), 8)
    api.rows.append({"type": "storage", "storage": "local-lvm", "plugintype": "lvm"})
    settings = ProxmoxSettings((9000,), "leases")

    async def wrong(linked: frozenset[int]) -> list[str]:
        look = Inspection(api, settings, "vmbr0", TOKEN, Sold(linked=linked))
        return [each.text for each in await look.remarks() if not each.ok]

    (text,) = await wrong(frozenset({9000}))
    assert text.startswith("its disk scsi0 lies on local-lvm (lvm), which has no linked clones")
    assert await wrong(frozenset()) == []


async def test_a_template_with_another_firewall_than_its_clones_get_is_told() -> None:
    world = direct_world()
    frame = common(("203.0.113.10-203.0.113.29",), CLOSED, smtp=False)
    look = Inspection(
        world.api,
        ProxmoxSettings((9000,)),
        "vmbr0",
        "root@pam!sim",
        Sold(firewalls={9000: (frame,)}),
    )
    assert any("chainwatch proxmox firewall 9000" in each.text for each in await look.remarks())
    await world.hypervisor.isolate("pve", 9000, frame)
    assert not any("proxmox firewall 9000" in each.text for each in await look.remarks())
