"""`python -m chainwatch.demo`: tell the story, and say in the exit code whether it came true."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from chainwatch.demo.expectations import Playbill, Unmet
from chainwatch.demo.narrator import Narrator
from chainwatch.demo.stage import set_up
from chainwatch.demo.story import Story
from chainwatch.demo.watching import LogTail, Watch
from chainwatch.errors import OperatorError


async def _perform(folder: Path) -> int:
    narrator = Narrator(Console(highlight=False))
    async with set_up(folder) as stage:
        playbill = Playbill(narrator, lambda: stage.daemon.ended)
        watch = Watch(stage.cluster, LogTail(stage.log), narrator)
        story = Story(stage, watch, playbill, narrator)
        try:
            await story.play()
        except Unmet as unmet:
            narrator.remark(str(unmet))
            return 1
    return 0


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="chainwatch-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


def main(*, json: bool = False, keep: bool = False) -> None:
    """Tell the story."""
    with _folder(keep) as folder:
        raise typer.Exit(asyncio.run(_perform(folder)))


if __name__ == "__main__":
    typer.run(main)
