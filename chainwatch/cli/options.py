"""The options that many commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Socket: TypeAlias = Annotated[
    Path, typer.Option("--socket", envvar="CHAINWATCH_SOCKET", help="The daemon's socket.")
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the daemon's answer as JSON.")
]
Lease: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="LEASE",
        help="eip155:CHAIN/erc721:0xCONTRACT/TOKEN, or the bare token id where it is unambiguous.",
    ),
]
Reason: TypeAlias = Annotated[
    str, typer.Option("--reason", "-r", help="Why; shown in status and kept in the audit.")
]
Limit: TypeAlias = Annotated[
    int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many lines at most.")
]
ConfigFile: TypeAlias = Annotated[
    Path, typer.Option("--config", help="The configuration, a TOML file.")
]

DEFAULT_CONFIG = Path("/etc/chainwatch/chainwatch.toml")
