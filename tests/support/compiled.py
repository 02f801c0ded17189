"""Compiled contracts that only tests deploy; what is shipped is read as the package's data."""

from pathlib import Path
from typing import Final

from chainwatch import artifacts
from chainwatch.artifacts import Artifact

FOLDER: Final = Path(__file__).parents[1] / "artifacts"


def fixture(name: str) -> Artifact:
    """The artifact of the contract `name`, as `contracts/build.mjs` wrote it."""
    return artifacts.read((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
