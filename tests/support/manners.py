"""Every request that any test sends, held against every official schema at hand.

`watch` puts itself in front of both transports, and of the stand-in where a test speaks to it
without one, for as long as tests run, and has simulators that are processes of their own write down
what they are asked, by whomever. What a request lacks, or says that Proxmox VE 8.4 or 9 does not
know, is noted; `taken` hands it over and forgets it, so that the test which sent it fails even
where the program survived the refusal.
"""

import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest

from provisioner.backends.proxmox.api import ParamValue
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import DirectApi
from provisioner.simulator.wire import ApiRequest, ApiResponse
from tests.support import pve_schema
from tests.support.pve_schema import Schema, Schemas, SchemaViolation

#: The schema of a 9.1 where it lies next to the repository, as `pve_schema.LOCAL` does of an 8.4.
NEWER: Final = pve_schema.LOCAL.with_name("apidoc-9.1.json")

#: The variable that names the file to which a simulator adds its requests.
RECORD: Final = "PVE_SIMULATOR_RECORD"

_noted: list[str] = []


@cache
def _schemas() -> tuple[tuple[str, Schemas], ...]:
    found = [("the packaged schema", pve_schema.packaged_paths())]
    near = (path for path in (pve_schema.LOCAL, NEWER) if path.is_file())
    found += [(path.stem, pve_schema.as_paths(json.loads(path.read_text()))) for path in near]
    return tuple(found)


def check_request(method: str, path: str, params: Mapping[str, object]) -> None:
    """Raise SchemaViolation unless every schema knows the call and its parameters."""
    if params:
        _check_all(method, path, params)
    else:
        _check_bare(method, path)


@lru_cache(maxsize=4096)
def _check_bare(method: str, path: str) -> None:
    """Check a call that says nothing but its path, which is most of them, again and again."""
    _check_all(method, path, {})


def _check_all(method: str, path: str, params: Mapping[str, object]) -> None:
    for name, schemas in _schemas():
        try:
            _check(name, schemas, method, path, params)
        except SchemaViolation as wrong:
            raise SchemaViolation(f"{name}: {wrong}") from None


def _check(
    name: str, schemas: Schemas, method: str, path: str, params: Mapping[str, object]
) -> None:
    template, names = _found(name, _shape(path))
    schema = schemas[template].get(method)
    if schema is None:
        raise SchemaViolation(f"{method} {template}: no such method")
    segments, places = path.strip("/").split("/"), template.strip("/").split("/")
    bound = {names[at]: unquote(segments[at]) for at, _ in enumerate(places) if at in names}
    wanted = pve_schema.an_object(schema.get("parameters") or {})
    properties: Schema = pve_schema.an_object(wanted.get("properties") or {})
    pve_schema.check_parameters(f"{method} {template}", properties, {**bound, **params})


def _shape(path: str) -> str:
    """Return a path with every number and task id made the same, so that few are looked up."""
    return re.sub(r"UPID:[^/]+", "UPID", re.sub(r"/\d+(?=/|$)", "/100", path))


@cache
def _found(name: str, shape: str) -> tuple[str, Mapping[int, str]]:
    """Return the template that a path fits in a schema, and the names of its places."""
    schemas = dict(_schemas())[name]
    template, _ = pve_schema.find(shape, schemas)
    places = enumerate(template.strip("/").split("/"))
    return template, {at: each[1:-1] for at, each in places if each.startswith("{")}


Call = Callable[..., Coroutine[Any, Any, Any]]


def _mind(method: str, path: str, params: Mapping[str, object]) -> None:
    try:
        check_request(method, path, params)
    except SchemaViolation as wrong:
        _noted.append(str(wrong))


def _minded(call: Call) -> Call:
    async def minding(
        self: object,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> object:
        _mind(method, path, params or {})
        return await call(self, method, path, params, slow=slow)

    return minding


def _minded_raw(handle: Callable[[Cluster, ApiRequest], ApiResponse]) -> Callable[..., object]:
    def minding(self: Cluster, request: ApiRequest) -> ApiResponse:
        _mind(request.method, request.path, request.params)
        return handle(self, request)

    return minding


@dataclass(slots=True)
class _Record:
    """The file to which simulators that are processes of their own add what they are asked."""

    path: Path
    read: int = 0

    def new(self) -> Iterator[tuple[str, str, dict[str, object]]]:
        """Return what was added since the last time, whole lines of it."""
        with self.path.open("rb") as file:
            file.seek(self.read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.read += len(line)
                told = json.loads(line)
                yield told["method"], told["path"], told["params"]


_records: list[_Record] = []


@contextmanager
def watch(record: Path) -> Iterator[None]:
    """Mind every request until the end of the block: ours, and those to simulators beside us.

    Whoever starts a simulator hands the environment down, which names the file `record`.
    """
    record.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RECORD, str(record))
        for transport in (DirectApi, ProxmoxerApi):
            patch.setattr(transport, "call", _minded(transport.call))
        patch.setattr(Cluster, "handle", _minded_raw(Cluster.handle))
        _records.append(_Record(record))
        yield
        _records.pop()


def taken() -> list[str]:
    """Return what was noted since the last time, each once."""
    for record in _records:
        for method, path, params in record.new():
            _mind(method, path, params)
    found = list(dict.fromkeys(_noted))
    _noted.clear()
    return found
