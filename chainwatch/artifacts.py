"""The compiled contracts, as they are committed: name, ABI and bytecode, and what made them.

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
    """A contract: its name, its ABI (JSON entries) and its creation bytecode (0x-prefixed hex).

    `compiler` and `evm_version` are what compiled it, `source` its file, and `source_hash` stands
    for settings and all sources.
    """

    name: str
    abi: list[dict[str, object]]
    bytecode: str
    compiler: str
    evm_version: str
    source: str
    source_hash: str


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
    return Artifact(
        name=fields["contractName"],
        abi=fields["abi"],
        bytecode=fields["bytecode"],
        compiler=fields["compiler"],
        evm_version=fields["evmVersion"],
        source=fields["source"],
        source_hash=fields["sourceHash"],
    )
