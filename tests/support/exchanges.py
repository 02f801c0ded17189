"""One story of calls that both stand-ins are asked, and what each said of every call.

What is compared is what a program can see: the status and its reason, how the task ended that a
call began, and of an answer the part that the story looks at. The guests are a template 9000, and
the virtual machines 218, which is off, 219 to 221, which run; of containers there is none at first.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from aiohttp.test_utils import TestClient
from fakepve import FakePve

from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest
from tests.support.simulated import Console

NODE: Final = "/nodes/pve"
QEMU: Final = f"{NODE}/qemu"
LXC: Final = f"{NODE}/lxc"
ROOT: Final = "root@pam!sim"
#: A token that nobody granted anything.
POOR: Final = "poor@pve!none"
SECRET: Final = "secret"
OS: Final = "debian-12-standard_12.7-1_amd64.tar.zst"
#: Stands in a path for the task that was begun last.
LAST: Final = "LAST"
Look: TypeAlias = Callable[[Any], object]
Ask: TypeAlias = Callable[["Exchange"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call: by whom, and what is looked at in its answer."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    look: Look | None = None
    token: str | None = ROOT

    def said(self, status: int, reason: str, ended: str, data: object) -> str:
        """Return what was said, in words that can be compared."""
        words = f"{status} {reason}".strip()
        if ended:
            words += f"; the task: {ended}"
        if self.look is not None and status == 200:
            words += f"; seen: {self.look(data)}"
        return words


def _keys(data: Mapping[str, object]) -> object:
    return sorted(data)


def _column(key: str) -> Look:
    return lambda rows: sorted(row.get(key) for row in rows)


def _part(key: str) -> Look:
    return lambda data: data.get(key)


STORY: Final[Mapping[str, Exchange]] = {
    "an id that is free": Exchange("GET", "/cluster/nextid", {"vmid": "300"}),
    "an id that is taken": Exchange("GET", "/cluster/nextid", {"vmid": "218"}),
    "a guest that is not there": Exchange("GET", f"{QEMU}/555/config"),
    "a clone without an id": Exchange("POST", f"{QEMU}/9000/clone"),
    "a clone onto a taken id": Exchange("POST", f"{QEMU}/9000/clone", {"newid": "218"}),
    "a linked clone onto a named storage": Exchange(
        "POST", f"{QEMU}/9000/clone", {"newid": "300", "storage": "local"}
    ),
    "a clone into a pool that is not there": Exchange(
        "POST", f"{QEMU}/9000/clone", {"newid": "300", "pool": "nowhere"}
    ),
    "a clone": Exchange("POST", f"{QEMU}/9000/clone", {"newid": "300", "name": "bought"}),
    "a clone without a name": Exchange("POST", f"{QEMU}/9000/clone", {"newid": "301"}),
    "the name of such a clone": Exchange("GET", f"{QEMU}/301/config", look=_part("name")),
    "a change": Exchange("PUT", f"{QEMU}/300/config", {"cores": "2"}),
    "a change of nothing": Exchange("PUT", f"{QEMU}/300/config"),
    "a change with an unknown key": Exchange("PUT", f"{QEMU}/300/config", {"colour": "red"}),
    "a change against another digest": Exchange(
        "PUT", f"{QEMU}/300/config", {"cores": "3", "digest": "0" * 40}
    ),
    "keys that are not encoded": Exchange(
        "PUT", f"{QEMU}/300/config", {"sshkeys": "ssh-ed25519 AAAA a@b"}
    ),
    "a password": Exchange("PUT", f"{QEMU}/300/config", {"cipassword": "sesame"}),
    "a password read": Exchange("GET", f"{QEMU}/300/config", look=_part("cipassword")),
    "a description with spaces at its end": Exchange(
        "PUT", f"{QEMU}/300/config", {"description": "ours  \n"}
    ),
    "such a description read": Exchange("GET", f"{QEMU}/300/config", look=_part("description")),
    "a larger disk": Exchange("PUT", f"{QEMU}/218/resize", {"disk": "scsi0", "size": "8G"}),
    "a smaller disk": Exchange("PUT", f"{QEMU}/218/resize", {"disk": "scsi0", "size": "1G"}),
    "a start": Exchange("POST", f"{QEMU}/218/status/start"),
    "a start of what runs": Exchange("POST", f"{QEMU}/218/status/start"),
    "a destroy of what runs": Exchange("DELETE", f"{QEMU}/218"),
    "a stop": Exchange("POST", f"{QEMU}/218/status/stop"),
    "a stop of what is stopped": Exchange("POST", f"{QEMU}/218/status/stop"),
    "a shutdown of what is stopped": Exchange("POST", f"{QEMU}/218/status/shutdown"),
    "a start of a template": Exchange("POST", f"{QEMU}/9000/status/start"),
    # ------------------------------------------------------------------------------- snapshots
    "a snapshot": Exchange("POST", f"{QEMU}/218/snapshot", {"snapname": "one"}),
    "a snapshot of the same name": Exchange("POST", f"{QEMU}/218/snapshot", {"snapname": "one"}),
    "a snapshot by a reserved name": Exchange(
        "POST", f"{QEMU}/218/snapshot", {"snapname": "current"}
    ),
    "the snapshots": Exchange("GET", f"{QEMU}/218/snapshot", look=_column("name")),
    "a rollback": Exchange("POST", f"{QEMU}/218/snapshot/one/rollback"),
    "a rollback to what is not there": Exchange("POST", f"{QEMU}/218/snapshot/two/rollback"),
    "a deletion of what is not there": Exchange("DELETE", f"{QEMU}/218/snapshot/two"),
    "a deletion of a snapshot": Exchange("DELETE", f"{QEMU}/218/snapshot/one"),
    # ------------------------------------------------------------------------ pause, hibernation
    "a pause": Exchange("POST", f"{QEMU}/219/status/suspend"),
    "a resumption": Exchange("POST", f"{QEMU}/219/status/resume"),
    "a pause of what is stopped": Exchange("POST", f"{QEMU}/218/status/suspend"),
    "a hibernation": Exchange("POST", f"{QEMU}/219/status/suspend", {"todisk": "1"}),
    "the lock of what hibernates": Exchange("GET", f"{QEMU}/219/config", look=_part("lock")),
    "a change of what hibernates": Exchange("PUT", f"{QEMU}/219/config", {"cores": "2"}),
    "a start of what hibernates": Exchange("POST", f"{QEMU}/219/status/start"),
    "a second hibernation": Exchange("POST", f"{QEMU}/219/status/suspend", {"todisk": "1"}),
    "a resumption of what hibernates": Exchange("POST", f"{QEMU}/219/status/resume"),
    "the hibernation of another": Exchange("POST", f"{QEMU}/220/status/suspend", {"todisk": "1"}),
    "a destroy of what hibernates": Exchange("DELETE", f"{QEMU}/220"),
    "a pause of another": Exchange("POST", f"{QEMU}/221/status/suspend"),
    "a shutdown of what is paused": Exchange("POST", f"{QEMU}/221/status/shutdown"),
    # ---------------------------------------------------------------------------------- destroy
    "protection": Exchange("PUT", f"{QEMU}/218/config", {"protection": "1"}),
    "a destroy of what is protected": Exchange("DELETE", f"{QEMU}/218"),
    "no protection": Exchange("PUT", f"{QEMU}/218/config", {"protection": "0"}),
    "a destroy": Exchange("DELETE", f"{QEMU}/218", {"purge": "1"}),
    "what was destroyed": Exchange("GET", f"{QEMU}/218/status/current"),
    "a destroy of what is gone": Exchange("DELETE", f"{QEMU}/218"),
    # ------------------------------------------------------------------------------- containers
    "a container of no template": Exchange("POST", LXC, {"vmid": "400"}),
    "a container of a template that is not there": Exchange(
        "POST", LXC, {"vmid": "400", "ostemplate": "local:vztmpl/none.tar.zst", "rootfs": "thin:4"}
    ),
    "a container": Exchange(
        "POST", LXC, {"vmid": "400", "ostemplate": f"local:vztmpl/{OS}", "rootfs": "thin:4"}
    ),
    "a container onto a taken id": Exchange(
        "POST", LXC, {"vmid": "219", "ostemplate": f"local:vztmpl/{OS}", "rootfs": "thin:4"}
    ),
    "a container's own words": Exchange("PUT", f"{LXC}/400/config", {"description": "ours"}),
    "such words read": Exchange("GET", f"{LXC}/400/config", look=_part("description")),
    "a container's change of nothing": Exchange("PUT", f"{LXC}/400/config"),
    "a container's larger disk": Exchange(
        "PUT", f"{LXC}/400/resize", {"disk": "rootfs", "size": "8G"}
    ),
    "a container's disk of the same size": Exchange(
        "PUT", f"{LXC}/400/resize", {"disk": "rootfs", "size": "8G"}
    ),
    "a container's start": Exchange("POST", f"{LXC}/400/status/start"),
    "a start of a container that runs": Exchange("POST", f"{LXC}/400/status/start"),
    "a destroy of a container that runs": Exchange("DELETE", f"{LXC}/400"),
    "a container's snapshot": Exchange("POST", f"{LXC}/400/snapshot", {"snapname": "one"}),
    "a container's shutdown": Exchange("POST", f"{LXC}/400/status/shutdown"),
    "a shutdown of a container that is stopped": Exchange("POST", f"{LXC}/400/status/shutdown"),
    "a stop of a container that is stopped": Exchange("POST", f"{LXC}/400/status/stop"),
    "a container's rollback": Exchange("POST", f"{LXC}/400/snapshot/one/rollback"),
    "a container as a virtual machine": Exchange("GET", f"{QEMU}/400/config"),
    "a container's destroy": Exchange("DELETE", f"{LXC}/400"),
    "a container that is gone": Exchange("GET", f"{LXC}/400/config"),
    # -------------------------------------------------------------------------------- tasks
    "how the last task ended": Exchange(
        "GET", f"{NODE}/tasks/{LAST}/status", look=_part("exitstatus")
    ),
    "whose the last task was": Exchange("GET", f"{NODE}/tasks/{LAST}/status", look=_part("user")),
    "the keys of the last task": Exchange("GET", f"{NODE}/tasks/{LAST}/status", look=_keys),
    "the last line of its log": Exchange(
        "GET", f"{NODE}/tasks/{LAST}/log", look=lambda rows: rows[-1]["t"]
    ),
    "a stop of a task that ended": Exchange("DELETE", f"{NODE}/tasks/{LAST}"),
    "a task that is not known": Exchange(
        "GET", f"{NODE}/tasks/UPID:pve:00000001:00000001:60000000:qmstart:100:root@pam:/status"
    ),
    "the log of a task that is not known": Exchange(
        "GET", f"{NODE}/tasks/UPID:pve:00000001:00000001:60000000:qmstart:100:root@pam:/log"
    ),
    "a task that is no task": Exchange("GET", f"{NODE}/tasks/nonsense/status"),
    "whether other kinds are among the tasks of one kind": Exchange(
        "GET",
        f"{NODE}/tasks",
        {"typefilter": "vzcreate"},
        lambda rows: any(row["type"] != "vzcreate" for row in rows),
    ),
    "the tasks of one guest": Exchange(
        "GET", f"{NODE}/tasks", {"vmid": "400"}, lambda rows: sorted({row["id"] for row in rows})
    ),
    # -------------------------------------------------------------------------------- pools
    "the pools": Exchange("GET", "/pools", look=_column("poolid")),
    "an empty pool": Exchange("GET", "/pools/leases", look=_part("members")),
    "a clone into a pool": Exchange(
        "POST", f"{QEMU}/9000/clone", {"newid": "302", "pool": "leases"}
    ),
    "the pool then": Exchange(
        "GET", "/pools/leases", look=lambda data: [row["vmid"] for row in data["members"]]
    ),
    "a destroy of a member": Exchange("DELETE", f"{QEMU}/302"),
    "the pool after all": Exchange("GET", "/pools/leases", look=_part("members")),
    "a pool that is not there": Exchange("GET", "/pools/nowhere"),
    # ----------------------------------------------------------------------------------- auth
    "no token": Exchange("GET", "/version", token=None),
    "a token that is none": Exchange("GET", "/version", token="root@pam!other"),
    "a list without privileges": Exchange(
        "GET", "/cluster/resources", {"type": "vm"}, look=list, token=POOR
    ),
    "a guest without privileges": Exchange("GET", f"{QEMU}/219/config", token=POOR),
    "a clone without privileges": Exchange(
        "POST", f"{QEMU}/9000/clone", {"newid": "303"}, token=POOR
    ),
    "a destroy without privileges": Exchange("DELETE", f"{QEMU}/219", token=POOR),
    "a node without privileges": Exchange("GET", f"{NODE}/status", token=POOR),
    "pools without privileges": Exchange("GET", "/pools", look=list, token=POOR),
    "root's own option": Exchange("DELETE", f"{QEMU}/300", {"skiplock": "1"}),
    "root's own key": Exchange("PUT", f"{QEMU}/300/config", {"args": "-nodefaults"}),
    # ------------------------------------------------------------------------------ what is none
    "an unknown node": Exchange("GET", "/nodes/nowhere/status"),
    "an unknown path": Exchange("GET", "/machines"),
    "a destroy of a template with clones": Exchange("DELETE", f"{QEMU}/9000"),
}


def ours() -> Ask:
    """Return how the stand-in is asked."""
    console = Console()
    cluster = console.cluster
    cluster.add_guest(218)
    for vmid in (219, 220, 221):
        cluster.add_guest(vmid, running=True)
    cluster.add_storage("thin", "lvmthin")
    cluster.add_os_template(OS)
    cluster.add_pool("leases")
    cluster.add_token(Token(POOR, SECRET, everything=False))
    cluster.advance(60)
    tokens = {ROOT: console.token, POOR: f"{POOR}={SECRET}"}
    last = ""

    async def ask(exchange: Exchange) -> str:
        nonlocal last
        path = exchange.path.replace(LAST, last)
        token = None if exchange.token is None else tokens.get(exchange.token, exchange.token)
        request = ApiRequest(exchange.method, path, dict(exchange.params), token)
        answer = cluster.handle(request)
        ended = ""
        if answer.status == 200 and str(answer.data).startswith("UPID:"):
            last = str(answer.data)
            ended = str(console.ended(last))
        return exchange.said(answer.status, answer.reason, ended, answer.data)

    return ask


def peer() -> FakePve:
    """Return the peer, with the same guests; its tasks are done at once."""
    made = FakePve(user="root@pam", password=SECRET)
    made.time_scale = 0
    made.nodes.clear()
    made.add_node("pve")
    made.apitokens |= {ROOT: SECRET, POOR: SECRET}
    made.acl = {POOR: []}
    disk = {"scsi0": "local:218/vm-218-disk-0.qcow2,size=4G", "memory": "2048", "cores": 1}
    base = disk | {"scsi0": "local:9000/base-9000-disk-0.qcow2,size=4G"}
    made.add_vm(9000, "debian-template", node="pve", config=base, template=True)
    made.add_vm(218, "guest-218", node="pve", config=disk)
    for vmid in (219, 220, 221):
        own = disk | {"scsi0": f"local:{vmid}/vm-{vmid}-disk-0.qcow2,size=4G"}
        made.add_vm(vmid, f"guest-{vmid}", node="pve", config=own, status="running")
    made.storages["thin"] = dict(made.storages["local-lvm"])
    made.store_file("local", OS, 126_515_062, content="vztmpl")
    made.pools["leases"] = set()
    return made


def theirs(client: TestClient[Any, Any]) -> Ask:
    """Return how the peer is asked."""
    last = ""

    async def call(method: str, path: str, exchange: Exchange) -> tuple[int, str, object]:
        params = dict(exchange.params) if exchange.method == method else {}
        query, form = (None, params) if method in {"POST", "PUT"} else (params, None)
        headers = {}
        if exchange.token is not None:
            headers["Authorization"] = f"PVEAPIToken={exchange.token}={SECRET}"
        url = f"/api2/json{path}"
        async with client.request(method, url, params=query, data=form, headers=headers) as answer:
            body = await answer.read()
        data = json.loads(body).get("data") if body.startswith(b"{") else None
        return answer.status, str(answer.reason), data

    async def ask(exchange: Exchange) -> str:
        nonlocal last
        path = exchange.path.replace(LAST, last)
        status, reason, data = await call(exchange.method, path, exchange)
        ended = ""
        if status == 200 and str(data).startswith("UPID:"):
            last = str(data)
            ended = await how_it_ended()
        return exchange.said(status, reason, ended, data)

    async def how_it_ended() -> str:
        look = Exchange("GET", f"{NODE}/tasks/{last}/status")
        for _ in range(200):
            _, _, row = await call("GET", look.path, look)
            if isinstance(row, dict) and row["status"] == "stopped":
                return str(row["exitstatus"])
            await asyncio.sleep(0)
        raise AssertionError(f"{last} does not end")

    return ask
