"""What a node is told of a machine besides its configuration: its IPv6 route, its isolated ports.

A node forgets both: routes when it boots, the isolation of a port when the guest starts. So each
verb that starts a machine puts them back, and so does `gc`, for every machine of the command line
that stands on a node we reach. How it fails: the command says so and fails, and the same command,
or the next `gc`, tries again. The firewall is what keeps tenants apart until then.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Final

from provisioner.census import Found
from provisioner.driver import PASSING
from provisioner.errors import AgentSilent, Declined, ProvisionError
from provisioner.ports import NodeShell
from provisioner.verbs.order import Order
from provisioner.workshop import Workshop

#: For how many seconds a machine that was started is waited for to have ports.
PORTLESS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Errand:
    """Something that a node is to be told of a machine; `to` is where its route leads, if it is."""

    node: str
    vmid: int
    address: str = ""
    to: str = ""

    def __str__(self) -> str:
        if self.address:
            return f"route {self.address} of VM {self.vmid} to {self.to} on {self.node}"
        return f"isolate the ports of VM {self.vmid} on {self.node}"


def check(shop: Workshop, order: Order) -> None:
    """Refuse a machine on a node that could not be told of it. Raises Declined."""
    if not _wanted(shop):
        return
    nodes = shop.settings.limits.nodes if order.node is None else frozenset({order.node})
    if not shop.reached or (nodes and not nodes & shop.reached):
        among = ", ".join(sorted(nodes)) or "the cluster"
        raise Declined(
            f"no node of {among} can be told of routes and ports: write a line for it into "
            "nodes_ssh.known_hosts, see docs/howto/nodes-ssh.md"
        )


async def tend(shop: Workshop, name: str) -> None:
    """Tell the node of a machine that was just started; waits for its ports."""
    if not _wanted(shop):
        return
    end = shop.clock.monotonic() + PORTLESS
    while True:
        found = await shop.existing(name)
        try:
            errands, ready = await _of(shop, found)
            for errand in errands:
                await run(shop, errand)
        except PASSING as error:
            await shop.patience.outlast(error)
            continue
        if ready:
            return
        if shop.clock.monotonic() >= end:
            shop.say(f"{name} has no port on any bridge yet: the next gc isolates it")
            return
        await shop.patience.wait(f"{name} has no port on any bridge yet")


async def due(shop: Workshop, machines: Iterable[Found]) -> tuple[list[Errand], list[str]]:
    """Return what nodes are to be told, and a sentence for each that did not answer."""
    errands: list[Errand] = []
    failures: list[str] = []
    if _wanted(shop):
        by_node: dict[str, list[Found]] = {}
        for found in machines:
            by_node.setdefault(found.node, []).append(found)
        for node, there in sorted(by_node.items()):
            try:
                standing = await _standing(shop, node)
            except ProvisionError as error:
                failures.append(f"routes and ports: {error}")
                continue
            for found in there:
                errands += _missing(shop, found, standing)
    return errands, failures


async def run(shop: Workshop, errand: Errand) -> None:
    """Tell a node; a guest that was shut down meanwhile has no ports to isolate."""
    nodes = _shell(shop)
    if errand.address:
        await nodes.route(errand.node, errand.address, errand.to)
        return
    try:
        await nodes.isolate(errand.node, errand.vmid)
    except AgentSilent:
        return


@dataclass(frozen=True, slots=True)
class _Standing:
    """What a node has now: routes, and of every guest with ports whether they are isolated."""

    routes: Mapping[str, str]
    isolated: Mapping[int, bool]


def _wanted(shop: Workshop) -> bool:
    """Whether nodes are to be told anything; in a daemon's file they may be out of reach."""
    if not shop.settings.tends:
        return False
    if shop.nodes is None:
        shop.patience.tell(
            "nodes are not told of routes and ports: the key of [nodes_ssh] is not at hand"
        )
        return False
    return True


def _shell(shop: Workshop) -> NodeShell:
    if shop.nodes is None:
        raise Declined("nodes are told of routes and ports over SSH: write [nodes_ssh]")
    return shop.nodes


async def _of(shop: Workshop, found: Found) -> tuple[list[Errand], bool]:
    """Return what is missing for a machine, and whether that was all."""
    standing = await _standing(shop, found.node)
    ready = not shop.settings.isolate or found.vmid in standing.isolated
    return list(_missing(shop, found, standing)), ready


async def _standing(shop: Workshop, node: str) -> _Standing:
    nodes, settings = _shell(shop), shop.settings
    return _Standing(
        await nodes.routes(node) if settings.host_routes else {},
        await nodes.isolated(node) if settings.isolate else {},
    )


def _missing(shop: Workshop, found: Found, standing: _Standing) -> Iterator[Errand]:
    site, cidr = shop.settings.site, shop.settings.site.pool.addresses(found.vmid).ipv6
    if shop.settings.host_routes and cidr is not None:
        address = str(ip_interface(cidr).ip)
        if standing.routes.get(address) != site.bridge:
            yield Errand(found.node, found.vmid, address, site.bridge)
    if standing.isolated.get(found.vmid) is False:
        yield Errand(found.node, found.vmid)
