"""The user-data of a machine that is made by hand: what it says, where it lies, when it goes.

A template of ours is filled in for the machine, or its maker hands over a whole `#cloud-config`;
either lies as a snippet on the machine's node, put there over SSH, for as long as the machine is
there. What cannot be put is refused before anything is made. A snippet that could not be dropped
with its machine is told, and the next `gc` drops it.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from provisioner.census import Found
from provisioner.driver import PASSING
from provisioner.errors import Declined, ProvisionError
from provisioner.model import DesiredMachine, GuestConfig
from provisioner.names import name_of
from provisioner.render import GuestFacts, Wallet, user_data
from provisioner.snippets import Snippets, name_in
from provisioner.sweeping import Sweeper
from provisioner.verbs.order import Order
from provisioner.workshop import Workshop

NO_WAY: Final = (
    "user-data is put on the machine's node over SSH: write [nodes_ssh], see "
    "docs/howto/nodes-ssh.md"
)
#: A machine whose user-data is filled in to see that it can be.
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Leftover:
    """A snippet that no machine needs."""

    node: str
    name: str

    def __str__(self) -> str:
        return f"drop snippet {self.name} on {self.node}"


def snippets(shop: Workshop, order: Order) -> Snippets | None:
    """Return how the machine gets its user-data, None where Proxmox's own settings suffice."""
    if order.user_data:
        return Snippets(shop.settings.snippet_storage, lambda *_: order.user_data)
    if order.cloud_init:
        return Snippets(shop.settings.snippet_storage, partial(_filled, shop, order))
    return None


def check(shop: Workshop, order: Order, want: DesiredMachine) -> None:
    """Refuse user-data that could not be made or put anywhere. Raises Declined and Permanent."""
    wanted = snippets(shop, order)
    if wanted is None:
        return
    if shop.nodes is None:
        raise Declined(NO_WAY)
    nodes = shop.settings.limits.nodes if order.node is None else frozenset({order.node})
    if not shop.reached or (nodes and not nodes & shop.reached):
        among = ", ".join(sorted(nodes)) or "the cluster"
        raise Declined(
            f"user-data can be put on no node of {among}: write a line for it into "
            "nodes_ssh.known_hosts, see docs/howto/nodes-ssh.md"
        )
    wanted.content(want, shop.settings.site.pool.first, _NOBODY)


def _filled(shop: Workshop, order: Order, want: DesiredMachine, vmid: int, uuid: str) -> str:
    wallet = None
    if order.gecos is not None:
        addresses = shop.settings.site.pool.addresses(vmid)
        wallet = Wallet.at(addresses, order.gecos.wallet, order.gecos.nft, want.key, uuid)
    user = shop.site(want.card).user
    return user_data(order.cloud_init, GuestFacts(want.name, user, want.access.ssh_key, wallet))


# ------------------------------------------------------------------------------------- when it goes


def read_by(machines: Iterable[Found]) -> Callable[[int, str], bool]:
    """Return who tells what machines read, by VMID and name, as they were seen."""
    named = {(each.vmid, name_in(each.config.settings.cicustom)) for each in machines}
    return lambda vmid, name: (vmid, name) in named


async def left_over(
    shop: Workshop, known: Callable[[int, str], bool]
) -> tuple[list[Leftover], list[str]]:
    """Return the snippets that nobody needs, and a sentence for each node that did not tell.

    What machines are `known` to read, by VMID and name, they keep.
    """
    found: list[Leftover] = []
    failures: list[str] = []
    for node in await _there(shop):
        try:
            async for each in _on(shop, node, known):
                found.append(each)  # noqa: PERF401 - what was found before it failed is kept
        except ProvisionError as error:
            failures.append(f"snippets: {error}")
    return found, failures


async def drop(shop: Workshop, each: Leftover) -> None:
    """Drop a snippet; one that is not there is dropped."""
    if shop.nodes is not None:
        await shop.nodes.drop_snippet(each.node, each.name)


async def drop_all(shop: Workshop, gone: int | None = None) -> None:
    """Drop what nobody needs; what stands in the way is told, and the next `gc` tries again.

    Whoever has a VMID by now is read where our machine there is `gone`; of the others, by `gc`.
    """
    failures: list[str] = []
    try:
        found, failures = await left_over(shop, lambda vmid, _: vmid != gone)
        for each in found:
            await drop(shop, each)
    except ProvisionError as error:
        failures.append(f"snippets: {error}")
    for sentence in failures:
        shop.say(f"left for the next gc: {sentence}")


async def drop_of(shop: Workshop, gone: Found) -> None:
    """Drop what a machine that is gone was made with. Raises what does not pass."""
    if not name_in(gone.config.settings.cicustom):
        await drop_all(shop, gone.vmid)  # it may have died before its configuration named any
        return
    if shop.nodes is None:
        shop.say(f"the user-data of {gone.name} stays on its node: {NO_WAY}, then run gc")
        return
    while True:
        try:
            for node in await _there(shop):
                async for each in _on(shop, node, lambda vmid, _: vmid != gone.vmid):
                    await drop(shop, each)
        except PASSING as error:
            await shop.patience.outlast(error)
            continue
        return


async def _there(shop: Workshop) -> Sequence[str]:
    """Return the nodes that we reach and that are there now."""
    if shop.nodes is None:
        return ()
    online = frozenset((await shop.snapshots.get()).nodes)
    for node in sorted(shop.reached - online):
        shop.say(f"node {node} is away: its snippets are looked at when it is back")
    return sorted(shop.reached & online)


async def _on(
    shop: Workshop, node: str, known: Callable[[int, str], bool]
) -> AsyncIterator[Leftover]:
    if shop.nodes is None:
        return
    sweeper = Sweeper(
        *(shop.nodes, shop.hypervisor, shop.snapshots, shop.settings.site.pool),
        shop.settings.snippet_storage,
        shop.clock.monotonic,
        partial(_changing, shop),
    )
    async for name in sweeper.needless(node, await shop.nodes.snippets(node), known):
        yield Leftover(node, name)


async def _changing(shop: Workshop, vmid: int, config: GuestConfig) -> bool:
    """Say whether a guest may soon name another snippet: a machine until it was seen to run once.

    The daemon's are the daemon's affair, which takes care of theirs; who proves nothing is nobody
    whom we would have name any.
    """
    proof = shop.settings.site.signer.prove(config.description, vmid)
    if proof is None:
        return False
    identity, stamps = proof
    return name_of(identity.key) is None or not stamps.started
