"""The suites of this folder run once for each cluster and transport that can be reached.

Where `fakepve` is known to differ a test has to fail, in the words that the list of divergences has
for it; see `tests.support.divergences`.
"""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.divergences import TESTS, complaint
from tests.support.peer import peer_world
from tests.support.pve import World, direct_world, tls_world

PEER = "fakepve"
COLLECTED = pytest.StashKey[set[str]]()


@pytest.fixture(params=["direct", "tls", PEER])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A cluster with one template: in process on virtual time, or behind HTTPS and proxmoxer."""
    if request.param == "direct":
        yield direct_world()
        return
    with (tls_world if request.param == "tls" else peer_world)(tmp_path) as world:
        yield world


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note which tests there are of the peer, whatever of them is selected."""
    config.stash[COLLECTED] = {name for item in items for name in _names(item)}


@pytest.fixture
def asked_of_the_peer(request: pytest.FixtureRequest) -> set[str]:
    """The names of all collected tests that the peer is asked in."""
    return request.config.stash[COLLECTED]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """See a test fail as the list says it does."""
    known = next((TESTS[name] for name in _names(pyfuncitem) if name in TESTS), None)
    if known is None:
        return (yield)
    failed: BaseException | None = None
    try:
        yield
    except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 (held against the list)
        failed = failure
    if (wrong := complaint(known, failed)) is not None:
        pytest.fail(wrong, pytrace=False)
    return True


def _names(item: pytest.Item) -> tuple[str, ...]:
    """Return the names that a test of the peer's has in the list, with and without its case."""
    call = getattr(item, "callspec", None)
    if not isinstance(item, pytest.Function) or call is None or call.params.get("world") != PEER:
        return ()
    case = "-".join(part for part in str(call.id).split("-") if part != PEER)
    return (f"{item.originalname}[{case}]", item.originalname) if case else (item.originalname,)
