"""What an answer of Proxmox means: one ordered table, read top down, first match wins.

Proxmox says 500 for what is permanent and what will pass alike, so the text decides; the same text
comes as a reason phrase or, later, as a task's exit status. A text that is not in the table is
`Transient`: every pass observes before it acts, so trying again costs a call, while giving up on a
paid lease because of an unknown sentence costs a buyer. Only what answers in Proxmox's place (502
to 504) is `UnknownOutcome`: it cannot know what Proxmox did. What a guest says stands first: it may
say anything, and must not be taken for the cluster's own words.
"""

import json
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from provisioner.backends.proxmox.api import ApiError, JsonValue, ReplyLost, Unreachable
from provisioner.errors import (
    AgentSilent,
    HypervisorDown,
    Locked,
    NoRoom,
    Permanent,
    ProvisionError,
    Transient,
    UnknownOutcome,
)
from provisioner.taskwords import succeeded

#: No sentence of an error is longer; what a guest or a proxy sends in its place may be.
LONGEST: Final = 500


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row: what a text (and, where given, a status) means, and what to do about it."""

    name: str
    error: type[ProvisionError]
    pattern: str
    statuses: frozenset[int] = frozenset()
    advice: str = ""

    def fits(self, status: int | None, sentence: str) -> bool:
        """Say whether this row explains the answer; a task has no status."""
        if self.statuses and status not in self.statuses:
            return False
        return re.search(self.pattern, sentence) is not None

    def explain(self, sentence: str) -> ProvisionError:
        """Return the error that says so, with the advice."""
        return self.error(f"{sentence} ({self.advice})" if self.advice else sentence)


#: What to do about a privilege that is missing.
_LACKING: Final = "`chainwatch check` names the command that grants what the token lacks"


def _statuses(*numbers: int) -> frozenset[int]:
    return frozenset(numbers)


TABLE: Final = (
    # ------------------------------------------------------------ the guest, whatever it may say
    Meaning("guest refused", Transient, "^Agent error: "),
    # ------------------------------------------------------------- the hypervisor as a whole
    Meaning(
        "token refused",
        HypervisorDown,
        "",
        _statuses(401),
        "is the API token still there, enabled and not expired?",
    ),
    Meaning("no quorum", HypervisorDown, "no quorum", advice="restore the cluster's quorum"),
    Meaning(
        "cluster filesystem offline",
        HypervisorDown,
        "cluster filesystem not online|ipcc_send_rec|Unable to load access control list",
        advice="is pve-cluster running on the node?",
    ),
    Meaning("node not reached", HypervisorDown, "", _statuses(595), "is the node up?"),
    Meaning(
        "node unknown",
        HypervisorDown,
        "hostname lookup '.*' failed|no such cluster node",
        advice="does the cluster still have this node?",
    ),
    Meaning(
        "no privilege for one machine",  # on it, or on what it is made with or lies on
        Transient,
        r"^Permission check failed(?: \(/(?:vms|storage|pool|sdn)/|$)",
        _statuses(403),
        _LACKING,
    ),
    Meaning(
        "tag refused by policy",
        Permanent,
        r"Sys\.Modify for modifying tag",
        _statuses(403),
        "allow the tag to everybody (Datacenter, Options, Tag Policy), or take it out of the "
        "template and of [machines] tags",
    ),
    Meaning(
        "pool unknown",
        Transient,
        "pool '.*' does not exist",
        _statuses(403),
        "make the pool: pveum pool add",
    ),
    Meaning(
        "for root@pam only",
        Permanent,
        "only allowed for root@pam",
        _statuses(403),
        "take this out of what is asked for, no token may do it",
    ),
    Meaning("no privilege", HypervisorDown, "", _statuses(403), _LACKING),
    Meaning(
        "not Proxmox",
        HypervisorDown,
        "",
        _statuses(300, 301, 302, 303, 307, 308, 404),
        "is this the address of a Proxmox API?",
    ),
    # ------------------------------------------------------------------- it may have happened
    Meaning("reply lost by the proxy", UnknownOutcome, "", _statuses(596, 597, 598, 599)),
    Meaning("answered by something in between", UnknownOutcome, "", _statuses(502, 503, 504)),
    Meaning("worker lost", UnknownOutcome, "got no worker upid"),
    Meaning(
        "task ended without a word",
        UnknownOutcome,
        r"^unexpected status$",
        advice="look what became of it; what it left locked: where no task works on it, unlock it",
    ),
    Meaning("task forgotten", UnknownOutcome, "no such task"),
    Meaning(
        "VMID in use",
        UnknownOutcome,
        r"(VM|CT) \d+ already exists|config file already exists",
        advice="whose it is has to be seen first",
    ),
    # --------------------------------------------------------------------- the guest's agent
    Meaning("agent not configured", AgentSilent, "No QEMU guest agent configured"),
    Meaning(
        "agent not running",
        AgentSilent,
        "QEMU guest agent is not running",
        advice="is the guest up? start the agent or reboot the guest",
    ),
    Meaning("agent went away", AgentSilent, "qmp command 'guest-.*' failed"),
    # -------------------------------------------------------------------------------- locks
    Meaning(
        "guest locked",
        Locked,
        r"(VM|CT) is locked \(",
        advice="where no task works on it, unlock it",
    ),
    Meaning("lock file busy", Locked, "can't lock file|can't acquire lock"),
    Meaning("storage lock busy", Locked, "cfs-lock|-locked command timed out|lock request timeout"),
    # ------------------------------------------------------------------------------- no room
    Meaning(
        "storage full",
        NoRoom,
        "not enough free space|No space left on device|[Oo]ut of (data )?space|lvcreate .*error"
        "|[Ii]nsufficient free space|out of pool space|thin pool .*(full|exceed|threshold)",
        advice="make room on the storage",
    ),
    Meaning("no VMID left", NoRoom, "unable to get any free VMID"),
    # ---------------------------------------------- the machine is not what it was a moment ago
    Meaning(
        "config changed meanwhile", Transient, "checksum mismatch|detected modified configuration"
    ),
    Meaning(
        "guest gone",
        Transient,
        r"[Cc]onfiguration file .*does not exist|unable to find configuration file",
        advice="was it moved or removed? look, then ask again",
    ),
    Meaning(
        "guest runs", Transient, "is running - destroy failed|container is running|already running"
    ),
    Meaning("guest stands still", Transient, "not running|is paused - cannot shutdown"),
    Meaning(
        "guest under HA",
        Transient,
        "used in HA resources|HA managed",
        advice="take the guest out of the HA resources",
    ),
    Meaning(
        "guest protected",
        Transient,
        "protection mode enabled",
        advice="take its protection away, or put its lease on hold",
    ),
    Meaning("guest ignores shutdown", Transient, r"VM quit/powerdown failed"),
    Meaning("task stopped", Transient, "interrupted by signal|received interrupt"),
    Meaning("start failed", Transient, "^start failed"),
    Meaning("size as wanted", Transient, "already at specified size"),
    Meaning(
        "larger already",
        Transient,
        "shrinking disks is not supported|unable to shrink disk",
        advice="a disk only grows; if its size is shown wrong, `qm disk rescan` puts it right",
    ),
    Meaning(
        "firewall changed meanwhile",
        Transient,
        "no such (IPSet|alias)|no rule at position|IPSet '.*' is not empty"
        "|(IPSet|address) '.*' already exists",
    ),
    Meaning("disk gone", Transient, r"^disk '\w+' does not exist"),
    Meaning("snapshot changed meanwhile", Transient, "snapshot '.*' does not exist|already used$"),
    Meaning("QEMU silent", Transient, "qmp command '.*' failed|qmp socket"),
    Meaning(
        "copy failed",
        Transient,
        "copy failed|mirroring error|unable to create image",
        advice="the task's log says why; is the storage full?",
    ),
    Meaning("cannot change while running", Transient, "hotplug problem"),
    Meaning(
        "storage away",
        Transient,
        "storage '.*' is (disabled|not online|not available)|unable to activate storage",
        advice="bring the storage back",
    ),
    Meaning(
        "volume gone",
        Transient,
        "volume '.*' does not exist|^volume_size_info on .* failed|could not get size of",
        advice="is its storage mounted? put the volume back",
    ),
    Meaning("backup failed", Transient, "^job errors$", advice="read the task's log, it says why"),
    Meaning(
        "program failed",
        Transient,
        r"command '.*' failed: (exit code|got (signal|timeout))",
        advice="the task's log says why",
    ),
    # --------------------------------------------------------------------- never, as it stands
    Meaning("storage unknown", Permanent, "storage '.*' does not exist", advice="name a storage"),
    Meaning(
        "no linked clones there",
        Permanent,
        "[Ll]inked clone feature|not allowed for linked clones",
        advice='write clone = "full", or put the template on a storage with linked clones',
    ),
    Meaning(
        "cannot clone so",
        Permanent,
        "can't clone|[Ff]ull clone feature",
        advice="look at the template's disks and storage",
    ),
    Meaning(
        "base in use",
        Permanent,
        "still in use by linked clone",
        advice="remove the clones that hang on it, then retry",
    ),
    Meaning(
        "SSH key refused",
        Permanent,
        "SSH public key validation error|invalid urlencoded",
        advice="have its owner set another key, then retry",
    ),
    Meaning(
        "for root only",
        Permanent,
        "[Oo]nly root",
        advice="take this option out of the template, a token may not change it",
    ),
    Meaning(
        "not possible with this guest",
        Permanent,
        "^you can't |unable to create template|snapshot feature is not available",
    ),
    Meaning(
        "option refused",
        Permanent,
        "no options specified|unable to (delete required|modify read-only) option|^format error"
        "|does not support '.*' content|reserved name|unable to parse .* volume name",
    ),
    Meaning("parameter refused", Permanent, "", _statuses(400), "mend what it names, then retry"),
    Meaning("not offered", Permanent, "", _statuses(501, 505, 506), "is this Proxmox VE 8 or 9?"),
)


def writing(what: str) -> AbstractContextManager[None]:
    """Turn a transport's errors into ours around a call that changes something."""
    return _calling(what, UnknownOutcome, "no answer, it may have happened")


