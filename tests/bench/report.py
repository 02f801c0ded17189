"""What was measured, and how it is told: to a person as lines, to a program as one object.

A figure is the median over the rounds of one run, with the rounds beside it, so that a reader sees
how far they scatter. Nothing is compared with a figure of another run or another machine.
"""

import json
import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Final

_GIB: Final = 2**30


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity: a value for each round; `goal` is what it is meant not to exceed."""

    name: str
    unit: str
    rounds: Sequence[float]
    samples: int
    goal: float | None = None

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def line(self) -> str:
        """The figure as a person reads it."""
        rounds = ", ".join(f"{each:.4g}" for each in self.rounds)
        goal = "" if self.goal is None else f"; goal ≤ {self.goal:g}"
        beside = f"rounds {rounds}; " if len(self.rounds) > 1 else ""
        return (
            f"{self.name:<52} {self.value:>9.4g} {self.unit:<9} ({beside}n = {self.samples}{goal})"
        )


@dataclass(frozen=True, slots=True)
class Section:
    """Figures that were measured together, and what has to be known to read them."""

    title: str
    setting: str
    figures: Sequence[Figure]
    detail: dict[str, float] = field(default_factory=dict)

    def lines(self) -> Sequence[str]:
        """Return the section as a person reads it."""
        shares = [f"    {value:>7.2f}  {name}" for name, value in self.detail.items()]
        return [self.title, f"  {self.setting}", *(f"  {f.line}" for f in self.figures), *shares]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of all do not exceed (nearest rank)."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]


def machine() -> str:
    """Say what this was measured on."""
    info = Path("/proc/cpuinfo").read_text()
    models = [row.partition(":")[2].strip() for row in info.splitlines() if "model name" in row]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
    return (
        f"{len(os.sched_getaffinity(0))} cores ({models[0] if models else platform.machine()}), "
        f"{memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def as_json(sections: Sequence[Section], seconds: float) -> str:
    """Return everything as one object on one line."""
    told = [
        {
            "title": section.title,
            "setting": section.setting,
            "figures": [asdict(each) | {"value": each.value} for each in section.figures],
            "detail": section.detail,
        }
        for section in sections
    ]
    return json.dumps({"machine": machine(), "seconds": round(seconds, 1), "sections": told})
