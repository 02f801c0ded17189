"""What the cluster and its nodes say about themselves and about everything on them.

`cluster/resources` is stale on purpose: name, power and size come from the last statistics round
(up to 10 s old), and a machine that no round has seen is `unknown` and nameless, while lock, tags
and pool are current. `cluster/nextid?vmid=` asks the cluster file system, so it is never stale.
"""

import hashlib

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows
from provisioner.simulator.guests import Guest, Heard
from provisioner.simulator.power import status_row, told_by_qemu
from provisioner.simulator.state import Node, State
from provisioner.simulator.storages import storage_resources
from provisioner.simulator.volumes import place_on
from provisioner.simulator.wire import Refused, bad_parameters

ZONE = "/sdn/zones/localnetwork"
VERSION = {"version": "8.4.21", "release": "8.4", "repoid": "2606ac850d46da29"}


def version(_: State, __: Ask) -> JsonValue:
    """GET version."""
    return dict[str, JsonValue](VERSION)


def cluster_status(state: State, _: Ask) -> JsonValue:
    """GET cluster/status: a lone node has no `cluster` entry, unless its peers are gone."""
    rows: list[JsonValue] = []
    if len(state.nodes) > 1 or not state.quorate:
        rows.append(
            {
                "type": "cluster",
                "id": "cluster",
                "name": state.settings.cluster_name,
                "nodes": max(len(state.nodes), 2),
                "quorate": int(state.has_quorum),
                "version": len(state.nodes),
            }
        )
    alone = len(rows) == 0
    for number, node in enumerate(state.nodes.values()):
        rows.append(
            {
                "type": "node",
                "id": f"node/{node.name}",
                "name": node.name,
                "nodeid": 0 if alone else number + 1,
                "ip": f"192.0.2.{10 + number}",
                "local": int(number == 0),
                "online": int(node.online),
                "level": "",
            }
        )
    return rows


def next_id(state: State, ask: Ask) -> JsonValue:
    """GET cluster/nextid: accepts `vmid` when no guest has it. Reserves nothing."""
    if "vmid" in ask.params:
        vmid = ask.number("vmid", 0)
        if vmid in state.guests:
            raise bad_parameters(vmid=f"VM {vmid} already exists")
        return str(vmid)
    free = next((vmid for vmid in state.vmids if vmid not in state.guests), None)
    if free is None:
        first, last = state.vmids[0], state.vmids[-1] + 1
        raise Refused(f"unable to get any free VMID in range [{first}, {last}]")
    return str(free)


def resources(state: State, ask: Ask) -> JsonValue:
    """GET cluster/resources: what of the cluster the token may see, up to 10 s old."""
    wanted = ask.text("type")
    rows: list[JsonValue] = []
    if not wanted:
        rows += [
            {"type": "pool", "id": f"/pool/{name}", "pool": name}
            for name in state.pools
            if allows(state, ask.token, f"/pool/{name}", "Pool.Audit")
        ]
    if wanted in {"", "vm"}:
        pools = {vmid: pool.name for pool in state.pools.values() for vmid in pool.members}
        rows += [
            resource_row(state, guest, pools.get(guest.vmid))
            for guest in state.guests.values()
            if allows(state, ask.token, f"/vms/{guest.vmid}", "VM.Audit")
        ]
    if wanted in {"", "node"}:
        rows += [{**_node_row(state, ask, node), "cgroup-mode": 2} for node in state.nodes.values()]
    if wanted in {"", "storage"}:
        rows += storage_resources(state, ask)
    if wanted in {"", "sdn"} and allows(state, ask.token, ZONE, "SDN.Audit"):
        rows += [_zone(node) for node in state.nodes.values()]
    return rows


def _zone(node: Node) -> JsonValue:
    name = ZONE.rpartition("/")[2]
    status = "ok" if node.online else "unknown"
    about = {"id": f"sdn/{node.name}/{name}", "type": "sdn", "node": node.name}
    return {**about, "sdn": name, "status": status}


def resource_row(state: State, guest: Guest, pool: str | None) -> JsonValue:
    """Return a guest's entry in cluster/resources; in that of a pool, `pool` is not told."""
    row: dict[str, JsonValue] = {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind,
        "vmid": guest.vmid,
        "node": guest.node,
        "status": "unknown",
    }
    config = guest.config
    if "lock" in config:
        row["lock"] = config["lock"]
    if "tags" in config:
        row["tags"] = config["tags"]
    if pool is not None:
        row["pool"] = pool
    heard = state.heard(guest)
    if heard is not None and state.nodes[guest.node].online:
        row.update(_heard_row(heard))
    return row


