"""What a cluster should be like for us, and how it is: looked at on request, changing nothing.

Two things make trouble late and quietly: a token that may do too little (lists get shorter, and
only some calls are refused), and a template that gives its clones what a machine must not have.
Both are known from the outside before the first machine is made. Proxmox tells a token its own
privileges without asking for any.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from provisioner.backends.proxmox import ostemplates, storages
from provisioner.backends.proxmox.answers import Record, flag, number, record, records, text
from provisioner.backends.proxmox.api import Api, ApiError
from provisioner.backends.proxmox.errors import meaning, reading
from provisioner.backends.proxmox.firewall import GuestFirewall
from provisioner.backends.proxmox.grant import list_line, new_role_line, role_line
from provisioner.backends.proxmox.privileges import (
    CALLS,
    Estate,
    Release,
    Scope,
    missing,
    privileges,
)
from provisioner.backends.proxmox.remarks import DRIVE, Remark
from provisioner.backends.proxmox.settings import ProxmoxSettings
from provisioner.isolation import Isolation
from provisioner.model import Kind

#: Path → privilege → whether it holds below that path too.
Held: TypeAlias = Mapping[str, Mapping[str, bool]]

#: What no token may take away from a clone again, and so must not be in its template.
_FOR_ROOT: Final = re.compile(r"args|hookscript|hostpci\d+|startup")
#: Why machines are not kept apart yet, and what mends it without closing the nodes themselves.
_OFF: Final = (
    "the firewall is off for the whole cluster, so machines reach each other and may send as "
    "anybody; on a node: pvesh set /cluster/firewall/options --enable 1 --policy_in ACCEPT "
    "(which leaves the nodes themselves as open as they are)"
)
_NET: Final = re.compile(r"net\d+")


@dataclass(frozen=True, slots=True)
class Sold:
    """What plans ask of the cluster: more bridges, nodes, storages, and each template's firewalls.

    A template's `firewalls` are those that a machine cloned from it may get, without addresses.
    `storages` are those that disks are copied to, besides the templates' own, and `linked` the
    templates that linked clones are made of. `snippets` is the storage that machines read user-data
    from, None where none do; `allowed` are the nodes where anything is made, all if empty.
    """

    bridges: tuple[str, ...] = ()
    nodes: frozenset[str] = frozenset()
    firewalls: Mapping[int, tuple[Isolation, ...]] = field(default_factory=dict)
    storages: tuple[str, ...] = ()
    linked: frozenset[int] = frozenset()
    snippets: str | None = None
    allowed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Inspection:
    """Looks at the token and the templates; `bridge` is where machines are connected.

    `console` is whether operators may open the screens of machines.
    """

    api: Api
    settings: ProxmoxSettings
    bridge: str
    token_id: str
    sold: Sold = field(default_factory=Sold)
    console: bool = False

    async def remarks(self) -> list[Remark]:
        """Look at everything; what is good is remarked on too. Raises what `reading` raises."""
        with reading("the cluster"):
            release = await self._release()
            held = _held(record(await self.api.call("GET", "/access/permissions"), "permissions"))
            rows = records(await self.api.call("GET", "/cluster/resources"), "resources")
            shown = await self._templates(rows)
            firewalls = await self._firewalls(rows, shown)
            in_force = await self._in_force(held)
            os_templates = await ostemplates.about(self.api, self.settings, rows, self.sold.allowed)
        configs = {vmid: config for vmid, config in shown.items() if isinstance(config, Mapping)}
        estate = self._estate(configs.values())
        found = list(_lacking(held, estate, self.token_id, release))
        enough = f"{self.token_id} may do all that is needed on Proxmox VE {release}"
        told = found or [Remark("token", ok=True, text=enough)]
        told += [
            *self._snippets(held, estate, release),
            *in_force,
            *_about_nodes(self.sold.nodes, rows),
        ]
        told += storages.about(self.sold.storages, rows)
        told += os_templates
        for vmid in self.settings.templates:
            unlinked = storages.unlinked(shown[vmid], rows) if vmid in self.sold.linked else ()
            told += _about_template(vmid, shown[vmid], firewalls.get(vmid, ()), unlinked)
        return told

    def _snippets(self, held: Held, estate: Estate, release: Release) -> Iterator[Remark]:
        """Warn where the storage of snippets is not seen: machines work, and some snippets stay.

        What is one of the estate's other storages is told there.
        """
        name, scope = self.sold.snippets, Scope.ARCHIVE
        if name is None or name in {*estate.storages, *estate.archives}:
            return
        path = f"/storage/{name}"
        lacks = missing(scope, release, _have(held, scope, path))
        if not lacks:
            return
        commands = [list_line(path, scope, self.token_id)]
        if not estate.archives:  # for which alone the role would have been made before
            commands.insert(0, new_role_line(scope, lacks))
        what = f"{self.token_id} lacks {', '.join(lacks)} on {path}, so the snippet that a moved"
        stays = "machine leaves behind stays for as long as the machine; on a node:"
        yield Remark("token", ok=True, text=f"{what} {stays} {'; '.join(commands)}", warning=True)

    async def _release(self) -> Release:
        version = record(await self.api.call("GET", "/version"), "version")
        major = text(version, "release").partition(".")[0]
        return 8 if major.isdecimal() and int(major) < 9 else 9

    async def _in_force(self, held: Held) -> list[Remark]:
        """See that the firewall of the cluster is on: else those of guests have no effect."""
        if "Sys.Audit" not in _on(held, "/", below=False):
            return []  # which is told already
        path = "/cluster/firewall/options"
        on = flag(record(await self.api.call("GET", path), "the firewall"), "enable")
        if on:
            return [Remark("firewall", ok=True, text="it is on for the cluster, so for machines")]
        return [Remark("firewall", ok=True, text=_OFF, warning=True)]

    async def _firewalls(
        self, rows: Sequence[Record], shown: Mapping[int, Record | str]
    ) -> dict[int, list[str]]:
        """Say of each template that gives its clones another firewall than they get."""
        nodes = {number(row, "vmid"): text(row, "node") for row in rows if row.get("vmid")}
        found: dict[int, list[str]] = {}
        for vmid, wanted in self.sold.firewalls.items():
            if not isinstance(shown.get(vmid), Mapping):
                continue
            try:
                have = await GuestFirewall(self.api, nodes[vmid], vmid, Kind.VM).read()
            except ApiError as error:
                found[vmid] = [f"its firewall cannot be read: {meaning(error)}"]
                continue
            if have not in wanted:
                found[vmid] = [_unprepared(vmid)]
        return found

    async def _templates(self, rows: Sequence[Record]) -> dict[int, Record | str]:
        """Read the templates' configurations; a text says why one could not be read."""
        nodes = {number(row, "vmid"): text(row, "node") for row in rows if row.get("vmid")}
        return {vmid: await self._config(vmid, nodes) for vmid in self.settings.templates}

    async def _config(self, vmid: int, nodes: Mapping[int, str]) -> Record | str:
        if vmid not in nodes:
            return "the cluster does not show it: was it removed, or may the token not see it?"
        path = f"/nodes/{nodes[vmid]}/qemu/{vmid}/config"
        try:
            return record(await self.api.call("GET", path), f"template {vmid}")
        except ApiError as error:
            return str(meaning(error))

    def _estate(self, templates: Iterable[Record]) -> Estate:
        """Return what is ours to use: where the templates' disks are, and on which bridges."""
        archive, roots = self.settings.os_template, self.settings.container_storage
        drives = {*self.sold.storages, *((roots,) if roots else ())}
        bridges = {self.bridge, *self.sold.bridges}
        for config in templates:
            volumes = [text(config, key) for key in config if DRIVE.fullmatch(key)]
            drives |= {each.partition(":")[0] for each in volumes if "media=cdrom" not in each}
            for net in (text(config, key) for key in config if _NET.fullmatch(key)):
                bridges |= set(re.findall(r"(?:^|,)bridge=([^,]+)", net))
        return Estate(
            templates=self.settings.templates,
            storages=tuple(sorted(drives)),
            bridges=tuple(sorted(bridges)),
            archives=() if archive is None else (archive.partition(":")[0],),
            pool=self.settings.pool,
            backups=self.settings.backup_storage,
            console=self.console,
        )


