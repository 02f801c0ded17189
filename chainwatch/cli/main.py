"""`chainwatch`: every command, and how it ends.

Exit codes: 0, 1 for what went wrong (one sentence on standard error, never a traceback for what was
foreseen), 2 for how it was typed.
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from chainwatch import __version__
from chainwatch.cli import (
    daemon,
    history,
    later,
    leases,
    nodes,
    orders,
    proxmox,
    simulator,
    sources,
    status,
    wishes,
)
from chainwatch.cli.printing import clean
from chainwatch.errors import ChainwatchError
from provisioner.errors import ProvisionError

app = typer.Typer(
    name="chainwatch",
    help="Keeps a Proxmox VE cluster the way the lease contracts on EVM chains say it should be.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for _command in (
    daemon.run,
    status.status,
    leases.leases,
    leases.show,
    history.operations,
    history.events,
    history.orphans,
    status.alarms,
    history.audit,
    orders.hold,
    orders.release,
    orders.suspend,
    orders.unsuspend,
    orders.retry,
    wishes.cancel,
    wishes.start,
    wishes.stop,
    wishes.kill,
    wishes.reboot,
    wishes.snapshot,
    wishes.rollback,
    wishes.reinstall,
    wishes.withdraw,
    wishes.adopt,
    orders.pause,
    orders.resume_all,
    orders.survey,
    daemon.check,
    daemon.rebuild,
    simulator.simulator,
):
    app.command(_command.__name__.replace("_", "-"))(_command)
app.add_typer(sources.app, name="source", help="How the chains are read, and what on a halt.")
app.add_typer(nodes.app, name="node", help="What has to be put on a node for SSH.")
app.add_typer(
    later.app, name="contract", help="The lease contract: make it, sell with it, collect."
)
app.add_typer(proxmox.app, name="proxmox", help="What the daemon needs of the cluster.")


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainwatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_tell_version, help="Show the version and exit.", is_eager=True
        ),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (ChainwatchError, ProvisionError, BaseExceptionGroup) as error:
        sentences = list(_sentences(error))
        if not sentences:
            raise
        typer.echo(f"chainwatch: {clean(sentences[0])}", err=True)
        raise SystemExit(1) from None


def _sentences(error: BaseException) -> Iterator[str]:
    """Yield what was foreseen among the errors of tasks; nothing when something was not."""
    if isinstance(error, BaseExceptionGroup):
        told = [list(_sentences(each)) for each in error.exceptions]
        if all(told):
            yield from (sentence for each in told for sentence in each)
    elif isinstance(error, ChainwatchError | ProvisionError):
        yield str(error)
