"""The lease and plan rows, kept equal to the fold of the journal's events.

Two ways lead there and must agree: `extend` folds new events onto the stored rows (every batch),
`refold` folds a token's whole history again (after a rewind, and to verify). A lease whose mint a
reorg took back is not deleted: its row stays as gone, without an owner but with the last known
nonce and plan, so that its machine is still found and given its grace.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from chainwatch.domain.batches import Source
from chainwatch.domain.credentials import folded_as
from chainwatch.domain.events import CredentialMoved, Logged, PlanDefined, PlanEvent
from chainwatch.domain.lease import (
    Lease,
    Plan,
    fold,
    fold_all,
    fold_plan,
    lease_ids,
    mints_first,
)
from chainwatch.store.database import Reading, Row, Transaction
from chainwatch.store.encoding import event_from, number_of, packed, plan_from, sortable

LEASE = (
    "SELECT id, source, token, owner, nonce, generation, plan, expires_at, ssh_key,"
    " encryption_key, burnt, delivered_at, wake_at, wake_final_at FROM lease"
)
EVENT = (
    "SELECT id, source, block, block_hash, log_index, tx_hash, kind, token, plan, fields, seen_at,"
    " orphaned_at FROM event"
)
_AMONG = "(SELECT value FROM json_each(?)) "
_TOKENS = f"{EVENT} WHERE source = ? AND token IN {_AMONG} AND orphaned_at IS NULL"
_PLANS = f"{EVENT} WHERE source = ? AND plan IN {_AMONG} AND orphaned_at IS NULL"


def lease_from(row: Row) -> Lease | None:
    """Read a lease back; None when it is gone."""
    if row["owner"] is None:
        return None
    return Lease(
        token=number_of(row["token"]),
        owner=row["owner"],
        nonce=row["nonce"],
        generation=row["generation"],
        plan=None if row["plan"] is None else number_of(row["plan"]),
        expires_at=number_of(row["expires_at"]),
        ssh_key=row["ssh_key"],
        encryption_key=row["encryption_key"],
        burnt=bool(row["burnt"]),
        delivered_at=row["delivered_at"],
    )


def folded_from(rows: Iterable[Row]) -> Iterator[Logged]:
    """Read back what the events about one lease say of it."""
    for row in rows:
        logged: Logged | None = logged_from(row)
        if logged is not None and isinstance(logged.event, CredentialMoved):
            logged = folded_as(logged, number_of(row["token"]))
        if logged is not None:
            yield logged


def logged_from(row: Row) -> Logged:
    """Read an event back."""
    event = event_from(row["kind"], row["fields"])
    return Logged(event, row["block"], row["block_hash"], row["log_index"], row["tx_hash"])


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows that new events are folded onto, and the leases of the plans that they define."""

    leases: dict[int, Lease | None]
    plans: dict[int, Plan]
    of_plans: set[str]


async def stored(read: Reading, source: Source, events: Iterable[Logged]) -> Stored:
    """Read the rows of what `events` are about, as they are before them."""
    tokens: set[int] = set()
    plans: set[int] = set()
    defined: set[int] = set()
    for logged in events:
        event = logged.event
        if isinstance(event, PlanEvent):
            plans.add(event.plan)
            if isinstance(event, PlanDefined):
                defined.add(event.plan)
        elif not isinstance(event, CredentialMoved):
            tokens.add(event.token)
    return Stored(
        await _stored_leases(read, source, tokens),
        await _stored_plans(read, source, plans),
        await _leases_of(read, source, defined),
    )


def extend(tx: Transaction, source: Source, before: Stored, events: Sequence[Logged]) -> set[str]:
    """Fold new events, oldest first, onto the rows; returns the ids of the leases they change."""
    leases, plans = before.leases, before.plans
    for logged in mints_first(events):
        event = logged.event
        if isinstance(event, PlanEvent):
            plans[event.plan] = fold_plan(plans.get(event.plan), event)
        elif not isinstance(event, CredentialMoved):
            leases[event.token] = fold(leases.get(event.token), event, logged.tx_hash)
    _write_plans(tx, source, plans)
    return before.of_plans | _write_leases(tx, source, leases)


async def refold(
    tx: Transaction, source: Source, tokens: Collection[str], plans: Collection[str]
) -> set[str]:
    """Fold the whole histories of `tokens` and `plans` (as stored) onto their rows."""
    known = await _ids(tx, source, tokens)
    folded = await folded_leases(tx, source.name, tokens)
    _write_leases(tx, source, {lease.token: lease for lease in folded.values()})
    await tx.many(
        "UPDATE lease SET owner = NULL, ssh_key = '', encryption_key = '', burnt = 0"
        " WHERE source = ? AND token = ?",
        [(source.name, token) for token in tokens if token not in folded],
    )
    kept = await folded_plans(tx, source.name, plans)
    _write_plans(tx, source, {plan.id: plan for plan in kept.values()})
    await tx.many(
        "DELETE FROM plan WHERE source = ? AND id = ?",
        [(source.name, plan) for plan in plans if plan not in kept],
    )
    return known | await _leases_of(tx, source, {number_of(plan) for plan in plans})


