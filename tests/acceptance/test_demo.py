"""The demo as people run it: a command that tells a story, judges it, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[2]
ACTS = [
    "opening",
    "killed",
    "running",
    "delivered",
    "renewed",
    "second",
    "transferred",
    "collected",
    "suspended",
    "resumed",
    "suspended-again",
    "destroyed",
    "untouched",
    "refunded",
    "settled",
]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give each story a short path of its own: a socket's name has 107 bytes at most."""
    with TemporaryDirectory(prefix="story-") as folder:
        yield Path(folder)


@asynccontextmanager
async def demo(folder: Path, *options: str) -> AsyncIterator[Process]:
    """The demo, whose temporary files go into `folder`; ended with the block, however it ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chainwatch.demo", *options),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def told_until(process: Process, words: str) -> list[str]:
    """What is told up to a line with `words`."""
    assert process.stdout is not None
    lines: list[str] = []
    async for line in process.stdout:
        lines.append(line.decode())
        if words in lines[-1]:
            return lines
    raise AssertionError(f"{words!r} was never told:\n{''.join(lines)}")


async def rest_of(process: Process) -> tuple[int, str]:
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def started_by(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def all_gone(children: list[psutil.Process]) -> bool:
    gone, alive = psutil.wait_procs(children, timeout=10)
    return len(gone) == len(children) > 0 and not alive


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_the_story_comes_true_and_says_so_in_its_last_line(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        code, said = await rest_of(process)
    assert code == 0, said
    verdict = json.loads(said.splitlines()[-1])
    assert verdict["ok"] is True
    assert [act["name"] for act in verdict["acts"]] == ACTS
    assert all(act["met"] and act["unmet"] is None for act in verdict["acts"])
    machines = {"created": 2, "destroyed": 2, "leaked": 0, "foreign_touched": 0}
    assert verdict["machines"] == machines
    assert sum(act["seconds"] for act in verdict["acts"]) < 60
    assert "\x1b" not in said, "colours are for terminals"
    assert "lease 2: clone: no machine yet" in said, "the first was cut off, maybe before it told"
    for done in ("lease 1 is delivered", "how to get in is published", "lease 2 is burned"):
        assert f", by the daemon: {done}" in said
    assert "lease 3 is burned" in said, "Dave took his money back"
    assert "  warning: " not in said, "nothing in the story is a cause for one"
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_story_takes_everything_down(
    number: signal.Signals, tmp_path: Path
) -> None:
    async with demo(tmp_path) as process:
        await told_until(process, "✓ a clone is under way")
        children = started_by(process.pid)
        process.send_signal(number)
        code, said = await rest_of(process)
    assert code == 128 + number, said
    assert f"interrupted by {number.name}" in said.splitlines()[-1]
    assert all_gone(children)
    assert left_in(tmp_path) == []


async def test_the_processes_of_the_story_do_not_outlive_it_when_it_is_killed(
    tmp_path: Path,
) -> None:
    async with demo(tmp_path) as process:
        await told_until(process, "✓ the daemon is ready")
        children = started_by(process.pid)
        process.kill()
        await process.wait()
        assert all_gone(children)


async def test_an_expectation_that_is_not_met_is_named_and_fails_the_demo(tmp_path: Path) -> None:
    async with demo(tmp_path, "--json") as process:
        await told_until(process, "Carol: chainwatch-lease buy")
        daemons = [each for each in started_by(process.pid) if "run" in each.cmdline()]
        assert len(daemons) == 1
        daemons[0].kill()
        code, said = await rest_of(process)
    verdict = json.loads(said.splitlines()[-1])
    assert (code, verdict["ok"]) == (1, False)
    act = verdict["acts"][-1]
    assert act["name"] == "second"
    assert (
        "Carol's SSH key gets into the machine of lease 2: the daemon ended with -9" in act["unmet"]
    )
    assert f"not so: {act['unmet'].splitlines()[0]}" in said
    assert left_in(tmp_path) == []
