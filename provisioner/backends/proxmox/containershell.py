"""The way into a container: Proxmox tells its network, and nothing else by way of its API.

That a container has come up shows by the addresses of its card, which its init has to set. There is
no agent in it and no call that runs anything there, so its keys can be changed from its node alone,
by `inside`, where there is one. Without, a change of owner leaves the container cut off from the
network, for the former owner's key still opens it.
"""

from provisioner.backends.proxmox.answers import records, text
from provisioner.backends.proxmox.api import Api
from provisioner.backends.proxmox.bynode import ByNode
from provisioner.backends.proxmox.errors import reading
from provisioner.backends.proxmox.paths import guest_path
from provisioner.errors import Permanent
from provisioner.faultpoints import guarded
from provisioner.model import Kind
from provisioner.ports import GuestShell


class ContainerShell:
    """See `provisioner.ports.GuestShell`; `inside` works from the node."""

    def __init__(self, api: Api, inside: GuestShell | None = None) -> None:
        self._api: Api = ByNode(api)
        self._inside = inside

    @guarded("guest.answers")
    async def answers(self, node: str, vmid: int) -> bool:
        """Say whether the container has an address on a card of its own: nobody waits for it."""
        path = f"{guest_path(node, vmid, Kind.CONTAINER)}/interfaces"
        with reading(f"the network of container {vmid}"):
            cards = records(await self._api.call("GET", path), "interfaces")
        return any(
            text(card, "name") != "lo" and (text(card, "inet") or text(card, "inet6"))
            for card in cards
        )

    @guarded("guest.set_authorized_keys")
    async def set_authorized_keys(self, node: str, vmid: int, user: str, keys: str) -> None:
        """Replace the keys of `user` from the node. Raises Permanent where nothing leads there."""
        await self._from_its_node(vmid).set_authorized_keys(node, vmid, user, keys)

    @guarded("guest.set_gecos")
    async def set_gecos(self, node: str, vmid: int, user: str, gecos: str) -> None:
        """Say from the node whose account it is. Raises Permanent where nothing leads there."""
        await self._from_its_node(vmid).set_gecos(node, vmid, user, gecos)

    @guarded("guest.end_sessions")
    async def end_sessions(self, node: str, vmid: int, user: str) -> None:
        """End the sessions of `user` from the node. Raises Permanent where nothing leads there."""
        await self._from_its_node(vmid).end_sessions(node, vmid, user)

    @guarded("guest.host_keys")
    async def host_keys(self, node: str, vmid: int) -> tuple[str, ...]:
        """Read them from the node; where nothing leads there, none are known."""
        return () if self._inside is None else await self._inside.host_keys(node, vmid)

    def _from_its_node(self, vmid: int) -> GuestShell:
        if self._inside is None:
            raise Permanent(
                f"the keys of container {vmid} can only be changed over SSH to its node: configure "
                "[nodes_ssh], restart, then retry"
            )
        return self._inside
