"""`make bench`: measures what docs/explanation/performance.md tells, but for `make bench-chain`.

`--json` prints one object instead of lines; `--only NAME` (again and again) measures a part.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Final

from tests.bench import chain, provisioning
from tests.bench.report import Section, as_json, machine

PARTS: Final[dict[str, Callable[[], Coroutine[None, None, Section]]]] = {
    "steady": lambda: provisioning.measure(rounds=3, machines=67),
    "burst": lambda: provisioning.measure_burst(machines=40),
    "nasty": lambda: provisioning.measure_nasty(machines=25),
    "alone": lambda: provisioning.measure_alone(machines=2),
    "catch-up": lambda: chain.catch_up(blocks=100, rounds=3),
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part")
    wanted = parser.parse_args(arguments)
    began = time.monotonic()
    if not wanted.json:
        _say(f"On {machine()}", "")
    sections = []
    for name in wanted.only or PARTS:
        sections.append(asyncio.run(PARTS[name]()))
        if not wanted.json:
            _say(*sections[-1].lines(), "")
    seconds = time.monotonic() - began
    _say(as_json(sections, seconds) if wanted.json else f"{seconds:.0f} s in all")


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
