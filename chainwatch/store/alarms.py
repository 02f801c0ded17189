"""What a person should know now: raised by name and subject, until cleared.

Raising an alarm again is not another alarm: it keeps since when it has been true and says when it
was last seen to be. Whoever raises one clears it when it is over; a restart forgets nothing.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chainwatch.store.database import Database, Transaction

#: Whether somebody has to get up for it.
Severity: TypeAlias = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something is wrong with `subject` ('' is the installation) since `since`, wall seconds."""

    name: str
    subject: str
    severity: Severity
    text: str
    since: int
    last_raised: int


async def stands(
    tx: Transaction, name: str, subject: str, text: str, *, severity: Severity, now: int
) -> bool:
    """Raise an alarm, or keep it raised, in the commit of its cause; true when it is a new one."""
    stood = await tx.one("SELECT 1 FROM alarm WHERE name = ? AND subject = ?", name, subject)
    await tx.run(
        "INSERT INTO alarm (name, subject, severity, text, since, last_raised)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (name, subject) DO UPDATE SET"
        " severity = excluded.severity, text = excluded.text,"
        " last_raised = excluded.last_raised",
        *(name, subject, severity, text, now),
    )
    return stood is None


async def ends(tx: Transaction, name: str, subject: str) -> bool:
    """End an alarm, in the commit of what ends it; false when it did not stand."""
    cleared = await tx.rows(
        "DELETE FROM alarm WHERE name = ? AND subject = ? RETURNING name", name, subject
    )
    return bool(cleared)


class Alarms:
    """The alarms that stand; `now` is wall seconds."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def raise_(
        self, name: str, subject: str, severity: Severity, text: str, now: int
    ) -> bool:
        """Raise an alarm, or keep it raised with the newest text; true when it is a new one."""
        async with self._db.transaction("alarm") as tx:
            return await stands(tx, name, subject, text, severity=severity, now=now)

    async def clear(self, name: str, subject: str) -> bool:
        """End an alarm; false when it did not stand."""
        async with self._db.transaction("alarm") as tx:
            return await ends(tx, name, subject)

    async def forget(self, names: Collection[str], *, but: Collection[str]) -> None:
        """End alarms of these names about anything but these subjects: nobody looks after them."""
        stand = [each for each in await self.all() if each.name in names]
        for each in stand:
            if each.subject not in but:
                await self.clear(each.name, each.subject)

    async def all(self) -> list[Alarm]:
        """Return what stands, the critical and the oldest first."""
        async with self._db.reading() as read:
            rows = await read.rows(
                "SELECT name, subject, severity, text, since, last_raised FROM alarm"
                " ORDER BY severity, since, name, subject"
            )
        return [Alarm(*row) for row in rows]
