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


def status(*, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """Show how everything is, at a glance."""
    raw = Client(socket).get("/status")
    if as_json:
        return show_json(raw)
    found = Answer.of(raw)
    pairs(_summary(found))
    heading("Sources")
    table(
        ("NAME", "STATE", "CHAIN TIME", "CURSOR", "CONFIRMED", "FINAL", "HEAD", "ENDPOINTS"),
        [_source(source) for source in found.all("sources")],
        "none",
    )
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
    ]
    if hypervisor and hypervisor.flag("up"):
        surveyed = relative(hypervisor.maybe("surveyed_at"), now)
        rows.append(("hypervisor", f"up, machines surveyed {surveyed}"))
    if capacity:
        rows.append(("VMIDs", _capacity(capacity)))
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
    hosts = [
        each.text("host") + (" (failing)" if each.number("failures") else "")
        for each in source.all("endpoints")
    ]
    blocks = [source.text(name) for name in ("cursor", "confirmed", "final", "head")]
    chain_time = source.number("chain_time")
    return (
        source.text("name"),
        coloured(source.text("word")),
        moment(chain_time) if chain_time else "",
        *blocks,
        ", ".join(hosts),
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