def _held(told: Record) -> Held:
    return {
        path: {name: flag(names, name) for name in names}
        for path, names in told.items()
        if isinstance(names, dict)
    }


def _on(held: Held, path: str, *, below: bool) -> frozenset[str]:
    """Return the privileges on a path, from the nearest path that is told; `below`: and under it.

    Every path with a list of its own is told, with what it takes over from above.
    """
    here = path
    while here not in held and here != "/":
        here = here.rpartition("/")[0] or "/"
    passed = below or here != path
    return frozenset(name for name, goes_on in held.get(here, {}).items() if goes_on or not passed)


def _lacking(held: Held, estate: Estate, token_id: str, release: Release) -> Iterator[Remark]:
    """Yield what the token lacks, each with the command that adds it."""
    calls = estate.calls(CALLS)
    for scope in Scope:
        wanted = privileges(scope, release, calls)
        have = {path: _have(held, scope, path) for path in estate.paths(scope)}
        for path, names in have.items():
            lacks = missing(scope, release, names, calls)
            if not lacks:
                continue
            line = list_line(path, scope, token_id)
            if not any(each.issuperset(lacks) for each in have.values()):  # nor has the role
                if path in held and names.intersection(wanted):
                    line = role_line(scope, lacks)
                else:
                    line += f"; without such a role, before it: {new_role_line(scope, wanted)}"
            what = f"{token_id} lacks {', '.join(lacks)} on {path}"
            yield Remark("token", ok=False, text=f"{what}; on a node: {line}")


