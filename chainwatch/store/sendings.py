"""What the daemon wants done on chains: durable from the commit of its cause to how it ended.

Law: an intent is written in the transaction of what caused it, once for each (source, kind, lease,
cause). A signed transaction is written, with the nonce that it takes, before anybody sees it; the
nonce is chosen in that same commit, so two intents never have one. No intent is ever deleted, and
the alarms about its lease are derived in the commit that changes it.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Final

from chainwatch.domain.sendings import (
    MOST_REVERTS,
    Attempt,
    Call,
    Intent,
    Kind,
    Offer,
    Sending,
    State,
)
from chainwatch.store import audit, sender_alarms, workqueue
from chainwatch.store.database import Database, Reading, Row, Transaction
from chainwatch.store.encoding import number_of, sortable

#: Seconds for which a delivery is let alone then, twice as long each time, up to the second.
_PAUSE, _LONGEST_PAUSE = 60, 3_600
#: What a pass takes at once of what is due.
MOST_DUE: Final = 64

_SENDING: Final = """
SELECT *,
    (SELECT iif(owner IS NULL, '', nonce) FROM lease WHERE lease.id = sending.lease) AS present,
    EXISTS (
        SELECT 1 FROM lease JOIN source ON source.name = lease.source
        JOIN event ON event.source = lease.source AND event.token = lease.token
        WHERE lease.id = sending.lease AND event.block <= source.final
        AND event.kind IN ('lease_minted', 'subscribed', 'transferred')
        AND event.orphaned_at IS NULL
    ) AS settled,
    kind IN ('upgrade', 'refuse') AND EXISTS (
        SELECT 1 FROM lease JOIN source ON source.name = lease.source
        JOIN event ON event.source = lease.source AND event.token = lease.token
        WHERE lease.id = sending.lease AND event.block <= source.final
        AND event.kind = 'upgrade_updated' AND event.orphaned_at IS NULL
        AND sending.cause LIKE '% of ' || event.tx_hash
    ) AS asked,
    kind = 'publish' AND EXISTS (
        SELECT 1 FROM sending AS later
        WHERE later.lease = sending.lease AND later.kind = 'publish' AND later.id > sending.id
    ) AS overtaken
FROM sending
"""
_OF_JOURNAL: Final = """
SELECT DISTINCT sending.id FROM sending
JOIN attempt ON attempt.sending = sending.id
JOIN event ON event.source = sending.source AND event.block = sending.block
    AND event.block_hash = sending.block_hash AND event.tx_hash = attempt.hash
