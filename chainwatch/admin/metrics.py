"""The numbers, in Prometheus' text format: made from the status when somebody asks.

Nothing is counted twice: gauges are the status, counters come from the durable log, so that a
restart resets none of them. The names are promises, listed in docs/reference/metrics.md.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from chainwatch.control.desk import Desk
from chainwatch.control.readings import SourceReading, SourceWord, Status
from chainwatch.domain.desired import Hold
from chainwatch.store.census import Ended

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
PHASES: Final = ("active", "expired", "burnt", "gone")


async def exposition(desk: Desk) -> bytes:
    """Return every metric as it is now."""
    status = await desk.status()
    ended = await desk.outlook.census.ended()
    registry = CollectorRegistry()
    registry.register(_Families([*_families(status), *_operations(ended)]))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class _Families(Collector):
    """Metrics that were made already."""

    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _gauge(
    name: str,
    text: str,
    values: Iterable[tuple[tuple[str, ...], float | None]],
    labels: tuple[str, ...] = (),
) -> Metric:
    """Return a gauge; what is not known (None) has no sample."""
    family = GaugeMetricFamily(f"chainwatch_{name}", text, labels=labels)
    for label, value in values:
        if value is not None:
            family.add_metric(label, value)
    return family


def _families(status: Status) -> Iterator[Metric]:
    yield _gauge(
        "info",
        "Always 1.",
        [((status.installation, status.version), 1)],
        ("installation", "version"),
    )
    yield _gauge("ready", "Whether the daemon does its whole work.", [((), status.ready)])
    yield from _sources(status.sources)
    yield from _endpoints(status.sources)
    yield from _websockets(status.sources)
    yield from _machines(status)
    yield from _work(status)
    yield from _senders(status)
    yield from _said_by_people(status)


def _sources(sources: tuple[SourceReading, ...]) -> Iterator[Metric]:
    by_source = ("source",)

    def gauge(name: str, text: str, values: Iterable[float | None]) -> Metric:
        pairs = zip(sources, values, strict=True)
        return _gauge(
            f"source_{name}", text, [((source.name,), value) for source, value in pairs], by_source
        )

    yield _gauge(
        "source_state",
        "1 for how the source does.",
        [((s.name, word), float(s.word is word)) for s in sources for word in SourceWord],
        ("source", "state"),
    )
    yield gauge(
        "chain_time_seconds", "Timestamp of the cursor's block.", [s.chain_time for s in sources]
    )
    yield gauge("cursor_block", "Last block read.", [s.cursor for s in sources])
    yield gauge("confirmed_block", "Highest confirmed block.", [s.confirmed for s in sources])
    yield gauge("final_block", "Last finalized block.", [s.final for s in sources])
    yield gauge("head_block", "Highest block a node has shown.", [s.head for s in sources])
    yield gauge("idle_seconds", "Seconds since the chain went on.", [s.idle_for for s in sources])


def _endpoints(sources: tuple[SourceReading, ...]) -> Iterator[Metric]:
    endpoints = [
        ((source.name, each.host), each) for source in sources for each in source.endpoints
    ]

    def gauge(name: str, text: str, values: Iterable[float | None]) -> Metric:
        pairs = zip((label for label, _ in endpoints), values, strict=True)
        return _gauge(f"endpoint_{name}", text, pairs, ("source", "host"))

    every = [each for _, each in endpoints]
    usable = [not each.resting and each.quarantined is None for each in every]
    yield gauge("up", "Whether it is asked before those that are not.", usable)
    yield gauge(
        "quarantined",
        "Whether it was proven wrong.",
        [each.quarantined is not None for each in every],
    )
    yield gauge("failures", "Failures in a row of an endpoint.", [each.failures for each in every])
    yield gauge(
        "latency_seconds",
        "Moving average of what its answers took.",
        [None if each.latency_ms is None else each.latency_ms / 1000 for each in every],
    )
    yield gauge("lag_blocks", "Blocks behind the highest head shown.", [each.lag for each in every])


def _websockets(sources: tuple[SourceReading, ...]) -> Iterator[Metric]:
    feeds = [((each.name,), each.websocket) for each in sources if each.websocket is not None]
    yield _gauge(
        "websocket_connected",
        "Whether heads are announced.",
        [(label, feed.connected) for label, feed in feeds],
        ("source",),
    )
    yield _gauge(
        "websocket_reconnects",
        "Connections made again since the start.",
        [(label, feed.reconnects) for label, feed in feeds],
        ("source",),
    )


def _machines(status: Status) -> Iterator[Metric]:
    capacity = status.capacity
    yield _gauge("hypervisor_up", "Whether it can be believed.", [((), status.hypervisor.up)])
    yield _gauge(
        "hypervisor_surveyed_timestamp_seconds",
        "Wall time of the last survey of the machines.",
        [((), status.hypervisor.surveyed_at)],
    )
    yield _gauge(
        "vmids",
        "VMIDs of the range by what they are.",
        [
            (("ours",), capacity.ours),
            (("strangers",), capacity.strangers),
            (("resting",), capacity.resting),
            (("free",), capacity.free),
        ],
        ("state",),
    )
    yield _gauge("machines", "Machines that stand or are being made.", [((), status.machines)])
    yield _gauge("orphans", "Machines in the range not ours.", [((), len(status.orphans))])
    yield _gauge(
        "leases",
        "Leases by phase.",
        [
            ((source, phase), counts.get(phase, 0))
            for source, counts in status.leases.items()
            for phase in PHASES
        ],
        ("source", "phase"),
    )


def _work(status: Status) -> Iterator[Metric]:
    yield _gauge("work_due", "Keys that wait for a pass.", [((), status.due)])
    yield _gauge("work_parked", "Keys that were given up.", [((), status.parked)])
    yield _gauge(
        "operations_open",
        "Operations not seen to end.",
        [((step,), count) for step, count in status.operations.items()],
        ("step",),
    )
    yield _gauge("destroys_spent", "Destroys begun within the hour.", [((), status.destroys.spent)])
    yield _gauge("destroys_allowed", "Destroys an hour.", [((), status.destroys.allowed)])


def _senders(status: Status) -> Iterator[Metric]:
    by_account = [((str(each.chain_id), each.address), each) for each in status.senders]
    yield _gauge(
        "sender_balance_wei",
        "What the account of the hot key has.",
        [(label, None if s.balance is None else float(s.balance)) for label, s in by_account],
        ("chain_id", "address"),
    )
    yield _gauge(
        "sender_waiting",
        "Whether something keeps its transactions from going on.",
        [(label, float(bool(s.waits))) for label, s in by_account],
        ("chain_id", "address"),
    )
    yield _gauge(
        "sendings",
        "Transactions of our own that have not ended.",
        [
            ((*label, state), count)
            for label, s in by_account
            for state, count in (
                ("wanted", s.wanted),
                ("under_way", s.under_way),
                ("mined", s.mined),
            )
        ],
        ("chain_id", "address", "state"),
    )


def _said_by_people(status: Status) -> Iterator[Metric]:
    paused, held = {pause.scope for pause in status.pauses}, [hold.kind for hold in status.holds]
    yield _gauge(
        "paused",
        "Whether an operator paused it.",
        [((scope,), float(scope in paused)) for scope in ("effects", "destroys")],
        ("scope",),
    )
    yield _gauge(
        "holds",
        "Leases that an operator holds or suspended.",
        [((kind,), held.count(kind)) for kind in Hold],
        ("kind",),
    )
    alarms = [(alarm.name, alarm.severity) for alarm in status.alarms]
    yield _gauge(
        "alarms",
        "Alarms that stand.",
        [(each, alarms.count(each)) for each in sorted(set(alarms))],
        ("name", "severity"),
    )


def _operations(ended: Iterable[Ended]) -> Iterator[Metric]:
    counts = CounterMetricFamily(
        "chainwatch_operations", "Operations that ended.", labels=("step", "outcome")
    )
    seconds = SummaryMetricFamily(
        "chainwatch_operation_seconds",
        "From an operation's intent to its observed end.",
        labels=("step", "outcome"),
    )
    for each in ended:
        counts.add_metric((each.step, each.outcome), each.count)
        seconds.add_metric((each.step, each.outcome), each.count, each.seconds)
    yield counts
    yield seconds
