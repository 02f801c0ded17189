"""What our programs have in common: their options, and how they end.

A program ends with 0, with 1 for what went wrong (one sentence on standard error, never a traceback
for what was foreseen), and with 2 for how it was typed.
"""

from collections.abc import Iterator
from typing import Annotated

import typer

from chainwatch import __version__
from chainwatch.cli.printing import clean
from chainwatch.errors import ChainwatchError, Fatal
from provisioner.errors import ProvisionError


def program(name: str, purpose: str) -> typer.Typer:
    """Return a program without commands that knows `--version`."""
    app = typer.Typer(
        name=name,
        help=purpose,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    def tell_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"{name} {__version__}")
            raise typer.Exit

    @app.callback()
    def options(
        *,
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=tell_version, help="Show the version and exit.", is_eager=True
            ),
        ] = False,
    ) -> None:
        del version

    return app


def run(app: typer.Typer) -> None:
    """Run a program to its end."""
    try:
        app()
    except (ChainwatchError, ProvisionError, BaseExceptionGroup) as error:
        sentences = list(_sentences(error))
        if not sentences:
            raise
        typer.echo(f"{app.info.name}: {sentences[0]}", err=True)
        raise SystemExit(1) from None


def _sentences(error: BaseException) -> Iterator[str]:
    """Yield what was foreseen among the errors of tasks; nothing when something was not.

    What is wrong with a configuration is a line for each problem, all of them our own words; any
    other error is one line, whatever a node or a guest put into it.
    """
    if isinstance(error, BaseExceptionGroup):
        told = [list(_sentences(each)) for each in error.exceptions]
        if all(told):
            yield from (sentence for each in told for sentence in each)
    elif isinstance(error, Fatal):
        yield "\n".join(map(clean, str(error).split("\n")))
    elif isinstance(error, ChainwatchError | ProvisionError):
        yield clean(str(error))
