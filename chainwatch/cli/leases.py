"""`chainwatch leases` and `show`: which leases there are, and everything about one of them."""

from typing import Annotated, TypeAlias

import typer

from chainwatch.admin.client import DEFAULT_SOCKET, Client, lease_route
from chainwatch.cli.answers import Answer, answers
from chainwatch.cli.history import event_rows, operation_rows
from chainwatch.cli.options import AsJson, Lease, Limit, Socket
from chainwatch.cli.printing import (
    Cell,
    Row,
    coloured,
    heading,
    moment,
    pairs,
    relative,
    short,
    show_json,
    span,
    table,
)
from chainwatch.cli.senders import show_sendings

Pair: TypeAlias = tuple[str, str | Cell]


def leases(
    *,
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    phase: Annotated[
        str | None, typer.Option(help="Only active, expired, burnt or gone ones.")
    ] = None,
    limit: Limit = 1000,
    socket: Socket = DEFAULT_SOCKET,
    as_json: AsJson = False,
) -> None:
    """List the leases that the chains know."""
    query = {"source": source, "phase": phase, "limit": limit}
    raw = Client(socket).get("/leases", query)
    if as_json:
        return show_json(raw)
    table(
        ("TOKEN", "SOURCE", "PHASE", "PLAN", "OWNER", "ENDS", "VM", "NOTES"),
        [_line(each) for each in answers(raw)],
        "no leases",
    )
    return None


def show(lease: Lease, *, socket: Socket = DEFAULT_SOCKET, as_json: AsJson = False) -> None:
    """Show all about one lease, and why it waits."""
    raw = Client(socket).get(lease_route(lease))
    if as_json:
        return show_json(raw)
    story = Answer.of(raw)
    line, source = story.one("line"), story.one("source")
    if line is None or source is None:
        return None
    pairs([("lease", Cell(line.text("id"), "bold")), ("phase", coloured(line.text("phase")))])
    pairs(_chain(story, source), "Chain")
    for machine in story.all("machines"):
        _machine(machine)
    pairs(_waiting(story), "Waits")
    _lists(story)
    return None


def _line(each: Answer) -> Row:
    ends = relative(each.maybe("expires_at"), each.number("chain_time"))
    notes = [*each.texts("holds"), *(["parked"] if each.flag("parked") else [])]
    return (
        each.text("token"),
        each.text("source"),
        coloured(each.text("phase")),
        each.text("plan"),
        short(each.text("owner")),
        ends,
        each.text("vmid"),
        Cell(", ".join(notes), "yellow"),
    )


def _chain(story: Answer, source: Answer) -> list[Pair]:
    now = source.number("chain_time")
    rows: list[Pair] = [
        (
            "source",
            f"{source.text('name')}, {source.text('word')}, at block {source.text('cursor')}",
        ),
        ("chain time", f"{moment(now)} UTC"),
    ]
    confirmed, final, plan = story.one("confirmed"), story.one("final"), story.one("plan")
    rows += _view(confirmed, now) if confirmed else [("mint", "taken back by a reorg")]
    if plan:
        rows.append(("plan", _plan(plan)))
    if story.text("delivery"):
        rows.append(("delivery", story.text("delivery")))
    if final is None:
        rows.append(("final", Cell("not minted in the finalized view yet", "yellow")))
    elif confirmed and final.fields != confirmed.fields:
        at = source.maybe("final_time") or now
        rows += [(f"final {name}", value) for name, value in _view(final, at)]
    else:
        rows.append(("final", "the same"))
    return rows


def _view(view: Answer, now: int) -> list[Pair]:
    expires_at = view.maybe("expires_at")
    burnt = " (burnt)" if view.flag("burnt") else ""
    changes = view.number("generation")
    since = f", after {changes} changes of owner" if changes else ""
    return [
        ("owner", f"{view.text('owner')}{burnt}{since}"),
        ("expires", f"{moment(expires_at)} UTC, {relative(expires_at, now)}"),
        ("ssh key", view.text("ssh_key") or "none"),
    ]


def _plan(plan: Answer) -> str:
    hardware = (
        f"{plan.text('cores')} cores, {plan.text('memory_mib')} MiB, {plan.text('disk_gib')} GiB"
    )
    grace = span(plan.maybe("grace") or 0)
    return f"{plan.text('name') or plan.text('id')}: {hardware}, {grace} of grace"


