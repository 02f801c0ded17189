"""A guest may answer as long and as crookedly as it likes: it costs little, and nobody else waits.

The real client over a real line; what is said comes from a script. Memory is what Python counts,
with as many guests at once as there are threads for them.
"""

import asyncio
import json
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from provisioner.backends.proxmox.api import ReplyLost
from provisioner.backends.proxmox.bodies import (
    BY_GUESTS,
    LONGEST_ANSWER,
    longest,
)
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.commands import LONGEST, AgentCommands
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from provisioner.errors import UnknownOutcome
from provisioner.ports import Finished
from tests.support.pve import close_and_join
from tests.support.scripted import Scripted, answered

#: What a guest may say is tested here, not what Proxmox would make of it.
pytestmark = pytest.mark.rude_requests

MIB: Final = 2**20
#: Where nobody configures it otherwise, so many are asked at once at most.
USUAL: Final = ProxmoxEndpoint("pve", 8006, "a@pve!b", "secret", None)


@dataclass(frozen=True, slots=True)
class Way:
    """A path that a guest can fill, and how much memory all of its answers at once may take."""

    method: str
    path: str
    most: int
    slow: bool = True

    @property
    def at_once(self) -> int:
        """Return how many answers there may be at the same time."""
        return USUAL.slow_threads if self.slow else USUAL.threads


AGENT: Final = "/nodes/pve/qemu/20000/agent"
WAYS: Final = (
    Way("POST", f"{AGENT}/ping", 20 * MIB),
    Way("POST", f"{AGENT}/exec", 20 * MIB),
    Way("POST", f"{AGENT}/file-write", 20 * MIB),
    Way("GET", f"{AGENT}/exec-status", 300 * MIB),
    Way("GET", f"{AGENT}/file-read", 150 * MIB),
    Way("GET", f"{AGENT}/get-fsinfo", 50 * MIB),
    Way("GET", "/nodes/pve/lxc/20000/interfaces", 80 * MIB, slow=False),
)

#: What costs the most memory for its length: small values, and what stands around them.
SMALL: Final = {
    "lists": ('{"data":{"result":[', "[],", "[]]}}"),
    "pairs": ('{"data":{"result":[', '{"":0},', "0]}}"),
    "lists in lists": ('{"data":[', "[[]],", "0]}"),
    "wide output": ('{"data":{"exited":1,"out-data":"', "x", '😀"}}'),
    "wide file": ('{"data":{"content":"', "x", '😀"}}'),
    "elsewhere": ('{"data":null,"other":[', "[],", "[]]}"),
}


