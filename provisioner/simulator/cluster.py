"""The simulated cluster: the one object that tests, the in-process transport and the front hold.

`submit` takes a call and gives it back open; it is answered when virtual time has gone far enough
(at once, unless something waits). `handle` is `submit` plus the waiting. Nothing happens between
calls except through `advance`. Whoever changes guests from the outside (a stranger in the web
interface, a node that loses power) goes through the methods here, so that statistics and locks
stay true.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from urllib.parse import unquote

from provisioner.simulator.access import Ask, authenticate, require_on
from provisioner.simulator.config import apply_pending
from provisioner.simulator.disks import add_disk, make_template
from provisioner.simulator.endpoint import Route
from provisioner.simulator.faults import Fault, FaultName, struck_by
from provisioner.simulator.guestos import Session
from provisioner.simulator.guests import ConfigValue, Guest
from provisioner.simulator.inventory import Inventory, take_inventory
from provisioner.simulator.lxc.container import Container
from provisioner.simulator.lxc.create import fit_out
from provisioner.simulator.outages import cut_power, power_cycle, restore_power
from provisioner.simulator.params import verify, without_uri_names
from provisioner.simulator.power import switch_off, switch_on
from provisioner.simulator.routes import TABLE
from provisioner.simulator.settings import Settings
from provisioner.simulator.spoiling import KEEPS_OUT, delayed, kept_out, spoiled
from provisioner.simulator.state import (
    Draws,
    Firewall,
    Node,
    Pool,
    State,
    Storage,
    Token,
)
from provisioner.simulator.storages import store_archive
from provisioner.simulator.timeline import Script, Sleep, Timeline
from provisioner.simulator.touches import note_touches
from provisioner.simulator.wire import (
    LOST,
    ApiRequest,
    ApiResponse,
    Fate,
    Listing,
    Refused,
)

OS_TEMPLATE = "debian-12-standard_12.7-1_amd64.tar.zst"
TOKEN = "root@pam!sim"  # noqa: S105 - a token's name
LATE_401 = 3.0


class Call:
    """A submitted call; `response` is None until it is answered."""

    def __init__(self, request: ApiRequest, asked_at: float) -> None:
        self.request = request
        self.asked_at = asked_at
        self.response: ApiResponse | None = None
        self.when_answered: Callable[[], None] | None = None

    def answered(self) -> bool:
        """Say whether the answer is there."""
        return self.response is not None


class Cluster:
    """A whole cluster on virtual time."""

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        self.settings = settings or Settings()
        timeline = Timeline(self.settings.start)
        self.state = State(self.settings, timeline, Draws(seed))
        for name in self.settings.nodes:
            self.state.nodes[name] = Node(name, up_since=self.settings.start - 4200)
        storage = Storage(
            self.settings.storage, self.settings.storage_size, self.settings.storage_shared
        )
        self.state.storages[storage.name] = storage

    # ------------------------------------------------------------------------------------- time

    @property
    def now(self) -> float:
        """Return virtual time, seconds since the epoch."""
        return self.state.timeline.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.advance_to(self.now + seconds)

    def advance_to(self, moment: float) -> None:
        """Let time pass until `moment`."""
        self.state.timeline.advance_to(moment)

    def settle(self, limit: float = 3600.0) -> None:
        """Let time pass until no task runs, at most `limit` seconds."""
        end = self.now + limit
        while any(task.status is None for task in self.state.tasks.values()):
            due = self.state.timeline.next_due()
            if due is None or due > end:
                break
            self.advance_to(due)

    # ------------------------------------------------------------------------------------ calls

    def submit(self, request: ApiRequest) -> Call:
        """Take a call; it is answered now or while time advances."""
        call = Call(request, self.now)
        self.state.timeline.spawn(self._serve(request), partial(self._answered, call))
        self.state.timeline.advance_to(self.now)
        return call

    def handle(self, request: ApiRequest) -> ApiResponse:
        """Answer a call, letting time pass for as long as it waits."""
        call = self.submit(request)
        while call.response is None:
            due = self.state.timeline.next_due()
            if due is None:
                raise RuntimeError(f"{request.method} {request.path} waits for nothing")
            self.advance_to(due)
        return call.response

    def _answered(self, call: Call, response: ApiResponse | None, refusal: Refused | None) -> None:
        if response is None:
            raise RuntimeError("a call ended without an answer") from refusal
        delay = self.now - call.asked_at
        request = call.request
        call.response = response if not delay else delayed(response, delay)
        token = None if request.token is None else request.token.partition("=")[0]
        self.state.record(call.asked_at, request.method, request.path, response.status, token)
        if call.when_answered is not None:
            call.when_answered()

    def _serve(self, request: ApiRequest) -> Script[ApiResponse]:
        path = request.path.split("?")[0].rstrip("/") or "/"
        fault = self.state.faults.match(request.method, path)
        if fault is not None:
            struck = struck_by(request.method, path, request.params, self.settings.storage)
            if fault.act is not None:
                fault.act(struck)
            fault = fault.about(struck)
            if fault.name is FaultName.HANG:
                yield Sleep(fault.seconds)
            if fault.name in KEEPS_OUT:
                if fault.status == 401:
                    yield Sleep(LATE_401)
                return kept_out(fault)
        if not any(node.online for node in self.state.nodes.values()):
            return ApiResponse(595, "Connection refused", fate=Fate.UNREACHABLE)
        try:
            response = yield from self._dispatch(request, path, fault)
        except Refused as refused:
            if refused.status == 401:
                yield Sleep(LATE_401)
                told = None if "PVEVNC" in refused.reason else ""
                return ApiResponse(401, refused.reason, raw=told)
            if refused.reason == LOST:
                return ApiResponse(500, LOST, fate=Fate.LOST)
            raw = "" if refused.status > 590 else None
            response = ApiResponse(refused.status, refused.reason, errors=refused.errors, raw=raw)
        return response if fault is None else spoiled(response, fault)

    def _dispatch(self, request: ApiRequest, path: str, fault: Fault | None) -> Script[ApiResponse]:
        token = authenticate(self.state, request.token)
        parts = [unquote(part) for part in path.split("/") if part]
        found = TABLE.find(request.method, parts)
        if found is None:
            raise Refused(f"Method '{request.method} {path}' not implemented", 501)
        route, names = found
        self.state.counts[f"{route.method} {route.pattern}"] += 1
        self._refuse_without_node(names)
        if route.need is not None:
            require_on(self.state, token, route.need, {**request.params, **names})
        params = verify(route.rules, without_uri_names(names, request.params), names)
        ask = Ask(request.method, path, names, params, token, fault)
        if request.method != "GET":
            self._about_to_change(ask, route)
        data = route.handler(self.state, ask)
        if isinstance(data, Generator):
            data = yield from data
        if fault is not None and fault.name is FaultName.EMPTY and route.lists:
            return ApiResponse(200, data=[])
        if isinstance(data, Listing):
            return ApiResponse(200, data=data.rows, total=data.total)
        return ApiResponse(200, data=data)

    def _refuse_without_node(self, names: Mapping[str, str]) -> None:
        name = names.get("node")
        if name is None:
            return
        node = self.state.nodes.get(name)
        if node is None:
            text = f"failed to get address info for: {name}: Name or service not known"
            raise Refused(f"hostname lookup '{name}' failed - {text}")
        if not node.online:
            raise Refused("No route to host", 595)

    def _about_to_change(self, ask: Ask, route: Route) -> None:
        if not self.state.has_quorum and "/agent/" not in route.pattern:
            raise Refused("cluster not ready - no quorum?")
        note_touches(self.state, ask, route.pattern)

    # -------------------------------------------------------------------------------- the world

    def add_token(self, token: Token) -> Token:
        """Make an API token known."""
        self.state.tokens[token.id] = token
        return token

    def default_token(self) -> str:
        """Return the credentials of a token that may do everything, made on first use."""
        if TOKEN not in self.state.tokens:
            self.add_token(Token(TOKEN, self.state.draws.uuid()))
        return f"{TOKEN}={self.state.tokens[TOKEN].secret}"

    def add_storage(
        self, name: str, kind: str = "dir", *, size: int = 2**40, nodes: tuple[str, ...] = ()
    ) -> Storage:
        """Add a storage of `kind` (see `Storage`) to `nodes`, by default to all.

        NFS and LVM (on a disk array) are shared; any other has `size` bytes on each node.
        """
        storage = Storage(name, size, shared=kind in {"nfs", "lvm"}, kind=kind, nodes=nodes)
        self.state.storages[name] = storage
        return storage

    def add_pool(self, name: str) -> None:
        """Make an empty resource pool."""
        self.state.pools[name] = Pool(name)

    def add_guest(
        self,
        vmid: int,
        *,
        node: str | None = None,
        created_by: str = "root@pam",
        disk: int = 4 * 2**30,
        running: bool = False,
        config: Mapping[str, ConfigValue] | None = None,
    ) -> Guest:
        """Add a guest that somebody made by hand: `disk` bytes on scsi0 and a cloud-init drive."""
        guest = Guest(vmid, node or self.settings.nodes[0], created_by, self.now)
        guest.config = {
            "name": f"guest-{vmid}",
            "memory": "2048",
            "cores": 1,
            "scsihw": "virtio-scsi-pci",
            "ostype": "l26",
            "boot": "order=scsi0",
            "agent": "1",
            "net0": f"virtio={self.state.draws.mac()},bridge=vmbr0",
            "smbios1": f"uuid={self.state.draws.uuid()}",
            "vmgenid": self.state.draws.uuid(),
        }
        self.state.add_guest(guest)
        add_disk(self.state, guest, "ide2", 4 * 2**20, cdrom=True)
        add_disk(self.state, guest, "scsi0", disk)
        guest.config.update(config or {})
        if running:
            switch_on(self.state, guest)
        guest.heard = guest.hear(self.state.last_round())
        return guest

    def add_container(
        self,
        vmid: int,
        *,
        node: str | None = None,
        created_by: str = "root@pam",
        size: int = 4 * 2**30,
        running: bool = False,
        config: Mapping[str, ConfigValue] | None = None,
    ) -> Container:
        """Add a container that somebody made by hand, with a root file system of `size` bytes."""
        where = node or self.settings.nodes[0]
        guest = Container(vmid, where, created_by, self.now, host_cpus=self.settings.node_cpus)
        fit_out(self.state, guest, size)
        guest.config.update(config or {})
        if running:
            switch_on(self.state, guest)
        guest.heard = guest.hear(self.state.last_round())
        return guest

    def add_os_template(
        self, name: str = OS_TEMPLATE, storage: str = "local", nodes: Sequence[str] = ()
    ) -> str:
        """Put an archive for containers on a storage, of `nodes` or all; returns its volid."""
        return store_archive(self.state, name, storage, nodes)

    def add_template(
        self,
        vmid: int = 9000,
        *,
        node: str | None = None,
        config: Mapping[str, ConfigValue] | None = None,
    ) -> Guest:
        """Add a template that a clone inherits nasty things from.

        A password, a tag, an address, `onboot`, firewall options and rules, an IP set and an alias.
        """
        nasty: dict[str, ConfigValue] = {
            "name": "debian-template",
            "description": "made by hand",
            "tags": "template",
            "onboot": 1,
            "ciuser": "admin",
            "cipassword": "$5$template",
            "ipconfig0": "ip=192.0.2.77/24,gw=192.0.2.1",
            "serial0": "socket",
            "vga": "serial0",
        }
        guest = self.add_guest(vmid, node=node, config=nasty | dict(config or {}))
        make_template(self.state, guest)
        self.state.firewalls[vmid] = Firewall(
            options={"enable": 1, "policy_in": "ACCEPT", "ipfilter": 1},
            rules=[{"type": "in", "action": "ACCEPT", "enable": 1, "proto": "tcp", "dport": "22"}],
            ipsets={"ipfilter-net0": {"192.0.2.77": ""}, "admins": {"198.51.100.0/24": ""}},
            aliases={"office": {"name": "office", "cidr": "198.51.100.7"}},
        )
        return guest

    def edit_guest(self, vmid: int, **config: ConfigValue | None) -> None:
        """Change a guest's configuration behind everybody's back; None deletes a key."""
        guest = self.state.changing(self.state.guests[vmid])
        for key, value in config.items():
            if value is None:
                guest.config.pop(key, None)
            else:
                guest.config[key] = value

    def start_guest(self, vmid: int) -> None:
        """Start a guest behind everybody's back, at once."""
        switch_on(self.state, self.state.guests[vmid])

    def stop_guest(self, vmid: int) -> None:
        """Power a guest off from within or behind everybody's back, at once."""
        switch_off(self.state, self.state.guests[vmid])

    def remove_guest(self, vmid: int) -> None:
        """Destroy a guest behind everybody's back, disks, firewall and all."""
        apply_pending(self.state, self.state.guests[vmid])
        for volume in self.state.volumes_of(vmid):
            del self.state.volumes[volume.volid]
        self.state.firewalls.pop(vmid, None)
        del self.state.guests[vmid]

    def guest(self, vmid: int) -> Guest:
        """Return a guest, to look at or to misbehave with."""
        return self.state.guests[vmid]

    def admits(self, vmid: int, public_key: str) -> bool:
        """Say whether `public_key` gets somebody into guest `vmid` now; False when it is gone."""
        guest = self.state.guests.get(vmid)
        return guest is not None and guest.admits(public_key)

    def log_in(self, vmid: int, public_key: str) -> bool:
        """Open a session with `public_key` if it is admitted; say whether it was."""
        if not self.admits(vmid, public_key):
            return False
        system = self.state.guests[vmid].os
        user = system.account_of(public_key)
        if user is not None:
            system.sessions.append(Session(user))
        return user is not None

    def arm(self, fault: Fault) -> None:
        """Have something go wrong."""
        self.state.faults.arm(fault)

    def set_quorum(self, *, quorate: bool) -> None:
        """Lose or regain quorum: without it nothing can be changed, everything read."""
        self.state.quorate = quorate

    def set_grants(self, token: str, *, everything: bool) -> None:
        """Take every privilege from a token, or give all."""
        self.state.tokens[token].everything = everything
        self.state.tokens[token].grants = ()

    def power_cycle(self, node: str) -> None:
        """Cut a node's power; it comes back after its boot time and starts `onboot` guests."""
        power_cycle(self.state, node)

    def cut_power(self, node: str) -> None:
        """Cut a node's power for good, until `restore_power`."""
        cut_power(self.state, node)

    def restore_power(self, node: str) -> None:
        """Boot a node whose power was cut; it is back after its boot time."""
        restore_power(self.state, node)

    def inventory(self) -> Inventory:
        """Return what is really there."""
        return take_inventory(self.state)
