"""`python -m chainwatch.demo`: tell the story, and say in the exit code whether it came true.

0: everything was as expected. 1: something was not, and the last lines say what. 130 and 143:
interrupted by Ctrl-C or SIGTERM. Whatever happens, the processes are ended and the folder is
removed (unless it was to be kept); only a SIGKILL leaves the folder behind.
"""

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

from chainwatch.demo import report
from chainwatch.demo.expectations import Playbill, Unmet
from chainwatch.demo.narrator import Narrator
from chainwatch.demo.scene import Scene
from chainwatch.demo.stage import set_up
from chainwatch.demo.status import StatusSocket
from chainwatch.demo.story import Story
from chainwatch.demo.watching import LogTail, Watch
from chainwatch.errors import OperatorError


def main(
    *,
    json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on the last line.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the folder with configuration, database and logs.")
    ] = False,
) -> None:
    """Tell the whole lives of leases and machines, on a real chain and a simulated Proxmox VE."""
    console = Console(highlight=False)
    with _folder(console, keep=keep) as folder:
        code = asyncio.run(_until_told_to_stop(folder, console, json=json))
    raise typer.Exit(code)


@contextmanager
def _folder(console: Console, *, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="chainwatch-demo-"))
    try:
        yield folder
    finally:
        if keep:
            console.print(f"kept: {folder}", markup=False, soft_wrap=True)
        else:
            shutil.rmtree(folder)


async def _until_told_to_stop(folder: Path, console: Console, *, json: bool) -> int:
    """Perform, unless a signal comes first; either way everything is taken down."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[signal.Signals] = loop.create_future()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _tell, told, number)
    async with asyncio.TaskGroup() as tasks:
        performing = tasks.create_task(_perform(folder, console, json=json))
        await asyncio.wait((performing, told), return_when=asyncio.FIRST_COMPLETED)
        performing.cancel()
    if not performing.cancelled():
        return performing.result()
    console.print(f"\ninterrupted by {told.result().name}; everything is taken down")
    return 128 + told.result()


def _tell(told: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not told.done():
        told.set_result(number)


async def _perform(folder: Path, console: Console, *, json: bool) -> int:
    narrator = Narrator(console)
    narrator.remark("Setting the stage: a chain with the lease contract, a Proxmox VE stand-in …")
    try:
        async with set_up(folder) as stage:
            playbill = Playbill(narrator, lambda: stage.daemon.ended)
            watch = Watch(stage.blocks, stage.cluster, LogTail(stage.log), narrator)
            scene = Scene(stage, watch, playbill, narrator, StatusSocket(stage.socket))
            narrator.chain_time = (await stage.chain.block()).timestamp
            await _play(Story(scene), watch)
            machines = report.tally(await watch.look(), stage.token, over=playbill.ok)
    except OperatorError as error:
        narrator.remark(f"The stage could not be set: {error}")
        return 1
    report.show(console, playbill, machines)
    if json:
        console.print(report.as_json(playbill, machines), markup=False, soft_wrap=True)
    return 0 if playbill.ok else 1


async def _play(story: Story, watch: Watch) -> None:
    """Play while what happens is told; an act that fails is on the playbill already."""
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(watch.run())
        try:
            await story.play()
        except Unmet:
            pass
        finally:
            watching.cancel()


if __name__ == "__main__":
    typer.run(main)