def filled(kind: str, size: int) -> bytes:
    """Return a whole answer whose body has `size` bytes, or hardly less."""
    begins, piece, ends = (each.encode() for each in SMALL[kind])
    room = size - len(begins) - len(ends)
    return whole(begins + piece * (room // len(piece)) + ends)


def whole(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def calling(server: Scripted) -> ProxmoxerApi:
    secret = "3f0b374d-093a-4d72-9b73-267ec77ae1b0"
    where = ProxmoxEndpoint("127.0.0.1", server.port, "a@pve!b", secret, server.certificate)
    return ProxmoxerApi(where)


async def measured(api: ProxmoxerApi, way: Way, calls: int) -> tuple[list[object], int]:
    """Ask `calls` times at once; returns what came, and the most memory that it took."""
    tracemalloc.start()
    try:
        asked = [api.call(way.method, way.path, slow=way.slow) for _ in range(calls)]
        came: list[object] = await asyncio.gather(*asked, return_exceptions=True)
        return came, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def named(way: Way) -> str:
    return way.path.rpartition("/")[2]


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_the_most_that_guests_may_say_at_once_takes_little_memory(
    tmp_path: Path, way: Way, kind: str
) -> None:
    said = filled(kind, longest(way.path))
    with Scripted(tmp_path, *[said] * way.at_once) as server:
        api = calling(server)
        came, most = await measured(api, way, way.at_once)
        close_and_join(api)
        assert len(server.asked) == way.at_once
    assert most < way.most, f"{most / MIB:.0f} MiB"
    if kind.startswith("wide"):
        assert all(isinstance(each, dict) for each in came), came  # it was read, not refused


@pytest.mark.parametrize("way", WAYS, ids=named)
async def test_a_guest_that_says_more_than_there_is_to_say_is_not_believed(
    tmp_path: Path, way: Way
) -> None:
    most = longest(way.path)
    said = filled("lists", LONGEST_ANSWER)
    with Scripted(tmp_path, *[said] * way.at_once, then_closes=True) as server:
        api = calling(server)
        came, memory = await measured(api, way, way.at_once)
        close_and_join(api)
    assert {type(each) for each in came} == {ReplyLost}
    size = f"{most >> 20} MiB" if most >= MIB else f"{most >> 10} KiB"
    assert {str(each).partition(";")[0] for each in came} == {f"an answer was more than {size}"}
    assert memory < way.most


def test_whatever_a_guest_can_fill_is_measured_here() -> None:
    assert {which.pattern for which, _ in BY_GUESTS} == {
        next(which.pattern for which, _ in BY_GUESTS if which.search(way.path)) for way in WAYS
    }


async def ran(folder: Path, *said: bytes) -> Finished:
    """Run a command in a guest whose agent says this of its end."""
    with Scripted(folder, answered("200 OK", '{"data":{"pid":7}}'), *said) as server:
        api = calling(server)
        try:
            return await AgentCommands(api, no_pause, lambda: 0.0).run("pve", 20000, ["x"], 0)
        finally:
            close_and_join(api)


async def no_pause(_seconds: float) -> None:
    """Time does not pass."""


async def test_all_that_is_kept_of_a_command_arrives_whatever_bytes_it_is(tmp_path: Path) -> None:
    streams = {"out-data": "\0" * LONGEST, "err-data": "\x1b" * LONGEST}
    body = json.dumps({"data": {"exited": 1, "exitcode": 3, **streams}}).encode()
    finished = await ran(tmp_path, whole(body))
    assert finished == Finished(3, b"\0" * LONGEST, b"\x1b" * LONGEST)


async def test_what_a_command_says_beyond_is_cut_and_its_end_is_known(tmp_path: Path) -> None:
    body = json.dumps({"data": {"exited": True, "exitcode": 0, "out-data": "x" * 11 * MIB}})
    finished = await ran(tmp_path, whole(body.encode()))
    assert finished == Finished(0, b"x" * LONGEST, b"")


async def test_what_a_guest_says_besides_is_passed_over(tmp_path: Path) -> None:
    body = '{"data":{"new":[[{"a":{}}]],"exited":"1","exitcode":"4","out-truncated":false}}'
    assert await ran(tmp_path, answered("200 OK", body)) == Finished(4, b"", b"")


@pytest.mark.parametrize(
    "data",
    [
        '{"exited":[]}',
        '{"exited":1,"out-data":["x"]}',
        '{"exited":1,"exitcode":1e999}',
        '{"exited":1,"new":' + "[" * 500_000,
        '{"exited":1,"out-data":"\\ud800"}',
        '{"exited":1,"exitcode":' + "9" * 5000 + "}",
        "[]",
        "7",
    ],
    ids=["list", "text", "endless", "nested", "half", "digits", "no object", "number"],
)
async def test_the_end_of_a_command_in_another_form_is_no_end(tmp_path: Path, data: str) -> None:
    with pytest.raises(UnknownOutcome, match="may still run there, and the last look failed"):
        await ran(tmp_path, answered("200 OK", f'{{"data":{data}}}'))


# ------------------------------------------------------------------------------- the cluster's own

#: One row of each list as a cluster of 10,000 machines has it, every text as long as it may be.
ROWS: Final = {
    "/cluster/resources": {
        "id": "qemu/999999999",
        "type": "qemu",
        "vmid": 999_999_999,
        "name": "n" * 253,
        "node": "p" * 63,
        "pool": "p" * 100,
        "tags": ";".join(["chainwatch"] * 20),
        "status": "running",
        "lock": "snapshot-delete",
        "hastate": "started",
        "template": 0,
        **dict.fromkeys(("cpu", "maxcpu", "uptime"), 0.123456789012345),
        **dict.fromkeys(("mem", "maxmem", "memhost", "disk", "maxdisk"), 2**50),
        **dict.fromkeys(("netin", "netout", "diskread", "diskwrite"), 2**62),
    },
    "/nodes/pve/tasks": {
        "upid": f"UPID:{'p' * 63}:000FFFFF:0FFFFFFF:6FFFFFFF:qmclone:999999999:{'u' * 64}@pve:",
        "node": "p" * 63,
        "type": "qmclone",
        "id": "999999999",
        "user": f"{'u' * 64}@pve",
        "tokenid": "t" * 64,
        "status": "clone failed: " + "x" * 500,
        **dict.fromkeys(("starttime", "endtime", "pid", "pstart"), 2**31),
    },
    "/nodes/pve/storage/local/content": {
        "volid": f"{'s' * 100}:999999999/vm-999999999-disk-0.qcow2",
        "format": "qcow2",
        "content": "images",
        "parent": "../9000/base-9000-disk-0.qcow2",
        "notes": "n" * 500,
        "vmid": 999_999_999,
        **dict.fromkeys(("size", "used", "ctime"), 2**50),
    },
}


@pytest.mark.parametrize("path", ROWS)
async def test_a_list_of_ten_thousand_has_room(tmp_path: Path, path: str) -> None:
    rows = [ROWS[path]] * 10_000
    body = json.dumps({"data": rows}).encode()
    assert len(body) < 12 * MIB < LONGEST_ANSWER
    with Scripted(tmp_path, whole(body)) as server:
        api = calling(server)
        assert await api.call("GET", path) == rows
        close_and_join(api)
