"""Putting what is known of leases and events into the words that operators read.

Pure: facts and outcomes go in, readings come out. Nothing is decided here; the sentences are those
that the pass itself would say.
"""

from msgspec.structs import fields

from chainwatch.control.passes import Pass
from chainwatch.control.readings import (
    EventLine,
    LeaseLine,
    MachineStory,
    PlanReading,
    Seen,
    View,
    Wanted,
)
from chainwatch.domain.desired import Facts
from chainwatch.domain.events import CredentialMoved, PlanEvent
from chainwatch.domain.lease import Lease, Plan, phase
from chainwatch.domain.promises import can_seal, reader, telling
from chainwatch.domain.sendings import Kind
from chainwatch.domain.tellings import Due, Way, again_at, due, last_told, telling_in
from chainwatch.store.encoding import kind_of
from chainwatch.store.journal import JournalEntry
from chainwatch.store.leases import LeaseRow
from provisioner.model import DesiredMachine, Observed
from provisioner.moments import utc
from provisioner.terms import DiskLimits, Terms

#: The phase of a lease whose mint a reorg took back.
GONE = "gone"


def line(
    row: LeaseRow,
    plan: Plan | None,
    chain_time: int,
    *,
    vmid: int | None,
    holds: tuple[str, ...],
    parked: bool,
) -> LeaseLine:
    """Return the line of a lease at `chain_time`."""
    lease = row.lease
    return LeaseLine(
        id=str(row.id),
        source=row.source,
        token=str(row.id.token),
        phase=phase(lease, chain_time) if lease else GONE,
        owner=lease.owner if lease else None,
        plan=plan.name or str(plan.id) if plan else _number(row.plan),
        expires_at=str(lease.expires_at) if lease else None,
        chain_time=chain_time,
        vmid=vmid,
        holds=holds,
        parked=parked,
    )


def view(lease: Lease | None) -> View | None:
    """Return a lease as one block shows it."""
    if lease is None:
        return None
    return View(
        owner=lease.owner,
        generation=lease.generation,
        plan=_number(lease.plan),
        expires_at=str(lease.expires_at),
        ssh_key=lease.ssh_key,
        burnt=lease.burnt,
        nonce=lease.nonce,
    )


def delivery(facts: Facts, way: Way | None, now: int) -> str | None:
    """Say how far the delivery of a lease is, and whether its owner was told how to get in.

    `way` is the one that was just seen, if any was, `now` the wall clock (s).
    """
    lease, dealings = facts.lease, facts.dealings
    if not facts.delivers or lease is None or lease.burnt:
        return None
    if not lease.delivered_at:
        if dealings.cancels(lease.nonce):
            return "not delivered: it is cancelled, and all that was paid goes back"
        under_way = "its delivery is under way" if dealings.wants(Kind.DELIVER, lease.nonce) else ""
        if not facts.answers:
            under_way = "we deliver nothing there while no [sender] is configured for its chain"
        return f"not delivered yet, due until {utc(lease.expires_at)}; {under_way}".rstrip("; ")
    parts = [f"delivered on {utc(lease.delivered_at)}", _told_how(facts, lease, way, now)]
    if dealings.upgrade is not None:
        wanted = dealings.upgrade
        parts.append(f"plan {wanted.plan} is asked for until {utc(wanted.deadline)}")
        if not facts.answers:
            parts.append("nothing is done for it, for nothing is sent there: configure [sender]")
    return "; ".join(parts)


def _told_how(facts: Facts, lease: Lease, way: Way | None, now: int) -> str:
    dealings = facts.dealings
    if not lease.encryption_key:
        return "its owner has published no encryption key, so he is told nothing"
    if not can_seal(lease):
        return "nothing can be sealed to its encryption key: its owner must publish another"
    last = last_told(dealings)
    told = None if last is None else telling_in(last.cause)
    is_his = told is not None and (told.nonce, told.reader) == (lease.nonce, reader(facts, lease))
    changed = way is not None and _is_new(facts, lease, way)
    if is_his and not changed and last is not None and last.failed and not dealings.shows(last):
        return (
            f"telling its owner how to get in has failed; `chainwatch retry {facts.id.token}` has "
            "it tried again"
        )
    if dealings.published is None and is_his:
        return "its owner is being told how to get in"
    known = dealings.published is not None and (is_his or last is None)
    if way is None:
        if known:
            return "its owner was told how to get in"
        return "its owner is told how to get in when his key is final and his machine runs"
    if not changed:
        return "its owner was told how to get in"
    at = again_at(dealings, telling(facts, lease, way), now)
    if at is not None:
        return f"its owner was told how to get in so often that he is told anew on {utc(at)} only"
    if known:
        return "the way in has changed since its owner was told: he is told anew"
    return "its owner is told how to get in when his key is final"


