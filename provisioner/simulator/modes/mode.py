"""What a mode of failure is: what is said, at which calls it can strike, and how it ends.

A mode has one form or several (another text, another way to come about); the first is the usual
one. A form is a fault on a call, with the very text, or a change of the world right before the
call, whose answer then is the simulated cluster's own. `says` is what the caller gets to hear;
words in braces stand for what the call is about, and a star for numbers that depend.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Fault, FaultName, Struck

Remedy: TypeAlias = Callable[[], None]
Happening: TypeAlias = Callable[[Cluster, Struck], Remedy | None]
Call: TypeAlias = tuple[str, str]

GUEST: Final = "/nodes/{node}/{kind}/{vmid}"
CLONE: Final[Call] = ("POST", f"{GUEST}/clone")
CREATE_CT: Final[Call] = ("POST", "/nodes/{node}/lxc")
CREATE_VM: Final[Call] = ("POST", "/nodes/{node}/qemu")
CONFIG: Final[Call] = ("PUT", f"{GUEST}/config")
RESIZE: Final[Call] = ("PUT", f"{GUEST}/resize")
START: Final[Call] = ("POST", f"{GUEST}/status/start")
SHUTDOWN: Final[Call] = ("POST", f"{GUEST}/status/shutdown")
STOP: Final[Call] = ("POST", f"{GUEST}/status/stop")
SUSPEND: Final[Call] = ("POST", f"{GUEST}/status/suspend")
DESTROY: Final[Call] = ("DELETE", GUEST)
FIREWALL: Final[Call] = ("DELETE", f"{GUEST}/firewall/{{part}}/{{item}}")
READ_CONFIG: Final[Call] = ("GET", f"{GUEST}/config")
CURRENT: Final[Call] = ("GET", f"{GUEST}/status/current")
PING: Final[Call] = ("POST", f"{GUEST}/agent/ping")
EXEC: Final[Call] = ("POST", f"{GUEST}/agent/exec")
EXEC_STATUS: Final[Call] = ("GET", f"{GUEST}/agent/exec-status")
INTERFACES: Final[Call] = ("GET", f"{GUEST}/agent/network-get-interfaces")
SNAPSHOT: Final[Call] = ("POST", f"{GUEST}/snapshot")
ROLLBACK: Final[Call] = ("POST", f"{GUEST}/snapshot/{{name}}/rollback")
DROP_BACKUP: Final[Call] = ("DELETE", "/nodes/{node}/storage/{storage}/content/*")
VZDUMP: Final[Call] = ("POST", "/nodes/{node}/vzdump")
NEXT_ID: Final[Call] = ("GET", "/cluster/nextid")
RESOURCES: Final[Call] = ("GET", "/cluster/resources")
TASK_LIST: Final[Call] = ("GET", "/nodes/{node}/tasks")
TASK_STATUS: Final[Call] = ("GET", "/nodes/{node}/tasks/{upid}/status")
CONTENT: Final[Call] = ("GET", "/nodes/{node}/storage/{storage}/content")
ANY: Final[Call] = ("*", "*")
#: What is asked of a node's helper, or in a container, over SSH; the login comes before each.
PUT_SNIPPET: Final[Call] = ("SSH", "/{node}/put-snippet")
PCT_EXEC: Final[Call] = ("SSH", "/{node}/pct-exec")
LOGIN: Final[Call] = ("SSH", "/{node}/login")

AGENT: Final = (EXEC, PING, EXEC_STATUS)
MAKING: Final = (CLONE, CREATE_CT, CREATE_VM)
SNAPSHOTS: Final = (SNAPSHOT, ROLLBACK)
TASKS: Final = (*MAKING, DESTROY, SHUTDOWN, STOP, START, RESIZE, VZDUMP, *SNAPSHOTS, DROP_BACKUP)
WRITES: Final = (*TASKS, CONFIG, FIREWALL)
OF_GUEST: Final = (DESTROY, SHUTDOWN, STOP, START, RESIZE, CONFIG, *SNAPSHOTS)
ON_NODE: Final = (*WRITES, PING, EXEC, READ_CONFIG, CURRENT, TASK_LIST)


class Effect(Enum):
    """Whether what was asked for has happened when the trouble is told."""

    NONE = "no"
    DONE = "yes"
    UNKNOWN = "perhaps"


class Told(Enum):
    """Where the caller hears of it."""

    REPLY = "reply"
    TASK = "task"
    LOG = "log"  # only the task's log tells
    SSH = "SSH"  # what a node or its helper says over SSH
    NOWHERE = "nowhere"  # all answers are as ever, and the world is not


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which a mode comes about; `status` is that of the reply."""

    says: str
    fault: Fault
    told: Told = Told.REPLY
    happens: Happening | None = None

    @property
    def status(self) -> int:
        """Return the reply's status."""
        return self.fault.status


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode; `lasts` until somebody mends it, or else passes by itself.

    `ends` says how it passes, or what an operator does about it. `elsewhere` says of a mode that
    no call to the cluster shows whose it is.
    """

    number: int
    name: str
    strikes: tuple[Call, ...]
    effect: Effect
    ends: str
    forms: tuple[Form, ...]
    lasts: bool = False
    elsewhere: str = ""

    @property
    def label(self) -> str:
        """Return what its faults are filed under."""
        return f"{self.number} {self.name}"


def refused(
    text: str,
    status: int = 500,
    *,
    errors: tuple[tuple[str, str], ...] = (),
    raw: str | None = None,
    lasting: bool = False,
) -> Form:
    """Return a form that keeps a call out with `text`."""
    fault = Fault(
        FaultName.REFUSE, status=status, text=text, errors=errors, raw=raw, lasting=lasting
    )
    return Form(text, fault)


def task_fails(text: str, *, says: str = "", lasting: bool = False) -> Form:
    """Return a form in which the task ends with `text`, or what the cluster makes of it."""
    return Form(says or text, Fault(FaultName.TASK_FAILS, text=text, lasting=lasting), Told.TASK)


def on_task(name: FaultName, says: str = "", *, text: str = "", seconds: float = 60) -> Form:
    """Return a form that spoils a task in another way."""
    told = Told.TASK if says else Told.NOWHERE
    return Form(says, Fault(name, text=text, seconds=seconds), told)


def on_wire(name: FaultName, says: str, status: int, *, text: str = "") -> Form:
    """Return a form that spoils the way to or from the API."""
    return Form(says, Fault(name, status=status, text=text))


def over_ssh(name: FaultName, says: str = "", *, code: int = 0, lasting: bool = False) -> Form:
    """Return a form that spoils what is done over SSH; `code` is what a program exits with."""
    return Form(says, Fault(name, status=code, text=says, lasting=lasting), Told.SSH)


def world(says: str, happens: Happening, status: int = 500, told: Told = Told.REPLY) -> Form:
    """Return a form in which the world changes, of which the cluster says `says`."""
    return Form(says, Fault(FaultName.HAPPENS, status=status), told, happens)
