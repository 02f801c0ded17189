"""The daemon's way to Proxmox with a stop-watch on it.

It stands between the hypervisor backend and the real client, and changes nothing. A call belongs to
the lease whose pass made it (passes are tasks named after their lease); what a pass asked for all
of them, and what the task poller asks, belongs to nobody and is shared out evenly.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue

_PASS: Final = "pass "
_VARYING: Final = ((r"/nodes/[^/]+", "/nodes/NODE"), (r"/qemu/\d+", "/qemu/ID"), (r"UPID:.*", "…"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who it was made for (a lease, or ""), what it was, and from when to when.

    `vmid` is what it speaks of; times are monotonic seconds.
    """

    lease: str
    method: str
    path: str
    asked_at: float
    answered_at: float
    failed: bool

    @property
    def kind(self) -> str:
        """The call without what differs from machine to machine."""
        path = self.path
        for pattern, name in _VARYING:
            path = re.sub(pattern, name, path)
        return f"{self.method} {path}" + (" (refused)" if self.failed else "")


@dataclass(slots=True)
class Recorder(Api):
    """An `Api` that remembers what went through it."""

    api: Api
    calls: list[Call] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Pass the call on."""
        task = asyncio.current_task()
        name = task.get_name() if task else ""
        lease = name.removeprefix(_PASS) if name.startswith(_PASS) else ""
        asked_at, failed = time.monotonic(), True
        try:
            answer = await self.api.call(method, path, params, slow=slow)
            failed = False
        finally:
            self.calls.append(Call(lease, method, path, asked_at, time.monotonic(), failed))
        return answer


def shares(calls: Iterable[Call], machines: int) -> dict[str, float]:
    """Return how many calls of each kind a machine cost, the most frequent first."""
    counted = Counter(call.kind for call in calls)
    return {kind: count / machines for kind, count in counted.most_common()}