JOIN source ON source.name = event.source
WHERE sending.chain_id = ? AND sending.done_at IS NULL AND sending.nonce = attempt.nonce
AND attempt.void = 0 AND event.orphaned_at IS NULL AND event.block <= source.final
"""


async def want(tx: Transaction, intent: Intent, *, now: int) -> bool:
    """Want something, in the transaction of its cause; false where it was wanted before."""
    rows = await tx.rows(
        "INSERT INTO sending (source, kind, lease, cause, target, data, value, chain_id, wanted_at)"
        " SELECT name, ?2, ?3, ?4, ?5, ?6, ?7, chain_id, ?8 FROM source WHERE name = ?1"
        " ON CONFLICT (source, kind, lease, cause) DO NOTHING RETURNING id",
        *(intent.source, intent.kind.value, intent.lease, intent.cause),
        *(intent.call.to.lower(), intent.call.data, sortable(intent.call.value), now),
    )
    return bool(rows)


class Sendings:
    """Orders, signs, observes and ends; `now` is wall seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def order(self, intent: Intent, uid: int, reason: str, *, now: int) -> bool:
        """Want something because user `uid` says so; false where it was wanted before."""
        async with self._db.transaction("sending_want") as tx:
            await audit.record(tx, uid, intent.kind.value, intent.lease, reason, now=now)
            workqueue.enqueue(tx, [intent.lease], f"an operator asked for {intent.kind.value}")
            return await want(tx, intent, now=now)

    # ------------------------------------------------------------------------------------- reading

    async def open(self, chain_id: int, limit: int) -> list[Sending]:
        """Return what has not ended on a chain, in the order in which it was wanted."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{_SENDING} WHERE chain_id = ? AND done_at IS NULL ORDER BY id LIMIT ?",
                *(chain_id, limit),
            )
            return await _with_attempts(read, rows)

    async def at_hand(self, chain_id: int, now: int) -> list[Sending]:
        """Return everything that binds a nonce, and the oldest of what is wanted and due."""
        on_chain = f"{_SENDING} WHERE chain_id = ? AND done_at IS NULL"
        async with self._db.reading() as read:
            bound = await read.rows(f"{on_chain} AND nonce IS NOT NULL ORDER BY id", chain_id)
            due = await read.rows(
                f"{on_chain} AND nonce IS NULL AND not_before <= ? ORDER BY id LIMIT ?",
                *(chain_id, now, MOST_DUE),
            )
            return await _with_attempts(read, [*bound, *due])

    async def counts(self, chain_id: int) -> dict[State, int]:
        """Count what has not ended on a chain, by its state."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT state, count(*) FROM sending WHERE chain_id = ? AND done_at IS NULL"
                " GROUP BY state",
                chain_id,
            )
        return {State(state): count for state, count in rows}

    async def of(self, lease: str, limit: int) -> list[Sending]:
        """Return the last intents of a lease, newest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                f"{_SENDING} WHERE lease = ? ORDER BY id DESC LIMIT ?", lease, limit
            )
            return await _with_attempts(read, rows)

    async def final_in_journal(self, chain_id: int) -> set[int]:
        """Return those open ones of which the journal has an event that is final."""
        async with self._db.reading() as read:
            return {row["id"] for row in await read.rows(_OF_JOURNAL, chain_id)}

    # ----------------------------------------------------------------------------------- signing

    async def sign(
        self, sending: Sending, signer: str, at_least: int, make: Callable[[int], Attempt]
    ) -> Sending:
        """Bind the next nonce of `signer`, `at_least` this one, and keep what `make` signs with it.

        One that has a nonce keeps it: what is made replaces what was signed before.
        """
        async with self._db.transaction("sending_signed") as tx:
            nonce = sending.nonce
            if nonce is None:
                top = await tx.one(
                    "SELECT max(attempt.nonce) AS top FROM attempt JOIN sending"
                    " ON sending.id = attempt.sending WHERE chain_id = ? AND attempt.signer = ?",
                    *(sending.chain_id, signer),
                )
                known = -1 if top is None or top["top"] is None else int(top["top"])
                nonce = max(at_least, known + 1)
            return await _signed(tx, sending, signer, make(nonce))

    async def fill(
        self, intent: Intent, signer: str, now: int, make: Callable[[], Attempt]
    ) -> None:
        """Want and sign at once what uses up a nonce that nobody else does."""
        async with self._db.transaction("sending_signed") as tx:
            if await want(tx, intent, now=now):
                row = await tx.one(f"{_SENDING} ORDER BY id DESC LIMIT 1")
                if row is not None:
                    await _signed(tx, _sending(row, ()), signer, make())

    async def sent(self, sending: int, attempt: str, *, now: int) -> None:
        """Record that a node took what was signed."""
        async with self._db.transaction("sending_broadcast") as tx:
            await tx.run(
                "UPDATE attempt SET broadcast_at = coalesce(broadcast_at, ?) WHERE hash = ?",
                *(now, attempt),
            )
            await tx.run(
                "UPDATE sending SET state = 'broadcast', why = NULL"
                " WHERE id = ? AND state = 'signed'",
                sending,
            )

    # --------------------------------------------------------------------------------- observing

    async def mined(self, sending: int, block: int, block_hash: str) -> None:
        """Record in which block it stands."""
        async with self._db.transaction("sending_seen") as tx:
            await tx.run(
                "UPDATE sending SET state = 'mined', block = ?, block_hash = ?, why = NULL"
                " WHERE id = ? AND state IN ('signed', 'broadcast', 'mined')",
                *(block, block_hash, sending),
            )

    async def fell_out(self, sending: int) -> None:
        """Record that the block in which it stood is none of the chain's any more."""
        async with self._db.transaction("sending_seen") as tx:
            await tx.run(
                "UPDATE sending SET state = 'broadcast', block = NULL, block_hash = NULL,"
                " why = 'a reorg took it back' WHERE id = ? AND state = 'mined'",
                sending,
            )

    async def released(self, sending: int, why: str, *, reverted: bool, now: int) -> None:
        """Let go of a nonce that is used up for good without the effect; it is wanted again.

        What has reverted too often is given up. A delivery is tried again, ever more rarely.
        """
        async with self._db.transaction("sending_seen") as tx:
            lease = await _changed(
                tx,
                "UPDATE sending SET state = 'wanted', signer = NULL, nonce = NULL, block = NULL,"
                " block_hash = NULL, reverts = reverts + ?, why = ?"
                " WHERE id = ? AND done_at IS NULL RETURNING lease",
                *(int(reverted), why, sending),
            )
            await tx.run(
                "UPDATE sending SET not_before = ?1 + min(?2, ?3 << min(reverts - ?4, 16))"
                " WHERE id = ?5 AND kind = ?6 AND reverts >= ?4 AND done_at IS NULL",
                *(now, _LONGEST_PAUSE, _PAUSE, MOST_REVERTS, sending, Kind.DELIVER.value),
            )
            await _derive(tx, lease, now)

    async def take_up(self, lease: str, *, now: int) -> None:
        """Try at once what is let alone, and send again what was given up after its reverts."""
        async with self._db.transaction("sending_end") as tx:
            await tx.run(
                "UPDATE sending SET not_before = 0, refused = NULL"
                " WHERE lease = ? AND done_at IS NULL",
                lease,
            )
            await tx.run(
                "UPDATE sending SET reverts = 0, why = 'an operator has it tried again'"
                " WHERE lease = ? AND done_at IS NULL AND reverts >= ?",
                *(lease, MOST_REVERTS),
            )
            await sender_alarms.derive(tx, lease, now=now)

    async def waits(self, sending: int, why: str, *, until: int = 0) -> None:
        """Record what it waits for, and until when it is let alone."""
        async with self._db.transaction("sending_waits") as tx:
            await tx.run(
                "UPDATE sending SET why = ?, not_before = ? WHERE id = ? AND done_at IS NULL",
                *(why, until, sending),
            )

    async def refused(self, sending: int, why: str, *, now: int, pause: int) -> None:
        """Record that its contract refuses it for now, and for how long it is let alone."""
        async with self._db.transaction("sending_waits") as tx:
            lease = await _changed(
                tx,
                "UPDATE sending SET why = ?, refused = ?, not_before = ?"
                " WHERE id = ? AND done_at IS NULL RETURNING lease",
                *(why, f"{why}; it is tried again in {pause} s", now + pause, sending),
            )
            await _derive(tx, lease, now)

    async def tell(self, sources: Collection[str], *, now: int) -> None:
        """Have what stands about leases be about what is sent: to `sources` alone."""
        async with self._db.transaction("alarm") as tx:
            await sender_alarms.derive_all(tx, sources, now=now)

    async def end(self, sending: int, state: State, why: str | None, *, now: int) -> None:
        """End it, `final` or `failed`; the first end counts."""
        async with self._db.transaction("sending_end") as tx:
            lease = await _changed(
                tx,
                "UPDATE sending SET state = ?, why = ?, done_at = ?"
                " WHERE id = ? AND done_at IS NULL RETURNING lease",
                *(state.value, why, now, sending),
            )
            await _derive(tx, lease, now)


