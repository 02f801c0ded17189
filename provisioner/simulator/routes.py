"""Every call the simulated API answers: method, path, parameters, privilege, handler.

One line is one endpoint. A path that is not here is a 501, as for any unknown path of the real API;
`need` is checked before the parameters are, and an unknown parameter is refused, so a controller
cannot come to rely on something that Proxmox would not accept.
"""

from dataclasses import dataclass, field

from provisioner.simulator import (
    agent,
    backups,
    clone,
    config,
    disks,
    firewall,
    nodes,
    permissions,
    power,
    restore,
    snapshots,
    storages,
    tasks,
)
from provisioner.simulator.agentinfo import INFO_CALLS
from provisioner.simulator.configrules import (
    ANY_CONFIG_PRIVILEGE,
    CALL_RULES,
    CONFIG_RULES,
    NAME,
    machine_type,
)
from provisioner.simulator.consoles import CONSOLE_ROUTES
from provisioner.simulator.endpoint import Route, Rules
from provisioner.simulator.ha import HA_ROUTES
from provisioner.simulator.lxc.calls import CONTAINER_ROUTES
from provisioner.simulator.params import COUNT, FLAG, INTEGER, TEXT, VMID, Kind, Rule
from provisioner.simulator.pools import POOL_ROUTES
from provisioner.simulator.snapshots import SNAPSHOT_ROUTES

GUEST = "/nodes/{node}/qemu/{vmid}"
VM = "/vms/{vmid}"
TIMEOUT: Rules = {"timeout": COUNT}
SKIPLOCK: Rules = {"skiplock": FLAG}
MACHINE: Rules = {"machine": Rule(check=machine_type)}
SIZE = Rule(required=True, pattern=disks.SIZE_PATTERN)
DRIVES = {"ide": 4, "scsi": 31, "virtio": 16, "sata": 6, "efidisk": 1, "tpmstate": 1}
DISKS = tuple(f"{family}{number}" for family, count in DRIVES.items() for number in range(count))
CLONE: Rules = {
    "newid": Rule(Kind.INTEGER, required=True, check=VMID.check),
    "name": NAME,
    "description": TEXT,
    "pool": TEXT,
    "full": FLAG,
    "storage": TEXT,
    "format": Rule(words=("raw", "qcow2", "vmdk")),
    "target": TEXT,
    "bwlimit": COUNT,
    "snapname": Rule(longest=40, check=clone.snapshot_name),
}
TASKS: Rules = {
    "source": Rule(words=("archive", "active", "all")),
    "since": INTEGER,
    "until": INTEGER,
    "limit": COUNT,
    "start": COUNT,
    "vmid": VMID,
    "typefilter": TEXT,
    "userfilter": TEXT,
    "statusfilter": Rule(check=tasks.status_filter),
    "errors": FLAG,
}
LOG: Rules = {"start": COUNT, "limit": COUNT}
STORAGES: Rules = {"content": TEXT, "storage": TEXT, "enabled": FLAG, "format": FLAG}
CONTENT: Rules = {"content": TEXT, "vmid": VMID}
DESTROY: Rules = SKIPLOCK | {"purge": FLAG, "destroy-unreferenced-disks": FLAG}
RESIZE: Rules = SKIPLOCK | {
    "disk": Rule(required=True, words=DISKS),
    "size": SIZE,
    "digest": TEXT,
}
UNLINK: Rules = {"idlist": Rule(required=True), "force": FLAG}
PERMISSIONS: Rules = {"path": TEXT}
RESOURCES: Rules = {"type": Rule(words=("vm", "storage", "node", "sdn"))}
SEE_STORAGE = ("/storage/{storage}", storages.MAY_SEE_STORAGE)
OWN_STORAGE = ("/storage/{storage}", storages.OWNS_STORAGE)
POST_CONFIG = CONFIG_RULES | CALL_RULES | {"background_delay": COUNT}
CONFIGURE = (VM, ANY_CONFIG_PRIVILEGE)
AUDIT, POWER = (VM, "VM.Audit"), (VM, "VM.PowerMgmt")
STATUS = f"{GUEST}/status"
STOP: Rules = SKIPLOCK | TIMEOUT | {"keepActive": FLAG, "overrule-shutdown": FLAG}