def _is_new(facts: Facts, lease: Lease, way: Way) -> bool:
    return due(facts.dealings, telling(facts, lease, way), way.life.begun) is Due.TELL


def plan_reading(plan: Plan | None) -> PlanReading | None:
    """Return what was sold; None where the chain has not said it."""
    if plan is None or not plan.defined:
        return None
    return PlanReading(
        id=str(plan.id),
        name=plan.name,
        kind=plan.kind,
        cores=str(plan.cores),
        memory_mib=str(plan.memory_mib),
        disk_gib=str(plan.disk_gib),
        grace=str(plan.grace),
    )


def machine(each: Pass, *, current: bool) -> MachineStory:
    """Return what a pass would do about one machine, and why."""
    step = each.decision.step if each.decision else None
    return MachineStory(
        nonce=each.want.nonce,
        current=current,
        wanted=_wanted(each.want),
        seen=_seen(each.seen),
        next=step.name if step else None,
        refused=each.refused.reason if each.refused else None,
        settled=each.settled,
        sentence=each.sentence,
    )


def event(entry: JournalEntry) -> EventLine:
    """Return a line of the journal; amounts and ids become decimal text."""
    said, logged = entry.logged.event, entry.logged
    about = "plan" if isinstance(said, PlanEvent) else "token"
    values = {field.name: getattr(said, field.name) for field in fields(said)}
    number = None if isinstance(said, CredentialMoved) else str(values.pop(about))
    return EventLine(
        id=entry.id,
        source=entry.source,
        block=logged.block,
        block_hash=logged.block_hash,
        log_index=logged.log_index,
        tx_hash=logged.tx_hash,
        kind=kind_of(said),
        token=number if about == "token" else None,
        plan=number if about == "plan" else None,
        fields={name: v if isinstance(v, bool) else str(v) for name, v in values.items()},
        seen_at=entry.seen_at,
        orphaned_at=entry.orphaned_at,
    )


def _wanted(want: DesiredMachine) -> Wanted:
    return Wanted(
        presence=want.presence,
        cores=_number(want.spec.cores if want.spec else None),
        memory_mib=_number(want.spec.memory_mib if want.spec else None),
        disk_gib=_number(want.spec.disk_gib if want.spec else None),
        owner=want.access.owner,
        held=want.held,
        ended=want.ended,
        grace=_number(want.retirement.grace if want.retirement else None),
        terms=_terms(want.terms),
    )


def _terms(terms: Terms) -> dict[str, str]:
    """Return what a plan decides here, by the configuration's own keys; what it leaves out, not."""
    told = {
        "bridge": terms.bridge,
        "vlan": terms.vlan,
        "rate": terms.rate,
        "cpu_limit": terms.cpu_limit,
        "disk": terms.disk and _disk(terms.disk),
        "nodes": ", ".join(sorted(terms.nodes)),
        "template_vms": ", ".join(map(str, terms.templates)),
        "clone": terms.cloning and str(terms.cloning),
        "container_storage": terms.container_storage,
        "firewall": terms.inbound and str(terms.inbound),
        "cloud_init": terms.cloud_init,
        "smtp": {None: None, True: "allowed", False: "blocked"}[terms.smtp],
        "ipv4": terms.ipv4 and f"{terms.ipv4.first} via {terms.ipv4.gateway}",
        "ipv6": terms.ipv6 and f"{terms.ipv6.first} via {terms.ipv6.gateway}",
        "host_routes": terms.host_routes and "yes",
    }
    return {key: str(value) for key, value in told.items() if value}


def _disk(limits: DiskLimits) -> str:
    told = {
        "mbps_read": limits.mbps_read,
        "mbps_write": limits.mbps_write,
        "iops_read": limits.iops_read,
        "iops_write": limits.iops_write,
    }
    return ", ".join(f"{key} {value:g}" for key, value in told.items() if value)


def _seen(have: Observed | None) -> Seen | None:
    if have is None:
        return None
    return Seen(
        vmid=have.vmid,
        node=have.node,
        exists=have.config is not None,
        power=have.power,
        uptime=have.uptime,
        lock=have.config.lock if have.config else None,
        answers=have.answers,
        suspended_at=have.stamps.suspended_at,
        operation=have.operation.step if have.operation else None,
    )


def _number(number: int | None) -> str | None:
    return None if number is None else str(number)
