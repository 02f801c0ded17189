"""The simulated world in which recorded exchanges are played again.

What happened by other means than the exchanges in scope is done here by hand: machines made from
nothing, locks set with a person's ticket, storages mounted and taken away. A machine that is there
from the start has the configuration that was first read of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.guests import Guest, parse_size
from provisioner.simulator.settings import Durations, Settings
from provisioner.simulator.state import Pool, StoredFile, Volume
from provisioner.simulator.wire import ApiRequest
from tests.support.recorded import Exchange

UPID = re.compile(r"UPID:[^:]+:[0-9A-F]{8}:[0-9A-F]+:([0-9A-F]{8}):([^:]*):([^:]*):([^:]+):")
PLACE = re.compile(r"/nodes/[^/]+/(qemu|lxc)/(\d+)(/.*)?")
DRIVE = re.compile(r"(?:scsi|virtio|sata|ide)\d+")
LISTS = {"/nodes/pve/qemu", "/nodes/pve/lxc", "/cluster/resources"}
BEFORE = 30.0
#: Linked clones took a third of a second on the recorded node, full ones of 500 MB a second.
DURATIONS = Durations(linked_clone=0.25, full_clone_rate=2.2e9)
DRAWN: Mapping[str, Any] = {
    "smbios1": "uuid=6aae6c56-0d38-4646-85c3-f8466b0e6fdd",
    "vmgenid": "3f0b374d-093a-4d72-9b73-267ec77ae1b0",
    "meta": "creation-qemu=7.2.22,ctime=1795365731",
    "boot": " ",
}
TEMPLATE: Mapping[str, Any] = {
    **DRAWN,
    "name": "debian-template",
    "memory": "384",
    "vga": "serial0",
    "template": 1,
    "scsihw": "virtio-scsi-pci",
    "ide2": "local:9000/vm-9000-cloudinit.qcow2,media=cdrom",
    "ostype": "l26",
    "agent": "1",
    "net0": "virtio=BC:24:11:1D:49:47,bridge=vmbr0",
    "scsi0": "local:9000/base-9000-disk-0.qcow2,size=1500M",
    "serial0": "socket",
    "boot": "order=scsi0",
}
PLAIN: Mapping[str, Any] = {
    **DRAWN,
    "memory": "64",
    "agent": "1",
    "boot": "order=scsi0",
    "scsi0": "local:1",
}


class World:
    """One simulated cluster as it was when a scenario began, and what was done to it by hand."""

    def __init__(self, exchanges: tuple[Exchange, ...]) -> None:
        self.exchanges = exchanges
        self.cluster = Cluster(
            Settings(
                start=began(exchanges) - BEFORE,
                node_cpus=2,
                node_memory=25_276_510_208,
                durations=DURATIONS,
            )
        )
        self.cluster.add_os_template()
        self.state = self.cluster.state

    def as_it_stood(self, exchange: Exchange) -> None:
        """Make guests that were made by other means before this exchange."""
        for row in exchange.data if isinstance(exchange.data, list) else ():
            if isinstance(row, dict) and "vmid" in row and exchange.path.rstrip("/") in LISTS:
                self.listed(exchange.path, row)
        self.make_room(exchange)
        match = PLACE.fullmatch(exchange.path)
        if match is None or exchange.told.get("status") == 501 or "/firewall" in exchange.path:
            return
        said = f"{exchange.told.get('reason')}{exchange.task.get('exitstatus')}"
        gone = "does not exist" in said or "unable to find conf" in said
        if int(match[2]) not in self.state.guests and not (gone and "disk" not in said):
            self.appear(match[1], int(match[2]))

    def make_room(self, exchange: Exchange) -> None:
        """Remove a guest of an earlier call whose removal was not recorded."""
        word = str(exchange.params.get("newid", exchange.params.get("vmid", "")))
        vmid = int(word) if word.isdecimal() else 0
        new = exchange.path.endswith(("/clone", "/lxc")) and exchange.method == "POST"
        said = str(exchange.told.get("reason"))
        kept = f"/{vmid}/" in exchange.path or "already exists" in said or "is locked" in said
        if new and vmid in self.state.guests and not kept:
            self.cluster.remove_guest(vmid)

    def listed(self, path: str, row: Mapping[str, Any]) -> None:
        """Make a guest that a list shows."""
        vmid = int(row["vmid"])
        if vmid in self.state.guests:
            return
        kind = str(row.get("type") or path.rstrip("/").rpartition("/")[2])
        told = {key: row[key] for key in ("name", "lock", "tags", "template") if row.get(key)}
        if row.get("serial"):
            told["serial0"] = "socket"
        self.appear(kind, vmid, told | ({"scsi0": "local:1"} if row.get("maxdisk") else {}))
        if row.get("status") == "running":
            self.cluster.start_guest(vmid)
        if row.get("pool"):
            self.state.pools[row["pool"]].members.add(vmid)

    def appear(self, kind: str, vmid: int, given: Mapping[str, Any] | None = None) -> Guest:
        """Make a guest by hand, with the configuration that was first read of it, if any was."""
        config = dict(given or self.first_read(kind, vmid) or {**PLAIN, "name": f"vm{vmid}"})
        for drawn in ("digest", "start", "lock" if given is None else ""):
            config.pop(drawn, None)
        if kind == "lxc":
            return self.container(vmid, config)
        guest = self.cluster.add_guest(vmid)
        for key in list(guest.config):
            self.without(guest, key)
        for key, value in config.items():
            if DRIVE.fullmatch(key):
                self.with_drive(guest, key, str(value))
            else:
                guest.config[key] = str(value) if key == "memory" else value
        guest.heard = guest.hear(self.state.last_round())
        return guest

    def container(self, vmid: int, config: Mapping[str, Any]) -> Guest:
        """Make a container by hand; its root file system is our own."""
        guest = self.cluster.add_container(vmid, size=2**30)
        for key in set(guest.config) - set(config) - {"rootfs", "arch"}:
            del guest.config[key]
        guest.config.update({k: v for k, v in config.items() if k not in {"rootfs", "scsi0"}})
        return guest

    def first_read(self, kind: str, vmid: int) -> Mapping[str, Any] | None:
        """Return the configuration of a guest that was read first."""
        if vmid in {9000, 9100}:
            return TEMPLATE if vmid == 9000 else RUNNING
        wanted = f"/nodes/pve/{kind}/{vmid}/config"
        read = (e.data for e in self.exchanges if e.path == wanted and e.method == "GET" and e.data)
        return next(read, None)

    def without(self, guest: Guest, key: str) -> None:
        """Take a key out of a configuration, and its volume off its storage."""
        self.state.volumes.pop(str(guest.config.pop(key)).split(",")[0], None)

    def with_drive(self, guest: Guest, key: str, line: str) -> None:
        """Give a guest a drive, word for word, and the volume that it names."""
        volid, _, options = line.partition(",")
        storage, _, name = volid.partition(":")
        size = parse_size(options.partition("size=")[2].split(",")[0] or "4M")
        if re.fullmatch(r"[\d.]+", name):  # a size in GiB: a new volume
            size = int(float(name) * 2**30)
            volid = f"{storage}:{guest.vmid}/vm-{guest.vmid}-disk-0.raw"
            line = f"{volid},size={size // 2**20}M"
        guest.config[key] = line
        if storage in self.state.storages:
            form = volid.rpartition(".")[2]
            parent = volid.rsplit("/", 2)[0] if volid.count("/") > 1 else None
            made = int(self.cluster.now)
            volume = Volume(volid, guest.vmid, size, form, made, parent, node="pve")
            self.state.volumes[volid] = volume

    # ---------------------------------------------------------------------------- by hand

    def by_hand(self, exchange: Exchange, path: str) -> None:
        """Do to the world what an exchange out of scope did; `path` is with our own names."""
        if exchange.told.get("status") != 200 or exchange.method == "GET":
            return
        failed = exchange.task.get("exitstatus", "OK") != "OK"
        if exchange.path == "/nodes/pve/qemu" and not failed:
            self.from_nothing(exchange)
        if exchange.path.startswith("/storage"):
            self.change_storage(exchange)
        if exchange.path.endswith("/upload"):
            file = StoredFile("local:iso/x.iso", "iso", "iso", 4, int(self.cluster.now))
            self.state.files[file.volid] = file
        if "/tasks/UPID" in path:
            self.did(exchange.method, path)
        match = PLACE.fullmatch(path)
        if match is not None and int(match[2]) in self.state.guests and not failed:
            self.change_guest(exchange, int(match[2]), str(match[3] or ""))

    def from_nothing(self, exchange: Exchange) -> None:
        """Make a machine from nothing, as it was read afterwards or as it was asked for."""
        vmid = int(exchange.params.get("vmid", 100))
        asked = {k: v for k, v in exchange.params.items() if k not in {"vmid", "pool", "storage"}}
        if vmid in self.state.guests:
            self.cluster.remove_guest(vmid)
        read = exchange.told.get("resulting_config") or self.first_read("qemu", vmid)
        self.appear("qemu", vmid, read or {**DRAWN, **asked})
        if exchange.params.get("start"):
            self.cluster.start_guest(vmid)

    def change_storage(self, exchange: Exchange) -> None:
        """Make, disable, enable or remove a storage."""
        params, name = exchange.params, exchange.path.rpartition("/")[2]
        if exchange.path == "/storage":
            self.cluster.add_storage(str(params["storage"]), size=157_286_400)
        elif exchange.method == "DELETE":
            del self.state.storages[name]
        storage = self.state.storages.get(name)
        if storage is not None and "disable" in params:
            storage.enabled = not params["disable"]
        if storage is not None and "content" in params:
            storage.only = tuple(str(params["content"]).split(","))

    def change_guest(self, exchange: Exchange, vmid: int, rest: str) -> None:
        """Change a guest as a person did."""
        params = dict(exchange.params)
        if rest == "/config":
            raw = str(exchange.told.get("raw_body", ""))
            params |= json.loads(raw) if raw.startswith("{") else {}
            deleted = [key for key in str(params.pop("delete", "")).split(",") if key]
            sets = {k: int(v) if isinstance(v, bool) else v for k, v in params.items()}
            sets.pop("skiplock", None)
            self.cluster.edit_guest(vmid, **sets, **dict.fromkeys(deleted))
        if rest in {"/monitor", "/status/stop"}:
            self.cluster.stop_guest(vmid)
        if rest == "/status/start":
            self.cluster.start_guest(vmid)
        if not rest and exchange.method == "DELETE":
            self.cluster.remove_guest(vmid)

    # ---------------------------------------------------------------------------- words for hooks

    def pool(self, name: str, *members: int) -> None:
        """Make a pool."""
        self.state.pools[name] = Pool(name, members=set(members))

    def did(self, method: str, path: str, token: str = "root@pam!t1", **params: str) -> None:
        """Do something through the API that was not recorded, and wait for it."""
        self.cluster.handle(ApiRequest(method, path, params, f"{token}=SECRET"))
        self.cluster.settle()


RUNNING: Mapping[str, Any] = {k: v for k, v in TEMPLATE.items() if k != "template"} | {
    "name": "agentvm",
    "ide2": "local:9100/vm-9100-cloudinit.qcow2,media=cdrom",
    "scsi0": "local:9000/base-9000-disk-0.qcow2/9100/vm-9100-disk-0.qcow2,size=1500M",
}


def began(exchanges: tuple[Exchange, ...]) -> float:
    """Return when a scenario began, by the first task of which it tells."""
    return next(_starts(exchanges), 1_795_366_000.0)


def _starts(exchanges: tuple[Exchange, ...]) -> Iterator[float]:
    for exchange in exchanges:
        match = UPID.fullmatch(str(exchange.data))
        if match is not None:
            yield int(match[1], 16) - float(int(exchange.asked_at))
