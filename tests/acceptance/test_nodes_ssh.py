"""A simulator with SSH servers, as a process of its own, and the check that reaches its nodes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.guest.connection import Connections
from provisioner.guest.doors import Login, doors
from provisioner.guest.node import HelperShell


@pytest.fixture
def announced(tmp_path: Path) -> Iterator[dict[str, object]]:
    words = ("simulator", "--dir", str(tmp_path), "--nodes", "pve1,pve2", "--ssh")
    with subprocess.Popen(
        [sys.executable, "-m", "chainwatch", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert isinstance(said, dict)
        yield said
        process.terminate()
        assert process.wait(20) == 0


async def test_the_nodes_of_a_simulator_are_reached_as_it_announces_them(
    announced: dict[str, object],
) -> None:
    lines, key = announced["known_hosts"], announced["node_key_file"]
    assert isinstance(lines, list)
    private = Path(str(key)).read_bytes()  # noqa: ASYNC240 - a test's own small file
    ways = Connections(Login("root", private, doors(lines, 22)))
    try:
        shell = HelperShell(ways)
        for node in ("pve1", "pve2"):
            assert await shell.version(node) == "chainwatch-node 1"
            await shell.route(node, "2001:db8::15", "vmbr0")
            assert await shell.routes(node) == {"2001:db8::15": "vmbr0"}
    finally:
        ways.close()