async def _changed(tx: Transaction, sql: str, *values: str | int | None) -> str | None:
    """Change an intent; returns its lease, None where it had ended."""
    rows = await tx.rows(sql, *values)
    return rows[0]["lease"] if rows else None


async def _derive(tx: Transaction, lease: str | None, now: int) -> None:
    if lease is not None:
        await sender_alarms.derive(tx, lease, now=now)


async def _signed(tx: Transaction, sending: Sending, signer: str, attempt: Attempt) -> Sending:
    tip = None if attempt.offer.tip is None else sortable(attempt.offer.tip)
    await tx.run(
        "INSERT INTO attempt (sending, hash, raw, signer, nonce, gas, cap, tip, void, signed_at,"
        " signed_block) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(sending.id, attempt.hash, attempt.raw, signer, attempt.nonce, attempt.gas),
        *(sortable(attempt.offer.cap), tip, int(attempt.void)),
        *(attempt.signed_at, attempt.signed_block),
    )
    await tx.run(
        "UPDATE sending SET state = 'signed', signer = ?, nonce = ?, why = NULL, not_before = 0"
        " WHERE id = ? AND done_at IS NULL",
        *(signer, attempt.nonce, sending.id),
    )
    if not attempt.void:
        await tx.run("UPDATE sending SET refused = NULL WHERE id = ?", sending.id)
        await sender_alarms.derive(tx, sending.intent.lease, now=attempt.signed_at)
    return sending.but(
        state=State.SIGNED,
        signer=signer,
        nonce=attempt.nonce,
        attempts=(*sending.attempts, attempt),
    )


async def _with_attempts(read: Reading, rows: Sequence[Row]) -> list[Sending]:
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    for row in rows:
        if row["nonce"] is not None:
            for each in await read.rows(
                "SELECT * FROM attempt WHERE sending = ? AND signer = ? AND nonce = ? ORDER BY id",
                *(row["id"], row["signer"], row["nonce"]),
            ):
                attempts[row["id"]].append(_attempt(each))
    return [_sending(row, tuple(attempts[row["id"]])) for row in rows]


def _attempt(row: Row) -> Attempt:
    tip = None if row["tip"] is None else number_of(row["tip"])
    return Attempt(
        hash=row["hash"],
        raw=row["raw"],
        nonce=row["nonce"],
        gas=row["gas"],
        offer=Offer(number_of(row["cap"]), tip),
        void=bool(row["void"]),
        signed_at=row["signed_at"],
        signed_block=row["signed_block"],
        broadcast_at=row["broadcast_at"],
    )


def _sending(row: Row, attempts: tuple[Attempt, ...]) -> Sending:
    call = Call(row["target"], row["data"], number_of(row["value"]))
    return Sending(
        id=row["id"],
        intent=Intent(row["source"], Kind(row["kind"]), row["lease"], row["cause"], call),
        chain_id=row["chain_id"],
        state=State(row["state"]),
        wanted_at=row["wanted_at"],
        signer=row["signer"],
        nonce=row["nonce"],
        attempts=attempts,
        block=row["block"],
        block_hash=row["block_hash"],
        reverts=row["reverts"],
        why=row["why"],
        not_before=row["not_before"],
        done_at=row["done_at"],
        present=row["present"],
        settled=bool(row["settled"]),
        asked=bool(row["asked"]),
        overtaken=bool(row["overtaken"]),
    )