ROUTES = (
    Route("GET", "/version", nodes.version, {}, None),
    Route("GET", "/access/acl", permissions.acl, {}, None, lists=True),
    Route("GET", "/access/permissions", permissions.permissions, PERMISSIONS, None),
    Route("GET", "/cluster/status", nodes.cluster_status, {}, ("/", "Sys.Audit")),
    Route("GET", "/cluster/resources", nodes.resources, RESOURCES, None, lists=True),
    Route(
        "GET",
        "/cluster/firewall/options",
        firewall.read_cluster_options,
        {},
        ("/", "Sys.Audit"),
    ),
    Route("GET", "/cluster/nextid", nodes.next_id, {"vmid": VMID}, None),
    Route("GET", "/cluster/tasks", tasks.cluster_tasks, {}, None, lists=True),
    Route("GET", "/nodes", nodes.list_nodes, {}, None, lists=True),
    Route("GET", "/nodes/{node}/status", nodes.node_status, {}, ("/nodes/{node}", "Sys.Audit")),
    Route("GET", "/nodes/{node}/time", nodes.node_time, {}, ("/nodes/{node}", "Sys.Audit")),
    Route("GET", "/nodes/{node}/tasks", tasks.list_tasks, TASKS, None, lists=True),
    Route("GET", "/nodes/{node}/tasks/{upid}/status", tasks.task_status, {}, None),
    Route("GET", "/nodes/{node}/tasks/{upid}/log", tasks.task_log, LOG, None),
    Route("DELETE", "/nodes/{node}/tasks/{upid}", tasks.stop_task, {}, None),
    Route("GET", "/nodes/{node}/storage", storages.list_storages, STORAGES, None, lists=True),
    Route(
        "GET", "/nodes/{node}/storage/{storage}/status", storages.storage_status, {}, SEE_STORAGE
    ),
    Route(
        "GET",
        "/nodes/{node}/storage/{storage}/content",
        storages.storage_content,
        CONTENT,
        SEE_STORAGE,
        lists=True,
    ),
    Route(
        "GET",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        storages.read_volume,
        {},
        None,
    ),
    Route(
        "PUT",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        storages.put_volume,
        {"notes": TEXT, "protected": FLAG},
        None,
    ),
    Route(
        "DELETE",
        "/nodes/{node}/storage/{storage}/content/{volume}",
        storages.delete_volume,
        {"delay": COUNT},
        None,
    ),
    Route("GET", "/storage", storages.list_configured, {"type": TEXT}, None, lists=True),
    Route("GET", "/storage/{storage}", storages.read_configured, {}, OWN_STORAGE),
    Route("GET", "/nodes/{node}/qemu", nodes.list_guests, {"full": FLAG}, None, lists=True),
    Route("POST", "/nodes/{node}/qemu", restore.restore_machine, restore.RULES, None),
    Route("POST", "/nodes/{node}/vzdump", backups.vzdump, backups.RULES, None),
    Route("DELETE", GUEST, disks.destroy, DESTROY, (VM, "VM.Allocate")),
    Route("GET", f"{GUEST}/config", config.read_config, {"current": FLAG}, AUDIT),
    Route("GET", f"{GUEST}/pending", config.read_pending, {}, AUDIT),
    Route("GET", f"{GUEST}/feature", snapshots.feature, snapshots.FEATURE, AUDIT),
    Route("PUT", f"{GUEST}/unlink", config.unlink, UNLINK, (VM, "VM.Config.Disk")),
    Route("PUT", f"{GUEST}/config", config.put_config, CONFIG_RULES | CALL_RULES, CONFIGURE),
    Route("POST", f"{GUEST}/config", config.post_config, POST_CONFIG, CONFIGURE),
    Route("POST", f"{GUEST}/clone", clone.clone, CLONE, (VM, "VM.Clone")),
    Route("PUT", f"{GUEST}/resize", disks.resize, RESIZE, (VM, "VM.Config.Disk")),
    Route("POST", f"{GUEST}/template", disks.template, {}, (VM, "VM.Allocate")),
    Route("GET", f"{STATUS}/current", power.current, {}, AUDIT),
    Route("POST", f"{STATUS}/start", power.start, SKIPLOCK | TIMEOUT | MACHINE, POWER),
    Route("POST", f"{STATUS}/stop", power.stop, STOP, POWER),
    Route(
        "POST",
        f"{STATUS}/shutdown",
        power.shutdown,
        SKIPLOCK | TIMEOUT | {"forceStop": FLAG, "keepActive": FLAG},
        POWER,
    ),
    Route("POST", f"{STATUS}/reboot", power.reboot, TIMEOUT, POWER),
    Route("POST", f"{STATUS}/reset", power.reset, SKIPLOCK, POWER),
    Route("POST", f"{STATUS}/suspend", power.suspend, SKIPLOCK | {"todisk": FLAG}, POWER),
    Route("POST", f"{STATUS}/resume", power.resume, SKIPLOCK | {"nocheck": FLAG}, POWER),
    *(
        Route(method, f"{GUEST}/agent/{path}", handler, rules, (VM, "VM.Monitor"))
        for method, path, handler, rules in agent.CALLS
    ),
    *(
        Route(method, f"{GUEST}/agent{path}", handler, rules, (VM, "VM.Monitor"))
        for method, path, handler, rules in INFO_CALLS
    ),
    *(
        Route(
            method,
            f"/nodes/{{node}}/{kind}/{{vmid}}/firewall/{path}",
            handler,
            rules,
            AUDIT if method == "GET" else (VM, "VM.Config.Network"),
            lists=method == "GET" and path in {"rules", "ipset", "aliases"},
        )
        for kind in ("qemu", "lxc")
        for method, path, handler, rules in firewall.CALLS
    ),
    *CONTAINER_ROUTES,
    *HA_ROUTES,
    *CONSOLE_ROUTES,
    *POOL_ROUTES,
    *SNAPSHOT_ROUTES,
)


