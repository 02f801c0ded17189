"""`chainwatch run`, `rebuild` and `check`: the commands that (may) read the configuration.

The daemon's own modules are imported when one of them runs, not before: asking a daemon something
should not cost what being one does.
"""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, LONG_PATIENCE, Client, Json, NotRunning
from chainwatch.cli.answers import answers
from chainwatch.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, Socket
from chainwatch.cli.printing import coloured, show_json, table


def run(*, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    signal.signal(signal.SIGTERM, _nothing_begun)
    from chainwatch import app

    raise typer.Exit(app.run(config))


def _nothing_begun(number: int, frame: FrameType | None) -> None:
    """End at once, in order: told to stop while still being loaded, there is nothing to finish."""
    del number, frame
    os._exit(0)


def rebuild(*, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make the database again; stop the daemon first."""
    from chainwatch import app

    report = app.rebuild(config)
    typer.echo(f"rebuilt: {report.leases} leases, {report.machines} machines of ours")
    if report.orphans:
        typer.echo(f"not ours to touch: VMs {', '.join(map(str, report.orphans))}")
    typer.echo("destroys are paused until you have looked: `chainwatch leases`, then `resume-all`")


def check(
    *,
    config: ConfigFile = DEFAULT_CONFIG,
    deep: Annotated[
        bool, typer.Option("--deep", help="Hold every lease against its contract as well.")
    ] = False,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """Check that all is as the daemon needs it."""
    try:
        body = {"deep": "yes" if deep else "no"}
        found = Client(socket).post("/check", body, patience=LONG_PATIENCE)
    except NotRunning:
        found = _without_daemon(config, deep=deep)
    if as_json:
        show_json(found)
    else:
        _print(found)
    if not all(finding.flag("ok") for finding in answers(found)):
        raise typer.Exit(1)


def _without_daemon(config: Path, *, deep: bool) -> Json:
    from chainwatch.app import check as check_alone

    return [
        {
            "subject": finding.subject,
            "ok": finding.ok,
            "text": finding.text,
            "warning": finding.warning,
        }
        for finding in check_alone(config, deep=deep)
    ]


def _result(*, ok: bool, warning: bool) -> str:
    return "failed" if not ok else "warning" if warning else "ok"


def _print(found: Json) -> None:
    rows = [
        (
            coloured(_result(ok=finding.flag("ok"), warning=finding.flag("warning"))),
            finding.text("subject"),
            finding.text("text"),
        )
        for finding in answers(found)
    ]
    table(("RESULT", "WHAT", "FOUND"), rows, "nothing was looked at")
