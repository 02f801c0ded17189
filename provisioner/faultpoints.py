"""The places where a crash may fall: one registry, named, before and after each call and commit.

A process that dies at any of these and starts again must end in the same world; the tests kill it
at each of them. `reach` costs one comparison unless a fault is armed, through the environment
(`CHAINWATCH_FAULT_POINT=name` or `name:n` for the n-th time: SIGKILL) or by a test (`arm`). A point
that is not in `POINTS` is an error at import, and a port's method without points fails a test.
"""

import functools
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

Call: TypeAlias = Callable[P, Coroutine[Any, Any, R]]

ENVIRONMENT: Final = "CHAINWATCH_FAULT_POINT"

CALLS: Final = (
    "hypervisor.snapshot",
    "hypervisor.vmid_is_free",
    "hypervisor.config",
    "hypervisor.power",
    "hypervisor.clone",
    "hypervisor.create_container",
    "hypervisor.configure",
    "hypervisor.isolation",
    "hypervisor.isolate",
    "hypervisor.resize",
    "hypervisor.start",
    "hypervisor.shutdown",
    "hypervisor.stop",
    "hypervisor.snapshots",
    "hypervisor.take_snapshot",
    "hypervisor.roll_back",
    "hypervisor.destroy",
    "hypervisor.task_states",
    "hypervisor.tasks",
    "hypervisor.clock",
    "hypervisor.freed",
    "hypervisor.volumes",
    "volumes.sizes",
    "archive.archives",
    "archive.back_up",
    "archive.restore",
    "archive.protect",
    "archive.drop",
    "ostemplate.holds",
    "guest.answers",
    "guest.set_authorized_keys",
    "guest.set_gecos",
    "guest.end_sessions",
    "node.version",
    "node.put_snippet",
    "node.drop_snippet",
    "node.snippets",
    "node.pct_exec",
    "node.route",
    "node.routes",
    "node.isolate",
    "node.isolated",
    "chain.check",
    "chain.tip",
    "chain.read",
    "chain.lease_at_latest",
    "chain.testimonies",
    "chain.state",
    "chain.second_look",
)

#: What no reconciling does: the calls of the command line, and of operators by hand.
BY_HAND: Final = (
    "controls.shut_down",
    "controls.reboot",
    "controls.usage",
    "controls.throttle",
    "controls.console",
    "controls.delete_snapshot",
    "guest.run",
    "guest.inside",
)

#: What is asked of a guest, to tell its owner how to get in.
TELLING: Final = ("guest.host_keys",)

#: What the daemon asks of a chain, and gives it, to send transactions of its own.
SENDING: Final = (
    "sender.account",
    "sender.look",
    "sender.simulate",
    "sender.traces",
    "sender.testimony",
    "sender.has_role",
    "sender.final_nonce",
    "sender.broadcast",
)

COMMITS: Final = (
    "commit.migrate",
    "commit.install",
    "commit.batch",
    "commit.rewind",
    "commit.reread",
    "commit.source",
    "commit.enqueue",
    "commit.work",
    "commit.operation_begin",
    "commit.operation_task",
    "commit.operation_finish",
    "commit.wake",
    "commit.hold",
    "commit.wish",
    "commit.alarm",
    "commit.audit",
)

#: What is committed of them.
SENDING_COMMITS: Final = (
    "commit.sending_want",
    "commit.sending_signed",
    "commit.sending_broadcast",
    "commit.sending_seen",
    "commit.sending_waits",
    "commit.sending_end",
)

POINTS: Final = frozenset(
    f"{name}.{edge}"
    for name in CALLS + BY_HAND + TELLING + COMMITS + SENDING + SENDING_COMMITS
    for edge in ("before", "after")
)

Handler = Callable[[str], None]


def _killer(armed: str) -> Handler:
    name, _, nth = armed.partition(":")
    if name not in POINTS:
        raise ValueError(f"{ENVIRONMENT}={armed}: no such fault point")
    left = int(nth or 1)

    def kill(point: str) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return kill


_armed: list[Handler] = [_killer(os.environ[ENVIRONMENT])] if ENVIRONMENT in os.environ else []


def arm(handler: Handler | None) -> None:
    """Have `handler` called at every point from now on (None disarms): for tests in-process."""
    _armed[:] = [handler] if handler else []


def reach(point: str) -> None:
    """Pass a fault point; `point` is one of `POINTS`."""
    for handler in _armed:
        handler(point)


def guarded(name: str) -> Callable[[Call[P, R]], Call[P, R]]:
    """Decorate a port's method with the points `name.before` and `name.after`."""
    before, after = f"{name}.before", f"{name}.after"
    if before not in POINTS:
        raise ValueError(f"fault point {before!r} is not in the registry")

    def decorate(call: Call[P, R]) -> Call[P, R]:
        @functools.wraps(call)
        async def passing(*args: P.args, **kwargs: P.kwargs) -> R:
            reach(before)
            result = await call(*args, **kwargs)
            reach(after)
            return result

        return passing

    return decorate
