"""Orders about one machine: its power, its snapshots, reinstall; and taking one back.

And what settles whose a machine is: adopt, and cancel for one that can't be had. The daemon does
them as soon as it may, and says in `chainwatch show` what came of each. What loses data asks first;
in a script `--yes` stands for the answer.
"""

from typing import Annotated, TypeAlias

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, Client, lease_route
from chainwatch.cli.answers import Answer
from chainwatch.cli.options import Lease, Reason, Socket
from chainwatch.errors import OperatorError

Yes: TypeAlias = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def start(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Start a machine that its owner, or an order, switched off."""
    _order(socket, lease, "start", reason)


def stop(lease: Lease, *, reason: Reason, socket: Socket = DEFAULT_SOCKET) -> None:
    """Shut a machine down, by force if it does not listen, and leave it off."""
    _order(socket, lease, "stop", reason)


def kill(lease: Lease, *, reason: Reason, socket: Socket = DEFAULT_SOCKET) -> None:
    """Cut a machine's power at once, and leave it off."""
    _order(socket, lease, "kill", reason)


def reboot(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Shut a machine down and start it again."""
    _order(socket, lease, "reboot", reason)


def snapshot(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Take a snapshot of a machine's disks."""
    number = _order(socket, lease, "snapshot", reason)
    typer.echo(f"the snapshot will be called order-{number}")


def rollback(
    lease: Lease,
    name: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="The snapshot's name.")],
    *,
    reason: Reason,
    yes: Yes = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Give a machine back the disks of a snapshot, and start it."""
    _agree(f"What {lease} wrote to its disks since {name} is lost. Roll it back?", yes=yes)
    _order(socket, lease, "rollback", reason, snapshot=name)


def reinstall(
    lease: Lease, *, reason: Reason, yes: Yes = False, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Destroy a machine and make it anew, with the same VMID and addresses."""
    _agree(f"Everything that is inside the machine of {lease} is lost. Make it anew?", yes=yes)
    _order(socket, lease, "reinstall", reason)


def cancel(
    lease: Lease, *, reason: Reason, yes: Yes = False, socket: Socket = DEFAULT_SOCKET
) -> None:
    """Give back all that was paid for a lease that was not delivered."""
    _agree(f"{lease} is burnt on the chain, and its buyer has all back. Cancel it?", yes=yes)
    Client(socket).post(lease_route(lease, "cancel"), {"reason": reason})
    typer.echo(f"{lease} will be cancelled; `chainwatch show {lease}` says how far that is")


def withdraw(
    lease: Lease,
    number: Annotated[int, typer.Argument(metavar="ORDER", help="The order's number.")],
    *,
    reason: Reason = "",
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Take an order back that has not begun."""
    route = lease_route(lease, f"orders/{number}/withdraw")
    Client(socket).post(route, {"reason": reason})
    typer.echo(f"order {number} is withdrawn; nothing is done for it")


def adopt(
    vmid: Annotated[int, typer.Argument(metavar="VMID", help="The machine.")],
    lease: Lease,
    *,
    reason: Reason,
    yes: Yes = False,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Vouch for a machine that proves nothing: it becomes a lease's."""
    client, route = Client(socket), lease_route(lease, f"adopt/{vmid}")
    found = Answer.of(client.get(route))
    for line in found.texts("evidence"):
        typer.echo(f"  {line}", err=True)
    if found.text("refusal"):
        raise OperatorError(f"VM {vmid} cannot be adopted: {found.text('refusal')}")
    _agree(
        f"Its cable is pulled until the owner's key was let in. Is VM {vmid} the machine of "
        f"{found.text('lease')}?",
        yes=yes,
    )
    client.post(route, {"reason": reason})
    typer.echo(f"VM {vmid} is adopted; `chainwatch show {lease}` says what is done to it")


def _agree(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question, err=True):
        raise typer.Exit(1)


def _order(socket: Socket, lease: str, verb: str, reason: str, *, snapshot: str = "") -> int:
    body = {"order": verb, "snapshot": snapshot, "reason": reason}
    number = Answer.of(Client(socket).post(lease_route(lease, "orders"), body)).number("number")
    typer.echo(f"order {number}: {verb}; `chainwatch show {lease}` says what comes of it")
    return number
