"""A group of commands that is loaded when one of them is typed.

What signs transactions needs web3, which takes a second to load; who asks the daemon should not
wait for that. The group's name and help are known at once, its commands when they are looked at.
"""

from collections.abc import MutableMapping
from typing import Any, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command


class SellingGroup(TyperGroup):
    """The commands of `chainwatch contract`."""

    @property
    def commands(self) -> MutableMapping[str, Any]:
        """Load them at the first look."""
        from chainwatch.cli import selling

        return cast("TyperGroup", get_command(selling.app)).commands

    @commands.setter
    def commands(self, _: MutableMapping[str, Any]) -> None:
        """Nothing is known yet when the group is made."""


app = typer.Typer(cls=SellingGroup, no_args_is_help=True, rich_markup_mode=None)
