"""The log of intents in memory: for whoever works without a database (`oplog.OperationLog`).

It answers as the durable one does, for as long as its process lives. What a former process left is
not here: it has to be found at the hypervisor, whose refusal of a VMID that exists is the only
reservation there is. Whoever must not forget uses the durable log.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from provisioner.errors import Locked
from provisioner.model import OpenOperation
from provisioner.oplog import AFTERWARDS, POWERED, STILL_DONE, SWITCHING_OFF, Birth
from provisioner.ports import Place

#: Steps after which a machine stands at a VMID, and steps after which it does not.
_MADE: Final = ("clone", "restore", "adopt")
_ENDED: Final = ("destroy", "gone")


@dataclass(frozen=True, slots=True)
class _Row:
    """One intent; times are wall seconds, `outcome` is None while it is open."""

    key: str
    nonce: str
    operation: OpenOperation
    finished: int | None = None
    outcome: str | None = None
    order: int | None = None

    @property
    def made(self) -> bool:
        return self.operation.step in _MADE

    @property
    def anew(self) -> bool:
        return self.operation.step == "reinstall" and self.outcome == "ok"

    @property
    def ended(self) -> bool:
        return self.operation.step in _ENDED and self.outcome == "ok"


class Intents:
    """The log; `wall` tells wall seconds."""

    def __init__(self, wall: Callable[[], int]) -> None:
        self._wall = wall
        self._rows: dict[int, _Row] = {}

    async def begin(
        self, key: str, step: str, vmid: int, node: str, nonce: str, *, order: int | None = None
    ) -> int:
        """Record the intent. Raises Locked while another operation on (key, nonce) is open."""
        other = await self.open_for(key, nonce)
        if other is not None:
            raise Locked(f"operation {other.id} ({other.step}) was not yet seen to end")
        number = self._add(key, step, Place(vmid, node), nonce)
        self._rows[number] = replace(self._rows[number], order=order)
        return number

    async def obeyed(self, order: int) -> bool:
        rows = self._rows.values()
        return any(r.order == order and r.operation.upid and r.outcome == "ok" for r in rows)

    async def knows(self, upid: str) -> bool:
        return any(row.operation.upid == upid for row in self._rows.values())

    async def record_task(self, operation: int, upid: str) -> None:
        row = self._rows[operation]
        if row.outcome is None:
            self._rows[operation] = replace(row, operation=replace(row.operation, upid=upid))

    async def finish(self, operation: int, outcome: str, error: str | None = None) -> None:  # noqa: ARG002 - nobody reads it here
        """Close an operation; what was closed before stays as it was."""
        row = self._rows[operation]
        if row.outcome is None:
            self._rows[operation] = replace(row, finished=self._wall(), outcome=outcome)

    async def adopt(self, key: str, nonce: str, vmid: int, node: str) -> None:
        """Record that the machine at `vmid`, which this log knew nothing of, is (key, nonce)."""
        await self._note("adopt", key, nonce, Place(vmid, node))

    async def gone(self, key: str, nonce: str, vmid: int, node: str) -> None:
        """Record that the machine was proven gone though we did not destroy it."""
        await self._note("gone", key, nonce, Place(vmid, node))

    async def open_for(self, key: str, nonce: str) -> OpenOperation | None:
        found = (row.operation for row in self._of(key, nonce) if row.outcome is None)
        return next(found, None)

    async def open_all(self) -> list[tuple[str, OpenOperation]]:
        """Return every open operation with its key, oldest first."""
        return [(row.key, row.operation) for row in self._rows.values() if row.outcome is None]

    async def place(self, key: str, nonce: str) -> Place | None:
        told = [row for row in self._of(key, nonce) if row.made or row.ended]
        if not told or told[-1].ended:
            return None
        return Place(told[-1].operation.vmid, told[-1].operation.node)

    async def birth(self, key: str, nonce: str) -> Birth | None:
        rows = list(self._of(key, nonce))
        made = next((row for row in reversed(rows) if row.made), None)
        if made is None:
            return None
        later = rows[rows.index(made) + 1 :]
        done = {row.operation.step for row in later if row.outcome == "ok"}
        told = made.operation
        return Birth(
            *(told.step, told.node, told.upid, made.outcome),
            configured=not done.isdisjoint(AFTERWARDS),
            begun=told.started,
            started="start" in done,
        )

    async def intended(self, key: str, nonce: str, since: int) -> int | None:
        told = [row for row in self._of(key, nonce) if row.made or row.ended]
        last = next((row for row in reversed(told) if row.outcome != "failed"), None)
        if last is None or last.outcome not in (None, "lost"):
            return None
        counts = last is told[-1] or last.operation.started >= since
        return last.operation.vmid if counts else None

    async def kept(self, key: str, nonce: str) -> int | None:
        told = [
            row
            for row in self._of(key, nonce)
            if row.ended or row.anew or (row.made and row.outcome != "failed")
        ]
        return told[-1].operation.vmid if told and told[-1].anew else None

    async def backed_up(self, key: str, nonce: str) -> bool:
        steps = [r.operation.step for r in self._of(key, nonce) if r.outcome == "ok"]
        told = [step for step in steps if step in ("backup", "drop-backup", "reinstall", "clone")]
        return bool(told) and told[-1] == "backup"

    async def made_anew(self, key: str, nonce: str) -> int:
        return max((r.finished or 0 for r in self._of(key, nonce) if r.anew), default=0)

    async def switched_off(self, key: str, nonce: str) -> int:
        done = [row for row in self._of(key, nonce) if row.outcome == "ok"]
        told = [row for row in done if row.operation.step in POWERED]
        last = told[-1] if told else None
        return (last.finished or 0) if last and last.operation.step == "mark-ordered" else 0

    async def given_up(self, key: str, nonce: str) -> Sequence[OpenOperation]:
        rows = list(self._of(key, nonce))
        done = (row for row in rows if row.operation.step == "start" and row.outcome == "ok")
        started = max((row.operation.started for row in done), default=0)
        return [
            row.operation
            for row in rows
            if row.outcome == "lost"
            and row.operation.upid is None
            and row.operation.step in SWITCHING_OFF
            and row.operation.started + STILL_DONE >= started
        ]

    async def ever_cloned(self, key: str, nonce: str) -> bool:
        return any(row.made and row.outcome == "ok" for row in self._of(key, nonce))

    async def reserved(self) -> frozenset[int]:
        return frozenset(
            row.operation.vmid
            for row in self._rows.values()
            if row.made and row.outcome != "failed" and not self._left(row)
        )

    async def unfinished(self, step: str, since: int) -> Sequence[OpenOperation]:
        return [
            operation
            for _, operation in await self.open_all()
            if operation.step == step and operation.started >= since
        ]

    async def destroyed_since(self, since: int) -> Sequence[int]:
        freed = (row for row in self._rows.values() if row.ended)
        return sorted({r.operation.vmid for r in freed if (r.finished or 0) >= since})

    def _left(self, made: _Row) -> bool:
        """Say whether what was made there was seen to go, or was made elsewhere afterwards."""
        later = (row for row in self._rows.values() if row.operation.id > made.operation.id)
        return any(
            (row.ended and row.operation.vmid == made.operation.vmid)
            or (
                row.made
                and (row.key, row.nonce) == (made.key, made.nonce)
                and row.operation.vmid != made.operation.vmid
            )
            for row in later
        )

    def _of(self, key: str, nonce: str) -> Iterator[_Row]:
        return (row for row in self._rows.values() if (row.key, row.nonce) == (key, nonce))

    def _add(self, key: str, step: str, place: Place, nonce: str) -> int:
        number = len(self._rows) + 1
        operation = OpenOperation(
            number, step, place.vmid, place.node, nonce, None, started=self._wall()
        )
        self._rows[number] = _Row(key, nonce, operation)
        return number

    async def _note(self, step: str, key: str, nonce: str, place: Place) -> None:
        await self.finish(self._add(key, step, place, nonce), "ok")
