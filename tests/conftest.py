"""What holds for every test.

A property is judged by what it finds, never by how long this machine took over one example: a
deadline would make a busy machine look like a broken program. And whatever a test is about, every
request that it has sent to Proxmox is one that the official schemas know, unless it says
`rude_requests` because it sends bad ones on purpose.
"""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import manners, seeds

settings.register_profile("chainwatch", deadline=None, print_blob=True)
settings.load_profile("chainwatch")


@pytest.fixture(scope="session", autouse=True)
def _every_request_is_minded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with manners.watch(tmp_path_factory.mktemp("manners") / "requests"):
        yield


@pytest.fixture(autouse=True)
def _no_request_was_rude(request: pytest.FixtureRequest) -> Iterator[None]:
    manners.taken()
    yield
    if request.node.get_closest_marker("rude_requests") is None:
        assert manners.taken() == []


def pytest_configure() -> None:
    """Draw the seeds of a soak before anybody collects tests, here or in another process."""
    seeds.draw()


def pytest_report_header() -> str:
    """Say which seeds a soak plays."""
    return seeds.draw()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases of modes of failure there were: a test plays many of them in a soak."""
    ended = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    told = [value for report in ended for key, value in report.user_properties if key == "cases"]
    if told:
        terminalreporter.write_line(f"{sum(told)} cases of modes of failure were played")