def _machine(machine: Answer) -> None:
    wanted, seen = machine.one("wanted"), machine.one("seen")
    which = "Machine" if machine.flag("current") else f"Former machine {machine.text('nonce')[:8]}"
    rows: list[Pair] = []
    if wanted:
        rows.append(("desired", _wanted(wanted)))
        if terms := wanted.fields.get("terms"):
            rows.append(("by its plan", _terms(terms)))
    rows.append(("observed", _seen(seen) if seen else Cell("could not be looked at", "yellow")))
    rows.append(("next step", machine.text("next") or "none"))
    style = "green" if machine.flag("settled") else "yellow"
    rows.append(("because", Cell(machine.text("sentence"), style)))
    pairs(rows, which)


def _terms(terms: object) -> str:
    told = terms.items() if isinstance(terms, dict) else ()
    return "; ".join(f"{key} {value}" for key, value in told)


def _wanted(wanted: Answer) -> str:
    parts = [wanted.text("presence")]
    if wanted.maybe("cores") is not None:
        parts.append(f"{wanted.text('cores')} cores")
        parts.append(f"{wanted.text('memory_mib')} MiB")
        parts.append(f"{wanted.text('disk_gib')} GiB")
    if wanted.flag("held"):
        parts.append("held")
    if wanted.flag("ended"):
        grace = wanted.maybe("grace")
        destroy = "not to be destroyed yet" if grace is None else f"{span(grace)} of grace"
        parts.append(f"ended ({destroy})")
    return ", ".join(parts)


def _seen(seen: Answer) -> str | Cell:
    operation = seen.text("operation")
    under_way = f"{operation} of VM {seen.text('vmid')} is under way" if operation else ""
    if not seen.flag("exists"):
        return under_way or "no machine"
    parts = [f"VM {seen.text('vmid')} on {seen.text('node')}", seen.text("power")]
    if seen.number("uptime"):
        parts.append(f"up {span(seen.number('uptime'))}")
    if seen.text("lock"):
        parts.append(f"locked ({seen.text('lock')})")
    if seen.maybe("suspended_at") is not None:
        parts.append(f"suspended since {moment(seen.maybe('suspended_at'))} UTC of chain time")
    return ", ".join([*parts, under_way] if under_way else parts)


def _waiting(story: Answer) -> list[Pair]:
    waits, work = story.text("waits"), story.one("work")
    nothing = "nothing: its machine is as desired"
    rows: list[Pair] = [("for", Cell(waits, "yellow") if waits else nothing)]
    wakes = {"at chain time": "wake_time", "at final chain time": "wake_final_time"}
    rows += [
        (said, f"{moment(story.maybe(name))} UTC")
        for said, name in wakes.items()
        if story.maybe(name) is not None
    ]
    if work:
        rows.append(("queued", work.text("reason")))
        if work.number("attempts"):
            rows.append(("failures", f"{work.number('attempts')}, {work.text('last_error')}"))
    return rows


def _lists(story: Answer) -> None:
    holds, alarms = story.all("holds"), story.all("alarms")
    if holds:
        heading("Held")
        rows = [(h.text("kind"), h.text("reason"), moment(h.maybe("since"))) for h in holds]
        table(("KIND", "WHY", "SINCE"), rows, "")
    if alarms:
        heading("Alarms")
        said = [(coloured(a.text("severity")), a.text("name"), a.text("text")) for a in alarms]
        table(("SEVERITY", "ALARM", "TEXT"), said, "")
    if story.all("orders"):
        heading("Orders, newest first")
        asked = [_order(each) for each in story.all("orders")]
        table(("ASKED", "NUMBER", "ORDER", "BY", "WHY", "OUTCOME", "SAID"), asked, "")
    show_sendings(story.all("sendings"))
    heading("Operations, newest first")
    columns, operations = operation_rows(story.all("operations"), with_key=False)
    table(columns, operations, "none yet")
    heading("Events, oldest first")
    names, events = event_rows(story.all("events"), with_source=False)
    table(names, events, "none")


def _order(order: Answer) -> Row:
    uid = order.maybe("uid")
    return (
        moment(order.maybe("asked_at")),
        order.text("number"),
        " ".join(filter(None, (order.text("verb"), order.text("name")))),
        "the chain" if uid is None else f"user {uid}",
        order.text("reason"),
        coloured(order.text("outcome") or "open"),
        order.text("said"),
    )
