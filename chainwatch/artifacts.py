"""The compiled contracts, as they are committed: name, ABI and bytecode.

An artifact is data of the package `chainwatch_contracts`, the same in a checkout and in a wheel,
and is read through `importlib.resources` only. Failure mode: a package built without its data;
`load` then says so instead of letting an import somewhere else explain it badly.
"""

import json
from dataclasses import dataclass
from importlib import resources

from chainwatch.errors import Fatal


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract: its name, its ABI (JSON entries) and its creation bytecode (0x-prefixed hex)."""

    name: str
    abi: list[dict[str, object]]
    bytecode: str


def load(name: str) -> Artifact:
    """The artifact of the contract `name` (`Lease`, `TestToken`); Fatal when it is not packed."""
    try:
        file = resources.files("chainwatch_contracts") / "artifacts" / f"{name}.json"
        text = file.read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as missing:
        message = f"the compiled contract {name} is not part of this installation: reinstall it"
        raise Fatal(message) from missing
    return read(text)


def read(text: str) -> Artifact:
    """The artifact that the build wrote as `text`."""
    fields = json.loads(text)
    return Artifact(fields["contractName"], fields["abi"], fields["bytecode"])
