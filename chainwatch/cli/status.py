"""`chainwatch status` and `alarms`: the daemon at a glance, and what a person should know now."""

from chainwatch.admin.client import DEFAULT_SOCKET, Client
from chainwatch.cli.answers import Answer, answers
from chainwatch.cli.options import AsJson, Socket
from chainwatch.cli.printing import (
    Cell,
    Row,
    coloured,
    heading,
    moment,
    pairs,
    relative,
    show_json,
    span,
    table,
)
from chainwatch.cli.senders import show_senders


def status(*, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """Show how everything is, at a glance."""
    raw = Client(socket).get("/status")
    if as_json:
        return show_json(raw)
    found = Answer.of(raw)
    pairs(_summary(found))
    heading("Sources")
    table(
        ("NAME", "STATE", "CHAIN TIME", "CURSOR", "CONFIRMED", "FINAL", "HEAD"),
        [_source(source) for source in found.all("sources")],
        "none",
    )
    heading("Endpoints")
    table(
        ("SOURCE", "ENDPOINT", "STATE", "LATENCY", "BEHIND", "WHY"),
        [row for source in found.all("sources") for row in _endpoints(source)],
        "none",
    )
    show_senders(found.all("senders"))
    _room(found.one("room"))
    _forbidden(found)
    _alarmed(found.all("alarms"), found.number("now"))
    return None


def alarms(*, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """List the alarms that stand, the critical first."""
    raw = Client(socket).get("/alarms")
    if as_json:
        return show_json(raw)
    table(("SEVERITY", "ALARM", "ABOUT", "SINCE", "TEXT"), _alarm_rows(answers(raw)), "no alarms")
    return None


def _summary(found: Answer) -> list[tuple[str, str | Cell]]:
    ready = found.flag("ready")
    hypervisor, now = found.one("hypervisor"), found.number("now")
    capacity, destroys = found.one("capacity"), found.one("destroys")
    rows: list[tuple[str, str | Cell]] = [
        ("installation", f"{found.text('installation')}, up {span(found.number('uptime'))}"),
        ("version", found.text("version")),
        ("state", coloured("ready" if ready else "not ready")),
        *(("", Cell(why, "yellow")) for why in found.texts("unready")),
        *(
            ("", Cell(_alone(source), "yellow"))
            for source in found.all("sources")
            if source.text("alone")
        ),
    ]
    if hypervisor and hypervisor.flag("up"):
        surveyed = relative(hypervisor.maybe("surveyed_at"), now)
        rows.append(("hypervisor", f"up, machines surveyed {surveyed}"))
    if capacity:
        rows.append(("VMIDs", _capacity(capacity)))
    if (room := found.one("room")) and (missing := room.texts("missing_templates")):
        text = f"the cluster does not show template {', '.join(missing)}"
        rows.append(("templates", Cell(text, "yellow")))
    rows += [
        ("leases", _leases(found)),
        ("machines", str(found.number("machines"))),
        ("work", _work(found)),
    ]
    if destroys:
        spent, allowed = destroys.number("spent"), destroys.number("allowed")
        rows.append(("destroys", f"{spent} within the hour, {allowed} allowed"))
    if found.text("metrics_listen"):
        rows.append(("metrics", f"http://{found.text('metrics_listen')}/metrics"))
    return rows


def _alone(source: Answer) -> str:
    return (
        f"source {source.text('name')}: no second endpoint confirms it, so nothing more of it "
        f"becomes final: {source.text('alone')}"
    )


def _capacity(capacity: Answer) -> str:
    parts = [f"{name} {capacity.number(name)}" for name in ("ours", "strangers", "resting", "free")]
    return f"{', '.join(parts)} of {capacity.number('all')}"


def _leases(found: Answer) -> str:
    said = []
    for source, counts in found.items("leases"):
        phases = Answer.of(counts)
        counted = [f"{phases.number(phase)} {phase}" for phase in phases.fields]
        said.append(f"{source}: {', '.join(counted) or 'none'}")
    return "; ".join(said) or "none"


def _work(found: Answer) -> str:
    steps = [f"{count} {step}" for step, count in found.items("operations")]
    opened = f"open operations: {', '.join(steps)}" if steps else "no open operation"
    return f"{found.number('due')} due, {found.number('parked')} parked, {opened}"


def _source(source: Answer) -> Row:
    blocks = [source.text(name) for name in ("cursor", "confirmed", "final", "head")]
    chain_time = source.number("chain_time")
    return (
        source.text("name"),
        coloured(source.text("word")),
        moment(chain_time) if chain_time else "",
        *blocks,
    )


def _endpoints(source: Answer) -> list[Row]:
    name, feed = source.text("name"), source.one("websocket")
    rows = [_endpoint(name, each) for each in source.all("endpoints")]
    return rows if feed is None else [*rows, _websocket(source, feed)]


def _endpoint(source: str, endpoint: Answer) -> Row:
    quarantined, resting = endpoint.text("quarantined"), endpoint.flag("resting")
    failing = resting or endpoint.number("failures") > 0
    return (
        source,
        endpoint.text("host"),
        coloured("quarantined" if quarantined else "resting" if resting else "ok"),
        _with_unit(endpoint.maybe("latency_ms"), "ms"),
        _with_unit(endpoint.maybe("lag"), "blocks"),
        quarantined or (endpoint.text("last_error") if failing else ""),
    )


def _websocket(source: Answer, feed: Answer) -> Row:
    connected, head = feed.flag("connected"), feed.maybe("head")
    behind = None if head is None else max(0, source.number("head") - head)
    lasts, again = span(feed.number("seconds")), feed.number("reconnects")
    return (
        source.text("name"),
        f"{feed.text('host')} (websocket)",
        coloured("connected" if connected else "lost"),
        "",
        _with_unit(behind, "blocks"),
        f"for {lasts}, connected again {again} times" if connected else feed.text("why"),
    )


def _with_unit(number: int | None, unit: str) -> str:
    return "" if number is None else f"{number} {unit}"


def _room(room: Answer | None) -> None:
    if room is None:
        return
    heading(f"Nodes and storages, as seen {span(room.number('age'))} ago")
    table(
        ("NODE", "STATE", "MEMORY", "SOLD", "LEFT", "MACHINES"),
        [_node(node) for node in room.all("nodes")],
        "none",
    )
    table(
        ("STORAGE", "NODE", "STATE", "SIZE", "LEFT", "SOLD", "MAY BE SOLD"),
        [_storage(storage) for storage in room.all("storages")],
        "no storage for disks that the token may see",
    )


def _node(node: Answer) -> Row:
    amounts = [f"{node.number(name)} MiB" for name in ("memory_mib", "sold_mib", "left_mib")]
    state = node.text("state")
    return (node.text("name"), coloured(state), *amounts, str(node.number("machines")))


def _storage(storage: Answer) -> Row:
    sold, limit = storage.maybe("sold_gib"), storage.maybe("limit_gib")
    return (
        storage.text("name"),
        storage.text("node") or "all",
        coloured("ready" if storage.flag("available") else "away"),
        *(f"{storage.number(name)} GiB" for name in ("size_gib", "left_gib")),
        "not known" if sold is None else f"{sold} GiB",
        "no limit" if limit is None else f"{limit} GiB",
    )


def _forbidden(found: Answer) -> None:
    pauses, holds = found.all("pauses"), found.all("holds")
    if pauses:
        heading("Paused (`chainwatch resume-all` goes on)")
        rows = [(p.text("scope"), p.text("reason"), _by(p)) for p in pauses]
        table(("WHAT", "WHY", "BY"), rows, "")
    if holds:
        heading("Held")
        held = [(h.text("lease"), h.text("kind"), h.text("reason"), _by(h)) for h in holds]
        table(("LEASE", "KIND", "WHY", "BY"), held, "")


def _by(order: Answer) -> str:
    return f"uid {order.number('uid')}, {moment(order.maybe('since'))}"


def _alarmed(found: list[Answer], now: int) -> None:
    if not found:
        return
    heading("Alarms")
    rows = [
        (
            coloured(each.text("severity")),
            each.text("name"),
            each.text("subject"),
            relative(each.maybe("since"), now),
            each.text("text"),
        )
        for each in found
    ]
    table(("SEVERITY", "ALARM", "ABOUT", "SINCE", "TEXT"), rows, "")


def _alarm_rows(found: list[Answer]) -> list[Row]:
    return [
        (
            coloured(each.text("severity")),
            each.text("name"),
            each.text("subject"),
            moment(each.maybe("since")),
            each.text("text"),
        )
        for each in found
    ]
