"""`make bench-machines`: what a thousand purchases and ten thousand machines cost.

`--json` ends with one object on the last line; `--only NAME` (again and again) measures a part.
Some parts run on real time, some in a loop in which waiting takes no time and work does; each
section says which.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.bench import machines_alone, machines_idle, machines_large, machines_many
from tests.bench.report import Section, machine

#: How many purchases at once, and how many of them may be cloned at once on each of five storages.
MANY: Final = 1000
CLONES: Final = 20
LARGE: Final = 10_000
#: Seconds for which nothing happens: two resyncs and a bit.
IDLE: Final = 660.0

PARTS: Final[dict[str, Callable[[], tuple[Section, ...]]]] = {
    "alone": lambda: (asyncio.run(machines_alone.measure(learning=6, machines=7)),),
    "many": lambda: machines_many.measure(MANY, CLONES, rounds=1),
    "large": lambda: machines_large.measure(LARGE, rounds=5),
    "idle": lambda: (machines_idle.measure(LARGE, IDLE),),
}
#: Where in a part what `--json` tells stands: its name → section and figure.
TOLD: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "alone": {"added_ms": (0, 0)},
    "many": {"overhead_pct_1000": (0, 0), "calls_per_provision": (1, 0)},
    "large": {"resync_s_10k": (0, 0), "rss_mb": (1, 0)},
    "idle": {"idle_calls_per_node_s": (0, 0)},
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(prog="make bench-machines", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part")
    wanted = parser.parse_args(arguments)
    began, told = time.monotonic(), dict[str, float]()
    _say(f"On {machine()}", "")
    for name in wanted.only or PARTS:
        sections = PARTS[name]()
        for section in sections:
            _say(*section.lines(), "")
        for word, (section_at, figure_at) in TOLD[name].items():
            told[word] = round(sections[section_at].figures[figure_at].value, 3)
    _say(f"{time.monotonic() - began:.0f} s in all")
    if wanted.json:
        _say(json.dumps(told))


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