def _heard_row(heard: Heard) -> dict[str, JsonValue]:
    running = heard.status == "running"
    return {
        "name": heard.name,
        "status": heard.status,
        "template": int(heard.template),
        "maxcpu": heard.cpus,
        "maxmem": heard.memory,
        "mem": heard.memory // 2 if running else 0,
        "maxdisk": heard.disk,
        "disk": 0,
        "cpu": 0,
        "netin": 0,
        "netout": 0,
        "diskread": 0,
        "diskwrite": 0,
        "uptime": int(heard.at - heard.started_at) if running else 0,
    }


def _node_row(state: State, ask: Ask, node: Node) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {
        "id": f"node/{node.name}",
        "type": "node",
        "node": node.name,
        "status": "online" if node.online else "offline",
        "level": "",
    }
    if node.online and allows(state, ask.token, f"/nodes/{node.name}", "Sys.Audit"):
        row |= _node_load(state, node)
    return row


def _fingerprint(node: Node) -> str:
    digest = hashlib.sha256(node.name.encode()).hexdigest().upper()
    return ":".join(digest[n : n + 2] for n in range(0, 64, 2))


def _node_load(state: State, node: Node) -> dict[str, JsonValue]:
    running = [g for g in state.guests.values() if g.node == node.name and g.running]
    used = sum(guest.memory for guest in running)
    return {
        "cpu": 0.05,
        "maxcpu": state.settings.node_cpus,
        "mem": used,
        "maxmem": state.settings.node_memory,
        "disk": _disk_used(state, node),
        "maxdisk": state.settings.storage_size,
        "uptime": int(state.timeline.now - node.up_since),
    }


def _disk_used(state: State, node: Node) -> int:
    storage = state.storages.get(state.settings.storage)
    if storage is None:
        return 0
    return state.used().get((storage.name, place_on(storage, node.name)), 0)


def list_nodes(state: State, ask: Ask) -> JsonValue:
    """GET nodes: named even to a token without any grant."""
    return [
        {**_node_row(state, ask, node), "ssl_fingerprint": _fingerprint(node)}
        for node in state.nodes.values()
    ]


def node_time(state: State, ask: Ask) -> JsonValue:
    """GET nodes/{node}/time: what its own clock says; it stands in UTC."""
    now = state.clock(ask.node)
    return {"time": now, "localtime": now, "timezone": "Etc/UTC"}


def node_status(state: State, ask: Ask) -> JsonValue:
    """GET nodes/{node}/status."""
    node, memory = state.nodes[ask.node], state.settings.node_memory
    used = sum(g.memory for g in state.guests.values() if g.node == node.name and g.running)
    disk = _disk_used(state, node)
    room = state.settings.storage_size
    return {
        "uptime": int(state.timeline.now - node.up_since),
        "pveversion": f"pve-manager/{VERSION['version']}/{VERSION['repoid']}",
        "kversion": "Linux 6.8.12-1-pve",
        "cpu": 0.05,
        "wait": 0,
        "idle": 0,
        "loadavg": ["0.10", "0.10", "0.10"],
        "cpuinfo": {
            "cpus": state.settings.node_cpus,
            "cores": state.settings.node_cpus,
            "sockets": 1,
            "mhz": "2793.438",
            "user_hz": 100,
            "hvm": "1",
            "flags": "simulated",
            "model": "simulated",
        },
        "memory": {"total": memory, "used": used, "free": memory - used},
        "swap": {"total": 0, "used": 0, "free": 0},
        "rootfs": {"total": room, "used": disk, "free": room - disk, "avail": room - disk},
        "ksm": {"shared": 0},
        "boot-info": {"mode": "efi"},
        "current-kernel": {
            "machine": "x86_64",
            "release": "6.8.12-1-pve",
            "sysname": "Linux",
            "version": "#1 SMP PREEMPT_DYNAMIC",
        },
    }


def list_guests(state: State, ask: Ask) -> JsonValue:
    """GET nodes/{node}/qemu: current, unlike cluster/resources."""
    full = ask.flag("full")
    return [
        status_row(state, guest) | (told_by_qemu(guest) if full else {})
        for guest in state.guests.values()
        if (guest.node, guest.kind) == (ask.node, "qemu")
        and allows(state, ask.token, f"/vms/{guest.vmid}", "VM.Audit")
    ]
