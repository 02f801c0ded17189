"""`make bench-machines`: what a thousand purchases and ten thousand machines cost.

What `--json` tells is not all: beside it stands what flatters least, which is so many clones at
once as are the default, the first purchases after a start, boots that scatter, and all machines on
one node. `--json` ends with one object on the last line; `--only NAME` (again and
again) measures a part.
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

from provisioner.keys import KEYS
from tests.bench import (
    machines_alone,
    machines_idle,
    machines_large,
    machines_many,
    machines_scattered,
)
from tests.bench.fleet import NODES
from tests.bench.report import Section, machine

#: How many purchases at once, and how many of them may be cloned at once on each of five storages.
MANY: Final = 1000
CLONES: Final = 20
LARGE: Final = 10_000
#: How many purchases are made with as many clones at once as by default: they take longer.
SOME: Final = 200
#: By which share of itself a boot is longer or shorter, where boots scatter.
SCATTER: Final = 0.2
#: Seconds for which nothing happens: two resyncs and a bit.
IDLE: Final = 660.0

PARTS: Final[dict[str, Callable[[], tuple[Section, ...]]]] = {
    "alone": lambda: (
        asyncio.run(machines_alone.measure(learning=6, machines=7)),
        machines_scattered.measure(learning=6, machines=20, scatter=SCATTER),
    ),
    "many": lambda: machines_many.measure(MANY, CLONES, times=1),
    "default": lambda: machines_many.measure(SOME, clones_by_default(), times=1),
    "large": lambda: machines_large.measure(LARGE, rounds=5),
    "idle": lambda: (
        machines_idle.measure(LARGE, IDLE),
        machines_idle.measure(LARGE, IDLE, NODES[:1]),
    ),
}
#: Where in a part what `--json` tells stands: its name → section and figure.
TOLD: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "alone": {"added_ms": (0, 0)},
    "many": {"overhead_pct_1000": (0, 0), "calls_per_provision": (1, 0)},
    "default": {},
    "large": {"resync_s_10k": (0, 0), "rss_mb": (1, 0)},
    "idle": {"idle_calls_per_node_s": (0, 0)},
}


def clones_by_default() -> int:
    """Return how many may be cloned at once on one storage where nothing else is said."""
    default = KEYS["proxmox.clones_per_storage"].default
    assert isinstance(default, int)
    return default


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