def reading(what: str) -> AbstractContextManager[None]:
    """Turn a transport's errors into ours around a call that changes nothing."""
    return _calling(what, Transient, "could not be read, no answer")


@contextmanager
def _calling(what: str, unknown: type[ProvisionError], silence: str) -> Iterator[None]:
    """`unknown` is what it is when nobody can say whether the call arrived."""
    try:
        yield
    except ApiError as error:
        found = meaning(error)
        if isinstance(found, UnknownOutcome):
            raise unknown(f"{what}: {found}") from error
        if isinstance(found, Locked):  # it may be the template's lock, which has to be named
            raise Locked(f"{what}: {found}") from error
        raise found from error
    except Unreachable as error:
        raise HypervisorDown(f"{what}: no connection: {error}") from error
    except ReplyLost as error:
        raise unknown(f"{what}: {silence}: {error}") from error


def meaning(error: ApiError) -> ProvisionError:
    """Return what an answer means; the API never answers with a page, so that is somebody else."""
    if error.status == 500 and error.body.lstrip().startswith("<"):
        return UnknownOutcome(f"a page instead of an answer: {sentence(error)}")
    return _explain(error.status, sentence(error))


def task_meaning(exit_status: str) -> ProvisionError | None:
    """Return what a task's exit status means, None for success: `OK` or `WARNINGS: n`."""
    if succeeded(exit_status):
        return None
    return _explain(None, _shortened(exit_status.strip()))


