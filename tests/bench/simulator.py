"""How many API calls a second the stand-in answers, in process and on one core.

A cluster is filled with guests and asked what a controller asks, kind by kind, then all mixed as a
controller mixes them. Only the time of this process counts, so that a busy machine does no harm.
`make bench-simulator ARGS=--json` ends with one JSON object.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from typing import Final

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.wire import ApiRequest

FIRST: Final = 20_000
QEMU: Final = "/nodes/pve/qemu"
#: Calls a second that are promised for the mix, on a cluster of a thousand guests and of ten.
FLOOR: Final = 1_500
SIZES: Final = (1_000, 10_000)
Make = Callable[[int], tuple[str, str, dict[str, str]]]

KINDS: Final[dict[str, Make]] = {
    "read config": lambda n: ("GET", f"{QEMU}/{FIRST + n}/config", {}),
    "read power": lambda n: ("GET", f"{QEMU}/{FIRST + n}/status/current", {}),
    "ask for an id": lambda _: ("GET", "/cluster/nextid", {"vmid": "99000"}),
    "change config": lambda n: ("PUT", f"{QEMU}/{FIRST + n}/config", {"cores": str(n % 4 + 1)}),
    "start": lambda n: ("POST", f"{QEMU}/{FIRST + n}/status/start", {}),
    "stop": lambda n: ("POST", f"{QEMU}/{FIRST + n}/status/stop", {}),
    "list tasks": lambda _: ("GET", "/nodes/pve/tasks", {"limit": "50", "source": "all"}),
    "list the cluster": lambda _: ("GET", "/cluster/resources", {}),
}
#: How often each kind comes in the mix: a thousand calls, one look at the whole cluster each.
MIX: Final = {
    "read config": 400,
    "read power": 300,
    "ask for an id": 20,
    "change config": 180,
    "start": 30,
    "stop": 30,
    "list tasks": 39,
    "list the cluster": 1,
}


def filled(guests: int) -> Cluster:
    """Return a cluster of one node with so many guests, a tenth of them running."""
    cluster = Cluster()
    cluster.add_template(9000)
    for n in range(guests):
        cluster.add_guest(FIRST + n, running=n % 10 == 0)
    cluster.advance(60)
    return cluster


def rate(cluster: Cluster, calls: Iterator[tuple[str, str, dict[str, str]]]) -> float:
    """Return how many of `calls` a second are answered; each has to be a good one."""
    token, count, before = cluster.default_token(), 0, time.process_time()
    for method, path, params in calls:
        answer = cluster.handle(ApiRequest(method, path, params, token))
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.reason}")
        count += 1
    return count / (time.process_time() - before)


def of_kind(name: str, guests: int, count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield `count` calls of one kind, going round the guests."""
    return (KINDS[name](n) for n in islice(cycle(range(guests)), count))


def mixed(guests: int, count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield `count` calls, each kind spread evenly over them as often as the mix says."""
    places = sorted(
        ((number + 0.5) / times, name) for name, times in MIX.items() for number in range(times)
    )
    for n, (_, name) in enumerate(islice(cycle(places), count)):
        yield KINDS[name](n % guests)


def measured(guests: int, count: int) -> dict[str, float]:
    """Return the calls a second of every kind and of the mix, on a cluster of so many guests."""
    found = {}
    for name in KINDS:
        few = max(count // 100, 3) if name == "list the cluster" else count
        found[name] = rate(filled(guests), of_kind(name, guests, few))
    found["mix"] = rate(filled(guests), mixed(guests, 2 * count))
    return found


def main() -> None:
    """Measure, print, and exit 1 when the mix is below the floor."""
    rates = {size: measured(size, 2_000) for size in SIZES}
    say = sys.stdout.write
    say(f"{'calls a second':20}" + "".join(f"{size:>10,} guests" for size in SIZES) + "\n")
    for name in rates[SIZES[0]]:
        say(f"{name:20}" + "".join(f"{rates[size][name]:>17,.0f}" for size in SIZES) + "\n")
    slow = [size for size in SIZES if rates[size]["mix"] < FLOOR]
    if "--json" in sys.argv:
        told = {f"calls_per_s_{size}": round(rates[size]["mix"]) for size in SIZES}
        say(json.dumps(told) + "\n")
    sys.exit(f"below {FLOOR} calls a second with {slow} guests" if slow else 0)


if __name__ == "__main__":
    main()
