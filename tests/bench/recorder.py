"""The daemon's way to Proxmox with a stop-watch on it.

It stands between the hypervisor backend and the real client, and changes nothing. A call belongs to
the lease whose pass made it (passes are tasks named after their lease); what a pass asked for all
of them, and what the task poller asks, belongs to nobody and is shared out evenly.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from provisioner.backends.proxmox.api import Api, JsonValue, ParamValue

_PASS: Final = "pass "
#: The loops that do what purchases ask for; others go round whatever is bought. The poller looks
#: at several nodes at once, in tasks without a name; nobody else does so.
PASSES: Final = "passes"
STAMPED: Final = 2
SERVING: Final = (PASSES, "task poller", "Task-")
_VARYING: Final = ((r"/nodes/[^/]+", "/nodes/NODE"), (r"/qemu/\d+", "/qemu/ID"), (r"UPID:.*", "…"))


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who it was made for (a lease, or ""), what it was, and from when to when.

    `loop` is which of the daemon's loops made it; times are the event loop's seconds.
    """

    lease: str
    method: str
    path: str
    asked_at: float
    answered_at: float
    failed: bool
    loop: str = ""

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
        now, failed = asyncio.get_running_loop().time, True
        asked_at = now()
        try:
            answer = await self.api.call(method, path, params, slow=slow)
            failed = False
        finally:
            loop = PASSES if lease else name
            self.calls.append(Call(lease, method, path, asked_at, now(), failed, loop))
        return answer


def rounds(calls: Iterable[Call]) -> list[Call]:
    """Return the calls that are made whatever is bought: for nodes, firewalls, and what stands.

    A machine stands when its configuration was written for the second time: it has its stamp.
    """
    found, written = [], Counter[str]()
    for call in calls:
        if not call.loop.startswith(SERVING) or written[call.lease] >= STAMPED:
            found.append(call)
        if call.lease and call.method == "PUT" and call.path.endswith("/config"):
            written[call.lease] += 1
    return found


def shares(calls: Iterable[Call], machines: int) -> dict[str, float]:
    """Return how many calls of each kind a machine cost, the most frequent first."""
    counted = Counter(call.kind for call in calls)
    return {kind: count / machines for kind, count in counted.most_common()}
