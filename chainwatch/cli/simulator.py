"""`chainwatch simulator`: a Proxmox VE stand-in as a process of its own.

It prints exactly one line, JSON, once it accepts connections, and exits 0 on SIGTERM or Ctrl-C.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def simulator(
    *,
    directory: Annotated[
        Path, typer.Option("--dir", help="Folder for the certificate and the tokens.")
    ],
    listen: Annotated[
        str, typer.Option(help="Address and port; port 0 lets the kernel choose.")
    ] = "127.0.0.1:0",
    speed: Annotated[
        float, typer.Option(min=0.001, help="Virtual seconds in one real second.")
    ] = 1.0,
    clone_seconds: Annotated[
        float, typer.Option(min=0.01, help="Virtual seconds that a linked clone takes.")
    ] = 0.65,
    seed: Annotated[int, typer.Option(help="Seed of everything random in the cluster.")] = 0,
    nodes: Annotated[str, typer.Option(help="Names of the nodes, separated by commas.")] = "pve",
    template: Annotated[
        int, typer.Option("--vm-id-template", min=100, help="VMID of the template.")
    ] = 9000,
    record: Annotated[
        Path | None,
        typer.Option(
            envvar="PVE_SIMULATOR_RECORD",
            help="File that each request is added to, as a line of JSON.",
        ),
    ] = None,
    ssh: Annotated[bool, typer.Option("--ssh", help="Let the nodes be reached over SSH.")] = False,
) -> None:
    """Run a simulated Proxmox VE cluster over HTTPS until SIGTERM or Ctrl-C."""
    from chainwatch.runtime.clock import SystemClock
    from provisioner.simulator.server import ServerOptions, serve

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise typer.BadParameter(f"{listen!r}: write ADDRESS:PORT, like 127.0.0.1:0")
    names = tuple(name for name in nodes.split(",") if name)
    options = ServerOptions(
        host,
        int(port),
        directory,
        speed=speed,
        clone_seconds=clone_seconds,
        seed=seed,
        nodes=names or ("pve",),
        template=template,
        ssh=ssh,
        record=record,
    )
    asyncio.run(serve(options, SystemClock().now, typer.echo))
