"""`chainwatch node …`: what has to be put on a node before the daemon can reach it over SSH.

Nothing here reaches a node: it prints what a person reads and then puts there, because whoever may
open a node to somebody should not be this program.
"""

import importlib.resources
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from chainwatch.cli.options import DEFAULT_CONFIG, ConfigFile
from chainwatch.errors import OperatorError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

#: What can be printed, and where it goes on a node.
PLACES: Final = {"key": "/root/.ssh/authorized_keys", "config": "/etc/chainwatch-node.conf"}


@app.command()
def authorize(
    *,
    config: ConfigFile = DEFAULT_CONFIG,
    only: Annotated[str, typer.Option("--only", help="Print just the one: key or config.")] = "",
) -> None:
    """Print the authorized_keys line and the helper's configuration for a node."""
    if only and only not in PLACES:
        raise OperatorError(f"--only {only}: write key or config")
    for name, text in _texts(config).items():
        if only == name:
            typer.echo(text, nl=False)
        elif not only:
            typer.echo(f"### {PLACES[name]}\n{text}")


@app.command()
def helper() -> None:
    """Print the helper, which goes to /usr/local/sbin/chainwatch-node."""
    file = importlib.resources.files("provisioner_templates") / "node" / "chainwatch-node"
    typer.echo(file.read_text("utf-8"), nl=False)


def _texts(path: Path) -> dict[str, str]:
    from chainwatch.config import load
    from chainwatch.control.routing import ports, prefixes
    from provisioner.guest.doors import authorized_line, helper_config

    config = load(path, os.environ)
    nodes, pool = config.nodes, config.machines.pool
    if nodes is None:
        raise OperatorError("the configuration has no table [nodes_ssh]: write one")
    machines = config.machines
    to = ports(config.plans, machines.bridge, common=machines.host_routes)
    return {
        "key": f"{authorized_line(nodes.key.reveal())}\n",
        "config": helper_config(
            pool.first,
            pool.last,
            snippets=nodes.snippets,
            prefixes=prefixes(config.plans, pool),
            bridges=dict.fromkeys((*config.bridges, *to)),
        ),
    }
