"""`chainwatch proxmox …`: what has to be done on the cluster before the daemon can work there.

Nothing here asks or changes anything: it prints commands and files for a person to read and then
use on a node, because whoever may hand out privileges, and change templates, should not be this
program.
"""

import os
from typing import Annotated, Final

import typer

from chainwatch.cli.options import DEFAULT_CONFIG, ConfigFile
from chainwatch.errors import OperatorError
from provisioner.backends.proxmox import grant as granting
from provisioner.backends.proxmox.firewall import as_file
from provisioner.backends.proxmox.privileges import RELEASES, Estate, Release

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

#: Who the daemon is on a cluster where nobody says otherwise.
OURSELVES: Final = "chainwatch@pve!daemon"


@app.command()
def grant(
    *,
    template: Annotated[
        list[int], typer.Option("--template", help="VMID of a template; may be repeated.")
    ],
    storage: Annotated[
        list[str], typer.Option("--storage", help="Storage of the disks; may be repeated.")
    ],
    os_template_storage: Annotated[
        list[str] | None,
        typer.Option(help="Storage of containers' archives, or of snippets; may be repeated."),
    ] = None,
    bridge: Annotated[
        list[str] | None,
        typer.Option("--bridge", help="Bridge or VNet; may be repeated.  [default: vmbr0]"),
    ] = None,
    zone: Annotated[
        str, typer.Option("--zone", help="SDN zone, where the bridge is a VNet.")
    ] = "localnetwork",
    pool: Annotated[
        str, typer.Option("--pool", help="Pool of the machines; '' for none.")
    ] = "leases",
    backups: Annotated[
        str, typer.Option("--backups", help="Storage of the backups, with on_destroy = backup.")
    ] = "",
    console: Annotated[
        bool, typer.Option("--console", help="For `chainwatch console`, with console = true.")
    ] = False,
    token_id: Annotated[
        str, typer.Option("--token", help="The token to make, as user@realm!name.")
    ] = OURSELVES,
    release: Annotated[
        int | None, typer.Option("--release", help="Proxmox VE 8 or 9; else both are printed.")
    ] = None,
) -> None:
    """Print the commands that give the daemon's token what it needs."""
    _check_token(token_id)
    estate = Estate(
        templates=tuple(template),
        storages=tuple(storage),
        bridges=tuple(bridge or ["vmbr0"]),
        archives=tuple(os_template_storage or ()),
        pool=pool or None,
        zone=zone,
        backups=backups or None,
        console=console,
    )
    if not estate.pool:
        typer.echo("# Without a pool the token may change every guest of the cluster.")
    for each in _releases(release):
        typer.echo(f"# Proxmox VE {each}")
        for line in granting.commands(estate, token_id, each):
            typer.echo(line)


@app.command()
def firewall(
    template: Annotated[int, typer.Argument(help="VMID of a template.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Print the file that gives a template its clones' firewall."""
    from chainwatch.app.sites import firewalls
    from chainwatch.config import load

    wanted = firewalls(load(config, os.environ)).get(template)
    if wanted is None:
        raise OperatorError(f"{template} is none of the templates in {config}")
    typer.echo(f"# /etc/pve/firewall/{template}.fw on any node")
    typer.echo(as_file(wanted[0]), nl=False)


def _releases(wanted: int | None) -> tuple[Release, ...]:
    found = RELEASES if wanted is None else tuple(each for each in RELEASES if each == wanted)
    if not found:
        raise OperatorError(f"release {wanted}: write 8 or 9")
    return found


def _check_token(token_id: str) -> None:
    user, bang, name = token_id.partition("!")
    if not (bang and name and "@" in user):
        raise OperatorError(f"token {token_id!r}: write it as user@realm!name")
