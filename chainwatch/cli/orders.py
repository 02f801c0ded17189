"""Orders: hold, release, suspend, unsuspend, retry, pause, resume-all, survey.

Every one is done by the daemon in the name of the user who typed it, and kept in the audit.
"""

from enum import StrEnum
from typing import Annotated

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, Client, lease_route
from chainwatch.cli.answers import Answer, answers
from chainwatch.cli.options import Lease, Reason, Socket


class Scope(StrEnum):
    """What is paused."""

    EFFECTS = "effects"
    DESTROYS = "destroys"


def hold(lease: Lease, *, reason: Reason, socket: Socket = DEFAULT_SOCKET) -> None:
    """Take nothing away from a lease from now on."""
    Client(socket).post(lease_route(lease, "hold"), {"reason": reason})
    typer.echo(f"{lease} is held; `chainwatch release {lease}` lifts it")


def release(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Lift the hold of a lease."""
    Client(socket).post(lease_route(lease, "release"), {"reason": reason})
    typer.echo(f"{lease} is no longer held")


def suspend(lease: Lease, *, reason: Reason, socket: Socket = DEFAULT_SOCKET) -> None:
    """Suspend a lease, paid or not (abuse)."""
    Client(socket).post(lease_route(lease, "suspend"), {"reason": reason})
    typer.echo(f"{lease} will be suspended; `chainwatch unsuspend {lease}` lifts it")


def unsuspend(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Lift a suspension by order."""
    Client(socket).post(lease_route(lease, "unsuspend"), {"reason": reason})
    typer.echo(f"{lease} is no longer suspended by order; the chain decides again")


def retry(lease: Lease, *, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Try a lease again now, parked or not."""
    answer = Answer.of(Client(socket).post(lease_route(lease, "retry"), {"reason": reason}))
    was = "was given up and is" if answer.flag("was_parked") else "is"
    typer.echo(f"{lease} {was} tried again now; `chainwatch show {lease}` says what comes of it")


def pause(
    what: Annotated[Scope, typer.Argument(help="Every effect, or only destroys.")] = Scope.EFFECTS,
    *,
    reason: Reason,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    """Stop changing machines, or only destroying."""
    Client(socket).post("/pause", {"scope": what.value, "reason": reason})
    typer.echo(f"{what} are paused; `chainwatch resume-all` goes on")


def resume_all(*, reason: Reason = "", socket: Socket = DEFAULT_SOCKET) -> None:
    """Lift every pause and look at all leases."""
    lifted = answers(Client(socket).post("/resume-all", {"reason": reason}))
    typer.echo(f"resumed: {', '.join(pause.text('scope') for pause in lifted)}")


def survey(*, socket: Socket = DEFAULT_SOCKET) -> None:
    """Look at every machine in our range now."""
    found = answers(Client(socket).post("/survey"))
    vmids = ", ".join(each.text("vmid") for each in found)
    typer.echo(f"surveyed; not ours to touch: {vmids or 'none'}")