def _have(held: Held, scope: Scope, path: str) -> frozenset[str]:
    match scope:
        case Scope.GUESTS | Scope.NODES:
            return _on(held, path, below=True)
        case Scope.MACHINES:
            every = _on(held, "/vms", below=True)
            return every | (_on(held, path, below=False) if path != "/vms" else every)
        case Scope.NETWORK:  # a VNet is in a zone of its own
            bridge = path.rpartition("/")[2]
            zones = {"/".join(each.split("/")[:4]) for each in held if each.startswith("/sdn/z")}
            everywhere = (_on(held, f"{zone}/{bridge}", below=False) for zone in zones)
            return frozenset().union(_on(held, path, below=False), *everywhere)
        case _:
            return _on(held, path, below=False)


def _about_nodes(wanted: frozenset[str], rows: Sequence[Record]) -> Iterator[Remark]:
    """Warn of nodes that a plan names and the cluster does not have."""
    there = {text(row, "node") for row in rows if text(row, "type") == "node"}
    for name in sorted(wanted - there):
        what = f"a plan names node {name}, which the cluster does not have: nothing is made there"
        yield Remark("plans", ok=True, text=what, warning=True)


def _unprepared(vmid: int) -> str:
    return (
        "its firewall is not what its clones get, which costs every machine some calls more; "
        f"`chainwatch proxmox firewall {vmid}` prints the file that prepares it"
    )


def _about_template(
    vmid: int, config: Record | str, firewall: Sequence[str], unlinked: Iterable[str]
) -> list[Remark]:
    subject = f"template {vmid}"
    if isinstance(config, str):
        return [Remark(subject, ok=False, text=config)]
    mistakes = (*_mistakes(vmid, config), *unlinked)
    wrong = [Remark(subject, ok=False, text=each) for each in mistakes]
    told = (*_oddities(vmid, config), *firewall)
    odd = [Remark(subject, ok=True, text=each, warning=True) for each in told]
    return wrong + odd or [Remark(subject, ok=True, text="nothing in it that machines suffer from")]


def _mistakes(vmid: int, config: Record) -> Iterator[str]:
    """Yield what keeps a clone from becoming a machine."""
    if not flag(config, "template"):
        yield f"it is no template; on its node: qm template {vmid}"
    for key in sorted(key for key in config if _FOR_ROOT.fullmatch(key)):
        yield f"no token may take {key} from a clone; on its node: qm set {vmid} --delete {key}"
    drives = (text(config, key) for key in config if DRIVE.fullmatch(key))
    if not any("cloudinit" in drive for drive in drives):
        yield (
            "it has no cloud-init drive, so no address and no SSH key gets into a machine; on its "
            f"node: qm set {vmid} --ide2 STORAGE:cloudinit"
        )


def _oddities(vmid: int, config: Record) -> Iterator[str]:
    """Yield what a clone carries until it is configured, and what a machine may lack."""
    if flag(config, "onboot"):
        yield (
            "onboot=1: a clone that is not configured yet would start with its node; on its node: "
            f"qm set {vmid} --onboot 0"
        )
    if text(config, "cipassword"):
        yield (
            "it has a password, which a clone carries until it is configured; on its node: "
            f"qm set {vmid} --delete cipassword"
        )
    if not re.search(r"(^|,)(enabled=)?1(,|$)", text(config, "agent")):
        yield (
            "its guest agent is not switched on: is qemu-guest-agent installed in it? then, on its "
            f"node: qm set {vmid} --agent 1"
        )
