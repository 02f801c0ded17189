"""Where a guest is found below `/api2/json`: each kind has a branch of its own."""

from provisioner.model import Kind


def guest_path(node: str, vmid: int, kind: Kind = Kind.VM) -> str:
    """Return the path of a guest on a node."""
    return f"/nodes/{node}/{'lxc' if kind is Kind.CONTAINER else 'qemu'}/{vmid}"
