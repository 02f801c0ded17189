"""The suites of this folder run once for each transport that reaches a hypervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pve import World, direct_world, tls_world


@pytest.fixture(params=["direct", "tls"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A cluster with one template: in process on virtual time, or behind HTTPS and proxmoxer."""
    if request.param == "direct":
        yield direct_world()
        return
    with tls_world(tmp_path) as world:
        yield world
