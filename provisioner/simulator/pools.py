"""Resource pools: which guests and storages belong together, and who may say so.

A guest is in one pool at most, and moves only when that is allowed in so many words; a pool with
members, or with a pool below it, stays. A new guest is no pool's until its task puts it there.
"""

import re
from typing import Final

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask, allows, require
from provisioner.simulator.endpoint import Route, Rules
from provisioner.simulator.nodes import resource_row
from provisioner.simulator.params import FLAG, TEXT, Rule
from provisioner.simulator.state import Pool, State
from provisioner.simulator.storages import storage_resources
from provisioner.simulator.wire import Refused

NAME: Final = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}")


def _row(pool: Pool) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {"poolid": pool.name}
    return row | ({"comment": pool.comment} if pool.comment else {})


def list_pools(state: State, ask: Ask) -> JsonValue:
    """GET pools: those that the token may see; with `poolid` that one and its members."""
    if "poolid" in ask.params:
        pool = _pool(state, ask.text("poolid"))
        require(state, ask.token, f"/pool/{pool.name}", "Pool.Audit")
        return [_row(pool) | {"members": _members(state, ask, pool)}]
    return [
        _row(pool)
        for pool in state.pools.values()
        if allows(state, ask.token, f"/pool/{pool.name}", "Pool.Audit")
    ]


def read_pool(state: State, ask: Ask) -> JsonValue:
    """GET pools/{poolid}: its members as cluster/resources shows them."""
    pool = _pool(state, ask.names["poolid"])
    return _row(pool) | {"members": _members(state, ask, pool)}


def _pool(state: State, name: str, doing: str = "") -> Pool:
    pool = state.pools.get(name)
    if pool is None:
        raise Refused(f"{doing}pool '{name}' does not exist")
    return pool


def _members(state: State, ask: Ask, pool: Pool) -> list[JsonValue]:
    guests = [state.guests[vmid] for vmid in sorted(pool.members) if vmid in state.guests]
    rows = [resource_row(state, guest, None) for guest in guests]
    return rows + [
        row
        for row in storage_resources(state, ask)
        if isinstance(row, dict) and row["storage"] in pool.storages
    ]


def create_pool(state: State, ask: Ask) -> JsonValue:
    """POST pools."""
    name = ask.text("poolid")
    if NAME.fullmatch(name) is None:  # a path that is none is nobody's to allocate
        raise Refused("Permission check failed (, Pool.Allocate)", 403)
    if name in state.pools:
        raise Refused(f"create pool failed: pool '{name}' already exists")
    parent = name.rpartition("/")[0]
    if parent and parent not in state.pools:
        raise Refused(f"create pool failed: parent '{parent}' of pool '{name}' does not exist")
    state.pools[name] = Pool(name, ask.text("comment"))
    return None


def change_pool(state: State, ask: Ask) -> JsonValue:
    """PUT pools/{poolid}: its comment; put guests and storages in, with `delete` out."""
    name = ask.names.get("poolid") or ask.text("poolid")
    pool, failed = _pool(state, name, "update pools failed: "), "update pools failed: "
    pool.comment = ask.text("comment", pool.comment)
    for word in _words(ask.text("vms")):
        _change_guest(state, ask, pool, int(word))
    for storage in _words(ask.text("storage")):
        if ask.flag("delete") != (storage in pool.storages):
            told = "is not" if ask.flag("delete") else "is already"
            raise Refused(f"{failed}Storage '{storage}' {told} a pool member")
        (pool.storages.discard if ask.flag("delete") else pool.storages.add)(storage)
    return None


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[,;\s]+", text) if word]


def _change_guest(state: State, ask: Ask, pool: Pool, vmid: int) -> None:
    if ask.flag("delete"):
        if vmid not in pool.members:
            raise Refused(f"update pools failed: VM {vmid} is not a pool member")
        pool.members.discard(vmid)
        return
    if vmid in pool.members:
        raise Refused(f"update pools failed: VM {vmid} is already a pool member")
    other = next((p for p in state.pools.values() if vmid in p.members), None)
    if other is not None and not ask.flag("allow-move"):
        belongs = f"VM {vmid} belongs already to pool '{other.name}'"
        raise Refused(f"update pools failed: {belongs} and 'allow-move' is not set")
    if other is not None:
        other.members.discard(vmid)
    pool.members.add(vmid)


def delete_pool(state: State, ask: Ask) -> JsonValue:
    """DELETE pools/{poolid}: an empty one."""
    name = ask.names.get("poolid") or ask.text("poolid")
    failed = "delete pool failed: "
    pool = _pool(state, name, failed)
    held = [f"pool '{other}'" for other in state.pools if other.startswith(f"{name}/")]
    held += [f"VM {vmid}" for vmid in sorted(pool.members) if vmid in state.guests]
    held += [f"storage '{storage}'" for storage in sorted(pool.storages)]
    if held:
        raise Refused(f"{failed}pool '{name}' is not empty (contains {held[0]})")
    del state.pools[name]
    return None


def _vmids(text: str) -> str | None:
    if all(word.isascii() and word.isdecimal() for word in _words(text)):
        return None
    return "invalid format - value does not look like a valid VM ID\n"


OWNER: Final = ("/pool/{poolid}", "Pool.Allocate")
POOL: Final = Rule(required=True)
CHANGE: Final[Rules] = {
    "comment": TEXT,
    "vms": Rule(check=_vmids),
    "storage": TEXT,
    "delete": FLAG,
    "allow-move": FLAG,
}
POOL_ROUTES: Final = (
    Route("GET", "/pools", list_pools, {"poolid": TEXT}, None, lists=True),
    Route("POST", "/pools", create_pool, {"poolid": POOL, "comment": TEXT}, OWNER),
    Route("PUT", "/pools", change_pool, CHANGE | {"poolid": POOL}, OWNER),
    Route("DELETE", "/pools", delete_pool, {"poolid": POOL}, OWNER),
    Route("GET", "/pools/{poolid}", read_pool, {}, ("/pool/{poolid}", "Pool.Audit")),
    Route("PUT", "/pools/{poolid}", change_pool, CHANGE, OWNER),
    Route("DELETE", "/pools/{poolid}", delete_pool, {}, OWNER),
)