@dataclass(slots=True)
class Segment:
    """One segment of the tree of paths; a name in braces matches any one segment."""

    literal: dict[str, "Segment"] = field(default_factory=dict)
    named: "tuple[str, Segment] | None" = None
    routes: dict[str, Route] = field(default_factory=dict)

    def add(self, parts: list[str], route: Route) -> None:
        """Put `route` where `parts` lead."""
        if not parts:
            self.routes[route.method] = route
        elif parts[0].startswith("{"):
            if self.named is None:
                self.named = (parts[0].strip("{}"), Segment())
            self.named[1].add(parts[1:], route)
        else:
            self.literal.setdefault(parts[0], Segment()).add(parts[1:], route)

    def find(self, method: str, parts: list[str]) -> tuple[Route, dict[str, str]] | None:
        """Return the route for `method` on the path's segments, and the names it binds."""
        here, names = self, dict[str, str]()
        for position, part in enumerate(parts):
            if part in here.literal:
                here = here.literal[part]
            elif here.named is not None:
                name, here = here.named
                names[name] = part
                if name == "volume":  # a volume's name has slashes of its own
                    names[name] = "/".join(parts[position:])
                    break
            else:
                return None
        route = here.routes.get(method)
        return None if route is None else (route, names)


TABLE = Segment()
for _route in ROUTES:
    TABLE.add([part for part in _route.pattern.split("/") if part], _route)
