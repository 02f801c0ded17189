"""The durable log of intents, as a protocol: what is recorded before an effect, and asked later.

A row exists before the call that it speaks of and stays open until the call's end was observed; so
whoever starts again over the same log finds what was under way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from provisioner.model import OpenOperation
from provisioner.ports import Place

#: Steps that are done to no machine before it is configured.
AFTERWARDS: Final = ("configure", "resize", "start", "access", "mark-started", "mark-suspended")
#: Steps after the last of which it is known whether an order left a machine off.
POWERED: Final = ("mark-ordered", "start", "mark-started")

#: Steps whose call leaves a machine off.
SWITCHING_OFF: Final = ("shutdown", "switch-off", "kill", "rollback")
#: For how many seconds a request may be carried out after its reply was given up.
STILL_DONE: Final = 300


@dataclass(frozen=True, slots=True)
class Birth:
    """How a machine came to be, by the log: the last clone, restore or adoption of it.

    `outcome` is None while it is open. `configured` is whether anything was done to it since that
    is done to no bare clone, `started` whether a start was seen to end well since; `begun` is when
    it was begun, in wall seconds.
    """

    step: str
    node: str
    upid: str | None
    outcome: str | None
    configured: bool
    begun: int
    started: bool


class OperationLog(Protocol):
    """The durable record of intents; every method has committed when it returns."""

    async def begin(
        self, key: str, step: str, vmid: int, node: str, nonce: str, *, order: int | None = None
    ) -> int:
        """Record the intent to do `step`, because of an order if so; returns the operation's id."""
        ...

    async def obeyed(self, order: int) -> bool:
        """Say whether the task of an order was seen to end well."""
        ...

    async def knows(self, upid: str) -> bool:
        """Say whether a task is one of ours already."""
        ...

    async def record_task(self, operation: int, upid: str) -> None:
        """Record the task that carries the operation out."""
        ...

    async def finish(self, operation: int, outcome: str, error: str | None = None) -> None:
        """Close an operation: outcome `ok`, `failed` or `lost`."""
        ...

    async def open_for(self, key: str, nonce: str) -> OpenOperation | None:
        """Return the operation on (key, nonce) that has not been seen to end."""
        ...

    async def place(self, key: str, nonce: str) -> Place | None:
        """Return where (key, nonce) was last cloned or adopted, None once it was destroyed."""
        ...

    async def birth(self, key: str, nonce: str) -> Birth | None:
        """Return how (key, nonce) came to be where `place` says that it stands."""
        ...

    async def intended(self, key: str, nonce: str, since: int) -> int | None:
        """Return the VMID of the last clone for (key, nonce) whose end is not known.

        It may still come about, so it is there that it has to be tried again. Where that was done
        and failed, it counts if it was begun at or after `since` (wall seconds); once a machine was
        seen to go, or destroyed, its VMID rests, and is meant no more.
        """
        ...

    async def backed_up(self, key: str, nonce: str) -> bool:
        """Say whether a backup is what is left of (key, nonce).

        So it is once one was made, until it is deleted or the machine is made anew.
        """
        ...

    async def made_anew(self, key: str, nonce: str) -> int:
        """Return when (key, nonce) was last destroyed to be made anew (wall seconds), else 0."""
        ...

    async def switched_off(self, key: str, nonce: str) -> int:
        """Return since when (wall seconds) (key, nonce) is left off by order, else 0.

        So it is once an order about its power was done, until we start it, or see it run that was
        to be started: by an order to start who runs nobody is started.
        """
        ...

    async def given_up(self, key: str, nonce: str) -> Sequence[OpenOperation]:
        """Return the calls to switch (key, nonce) off of which nobody knows what became.

        Only those which may have been carried out after it was last started, oldest first.
        """
        ...

    async def kept(self, key: str, nonce: str) -> int | None:
        """Return the VMID at which (key, nonce) was destroyed to be made anew, while it is not."""
        ...

    async def ever_cloned(self, key: str, nonce: str) -> bool:
        """Say whether a clone or an adoption for (key, nonce) has ever succeeded."""
        ...

    async def reserved(self) -> frozenset[int]:
        """Return the VMIDs we cloned to or adopted and have not seen destroyed since."""
        ...

    async def gone(self, key: str, nonce: str, vmid: int, node: str) -> None:
        """Record that the machine was proven gone though we did not destroy it."""
        ...

    async def unfinished(self, step: str, since: int) -> Sequence[OpenOperation]:
        """Return a step's operations begun at or after `since` and not yet seen to end."""
        ...

    async def destroyed_since(self, since: int) -> Sequence[int]:
        """Return the VMIDs that our own operations freed at or after `since` (wall seconds)."""
        ...
