"""The pages on the socket and the metrics say what the code does, and nothing else."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from chainwatch.admin.client import DEFAULT_SOCKET, lease_route
from chainwatch.admin.metrics import exposition
from chainwatch.admin.routes import Routes
from chainwatch.config import schema
from chainwatch.control.desk import Desk
from tests.support.office import office, sending
from tests.support.realm import FIRST

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


async def exposed(desk: Desk) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and labels of every metric of ours that has a sample."""
    text = (await exposition(desk)).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("chainwatch_"):
            labels = sorted({label for sample in family.samples for label in sample.labels})
            found[family.name] = (family.type, tuple(labels))
    return found


async def test_the_reference_lists_every_metric_with_its_type_and_labels(tmp_path: Path) -> None:
    row = re.compile(r"^\| `(chainwatch_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)
    documented = {
        name.removesuffix("_total"): (kind, tuple(sorted(re.findall(r"`(\w+)`", labels))))
        for name, kind, labels in row.findall((REFERENCE / "metrics.md").read_text())
    }
    async with office(tmp_path, adjust=sending) as (town, desk):
        town.buy(1)
        town.cluster.add_guest(FIRST + 1)  # so that an alarm stands
        await town.settle()
        town.buy(2)
        await town.turn()  # so that an operation is open
        await town.daemon.supervisor.senders[0].attempt()
        assert await exposed(desk) == documented


async def test_metrics_show_what_is_so(tmp_path: Path) -> None:
    async with office(tmp_path) as (town, desk):
        town.buy(1)
        await town.settle()
        await desk.pause("destroys", "a look", 0)
        said = (await exposition(desk)).decode()
        for line in (
            'chainwatch_source_state{source="model",state="live"} 1.0',
            'chainwatch_leases{phase="active",source="model"} 1.0',
            'chainwatch_operations_total{outcome="ok",step="clone"} 1.0',
            'chainwatch_paused{scope="destroys"} 1.0',
            "chainwatch_machines 1.0",
            "chainwatch_ready 1.0",
        ):
            assert line in said.splitlines()


def _documented(path: str) -> str:
    path = path.replace("{lease:.+}", "LEASE").replace("{source}", "SOURCE")
    return path.replace("{vmid}", "VMID").replace("{number}", "NUMBER")


async def test_the_reference_lists_every_route(tmp_path: Path) -> None:
    row = re.compile(r"^\| `(GET|POST) (/[^`]*)` \|", re.MULTILINE)
    documented = row.findall((REFERENCE / "socket.md").read_text())
    async with office(tmp_path) as (_, desk):
        routes = [(each.method, _documented(each.path)) for each in Routes(desk).all()]
    assert documented == routes


def test_commands_look_for_the_socket_where_the_daemon_puts_it() -> None:
    assert schema.Admin().socket == DEFAULT_SOCKET


def test_a_lease_stands_in_a_route_as_it_is_and_a_trick_does_not() -> None:
    lease = "eip155:1/erc721:0xab/7"
    assert lease_route(lease, "hold") == f"/leases/{lease}/hold"
    assert lease_route("7?x=1 #\r\n") == "/leases/7%3Fx%3D1%20%23%0D%0A"
