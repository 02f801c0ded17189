"""`chainwatch-lease`: a lease's whole life from a terminal, with a keystore and a node.

Exit codes: 0, 1 for what went wrong (one sentence on standard error), 2 for how it was typed.
"""

from typing import Annotated

import typer

from chainwatch import __version__
from chainwatch.cli import buyer_looks, buyer_orders, buyer_sales
from chainwatch.cli.printing import clean
from chainwatch.errors import ChainwatchError

app = typer.Typer(
    name="chainwatch-lease",
    help="Buys machines that are leased on a chain, and gets into them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

for _command in (
    buyer_looks.plans,
    buyer_sales.buy,
    buyer_sales.renew,
    buyer_looks.show,
    buyer_looks.connect,
    buyer_orders.end,
    buyer_orders.refund,
    buyer_orders.claim,
    buyer_orders.transfer,
    buyer_orders.keys,
    buyer_orders.action,
    buyer_sales.upgrade,
    buyer_orders.decline_renewal,
    buyer_orders.allow_renewal,
):
    app.command(_command.__name__.replace("_", "-"))(_command)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chainwatch-lease {__version__}")
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
    except ChainwatchError as error:
        typer.echo(f"chainwatch-lease: {clean(str(error))}", err=True)
        raise SystemExit(1) from None