def absent(error: ApiError) -> bool:
    """Say whether the answer is that this guest has no configuration on that node."""
    missing = r"Configuration file '[^']*\.conf' does not exist"
    return error.status == 500 and re.fullmatch(missing, sentence(error)) is not None


def sentence(error: ApiError) -> str:
    """Return what Proxmox said: its reason phrase and the errors of single parameters.

    The body repeats the phrase as `message`, which counts where the phrase got lost on the way.
    """
    phrase = error.reason.strip() or str(_body(error).get("message") or "").strip()
    details = "; ".join(f"{name}: {why.strip()}" for name, why in parameter_errors(error).items())
    return _shortened(" ".join(part for part in (phrase, details) if part))


def parameter_errors(error: ApiError) -> dict[str, str]:
    """Return the parameters that were refused and why; empty when the body names none."""
    errors = _body(error).get("errors")
    return {k: str(v) for k, v in errors.items()} if isinstance(errors, dict) else {}


def _shortened(said: str) -> str:
    """Cut a long text in its middle: it begins with what failed and ends with why."""
    if len(said) <= LONGEST:
        return said
    head = LONGEST // 2
    return f"{said[:head]} … {said[head + 3 - LONGEST :]}"


def _body(error: ApiError) -> dict[str, JsonValue]:
    try:
        body: JsonValue = json.loads(error.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _explain(status: int | None, said: str) -> ProvisionError:
    for row in TABLE:
        if row.fits(status, said):
            return row.explain(said or f"status {status} without a word")
    return Transient(said or f"status {status} without a word")