async def folded_leases(read: Reading, source: str, tokens: Collection[str]) -> Mapping[str, Lease]:
    """Fold the journal anew for `tokens` (as stored); one that was never minted is missing."""
    folded = {}
    rows = await read.rows(
        f"{_TOKENS} ORDER BY token, block, log_index", source, json.dumps(list(tokens))
    )
    for token, history in groupby(rows, key=lambda row: str(row["token"])):
        lease = fold_all(folded_from(history))
        if lease is not None:
            folded[token] = lease
    return folded


async def folded_plans(read: Reading, source: str, plans: Collection[str]) -> Mapping[str, Plan]:
    """Fold the journal anew for `plans` (as stored)."""
    folded: dict[str, Plan] = {}
    rows = await read.rows(
        f"{_PLANS} ORDER BY plan, block, log_index", source, json.dumps(list(plans))
    )
    for row in rows:
        event = logged_from(row).event
        if isinstance(event, PlanEvent):
            folded[row["plan"]] = fold_plan(folded.get(row["plan"]), event)
    return folded


async def _stored_leases(
    read: Reading, source: Source, tokens: Iterable[int]
) -> dict[int, Lease | None]:
    rows = await _among(read, source, tokens, f"{LEASE} WHERE source = ? AND token IN {_AMONG}")
    return {number_of(row["token"]): lease_from(row) for row in rows}


async def _stored_plans(read: Reading, source: Source, plans: Iterable[int]) -> dict[int, Plan]:
    rows = await _among(
        *(read, source, plans),
        "SELECT id, fields FROM plan WHERE source = ? AND id IN (SELECT value FROM json_each(?))",
    )
    return {number_of(row["id"]): plan_from(row["fields"]) for row in rows}


def _write_leases(tx: Transaction, source: Source, leases: Mapping[int, Lease | None]) -> set[str]:
    ids = lease_ids(source.chain_id, source.contract)
    rows = [_lease_row(source, ids, lease) for lease in leases.values() if lease is not None]
    tx.insert(
        "lease (id, source, token, owner, nonce, generation, plan, expires_at, ssh_key,"
        " encryption_key, burnt, delivered_at)",
        rows,
        "ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, nonce = excluded.nonce,"
        " generation = excluded.generation, plan = excluded.plan,"
        " expires_at = excluded.expires_at, ssh_key = excluded.ssh_key,"
        " encryption_key = excluded.encryption_key, burnt = excluded.burnt,"
        " delivered_at = excluded.delivered_at",
    )
    return {str(row[0]) for row in rows}


def _lease_row(source: Source, ids: str, lease: Lease) -> tuple[str | int | None, ...]:
    return (
        f"{ids}{lease.token}",
        source.name,
        sortable(lease.token),
        lease.owner,
        lease.nonce,
        lease.generation,
        None if lease.plan is None else sortable(lease.plan),
        sortable(lease.expires_at),
        lease.ssh_key,
        lease.encryption_key,
        int(lease.burnt),
        lease.delivered_at,
    )


def _write_plans(tx: Transaction, source: Source, plans: Mapping[int, Plan]) -> None:
    tx.insert(
        "plan (source, id, fields)",
        [(source.name, sortable(number), packed(plan)) for number, plan in plans.items()],
        "ON CONFLICT (source, id) DO UPDATE SET fields = excluded.fields",
    )


async def _ids(read: Reading, source: Source, tokens: Collection[str]) -> set[str]:
    rows = await read.rows(
        "SELECT id FROM lease WHERE source = ? AND token IN (SELECT value FROM json_each(?))",
        *(source.name, json.dumps(list(tokens))),
    )
    return {row["id"] for row in rows}


async def _leases_of(read: Reading, source: Source, plans: Iterable[int]) -> set[str]:
    rows = await _among(
        *(read, source, plans),
        "SELECT id FROM lease WHERE source = ? AND plan IN (SELECT value FROM json_each(?))",
    )
    return {row["id"] for row in rows}


async def _among(read: Reading, source: Source, numbers: Iterable[int], sql: str) -> list[Row]:
    """Return what `sql` finds of a source among these tokens or plans; for none, ask nothing."""
    wanted = [sortable(number) for number in numbers]
    return await read.rows(sql, source.name, json.dumps(wanted)) if wanted else []
