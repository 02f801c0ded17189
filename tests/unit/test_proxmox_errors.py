"""The words of Proxmox, as an 8.4.21 said them or as its source has them, and what they mean."""

import json

import pytest

from provisioner.backends.proxmox.api import ApiError, ReplyLost, Unreachable
from provisioner.backends.proxmox.errors import (
    LONGEST,
    TABLE,
    absent,
    meaning,
    parameter_errors,
    reading,
    sentence,
    task_meaning,
    writing,
)
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

LOCK_FILE = "can't lock file '/var/lock/qemu-server/lock-9470.conf' - got timeout"
GONE = "Configuration file 'nodes/pve/qemu-server/9555.conf' does not exist"

#: (row, status or None for a task's exit status, words, errors of parameters, meaning)
SAID: list[tuple[str, int | None, str, dict[str, str], type[ProvisionError]]] = [
    ("token refused", 401, "No ticket", {}, HypervisorDown),
    ("token refused", 401, "Authentication failed!", {}, HypervisorDown),
    ("token refused", 401, "", {}, HypervisorDown),
    ("no quorum", 500, "cluster not ready - no quorum?", {}, HypervisorDown),
    ("no quorum", None, "cfs-lock 'storage-ceph' error: no quorum!", {}, HypervisorDown),
    (
        "cluster filesystem offline",
        500,
        "pve cluster filesystem not online.",
        {},
        HypervisorDown,
    ),
    ("node not reached", 595, "No route to host", {}, HypervisorDown),
    ("node not reached", 595, "Connection refused", {}, HypervisorDown),
    (
        "node unknown",
        500,
        (
            "hostname lookup 'nope' failed - failed to get address info for: nope: "
            "Name or service not known"
        ),
        {},
        HypervisorDown,
    ),
    ("node unknown", 500, "no such cluster node 'nope'", {}, HypervisorDown),
    (
        "no privilege on a guest",
        403,
        "Permission check failed (/vms/9000, VM.Clone)",
        {},
        Transient,
    ),
    ("no privilege", 403, "Permission check failed (/, Sys.Audit)", {}, HypervisorDown),
    (
        "no privilege",
        403,
        "Permission check failed (/, Sys.Modify for modifying tag 'b')",
        {},
        HypervisorDown,
    ),
    ("no privilege", 403, "Permission check failed", {}, HypervisorDown),
    ("not Proxmox", 302, "redirected to another address", {}, HypervisorDown),
    ("not Proxmox", 404, "Not Found", {}, HypervisorDown),
    ("reply lost by the proxy", 596, "Broken pipe", {}, UnknownOutcome),
    ("answered by something in between", 502, "Bad Gateway", {}, UnknownOutcome),
    ("answered by something in between", 504, "Gateway Timeout", {}, UnknownOutcome),
    ("worker lost", 500, "got no worker upid - start worker failed", {}, UnknownOutcome),
    ("task ended without a word", None, "unexpected status", {}, UnknownOutcome),
    (
        "task forgotten",
        400,
        "Parameter verification failed.",
        {"upid": "no such task"},
        UnknownOutcome,
    ),
    (
        "VMID in use",
        500,
        "unable to create VM 9315: config file already exists",
        {},
        UnknownOutcome,
    ),
    (
        "VMID in use",
        500,
        "unable to create VM 9400 - VM 9400 already exists on node 'pve'",
        {},
        UnknownOutcome,
    ),
    (
        "VMID in use",
        400,
        "Parameter verification failed.",
        {"vmid": "VM 218 already exists"},
        UnknownOutcome,
    ),
    ("agent not configured", 500, "No QEMU guest agent configured", {}, AgentSilent),
    ("agent not running", 500, "QEMU guest agent is not running", {}, AgentSilent),
    (
        "agent went away",
        500,
        "VM 9100 qmp command 'guest-ping' failed - client closed connection",
        {},
        AgentSilent,
    ),
    ("guest refused", 500, "Agent error: Invalid parameter 'pid'", {}, Transient),
    ("guest locked", 500, "VM is locked (backup)", {}, Locked),
    ("guest locked", None, "VM is locked (snapshot-delete)", {}, Locked),
    ("guest locked", 500, "CT is locked (backup)", {}, Locked),
    ("lock file busy", 500, LOCK_FILE, {}, Locked),
    ("lock file busy", None, f"clone failed: {LOCK_FILE}", {}, Locked),
    ("lock file busy", None, f"unable to create VM 9470 - {LOCK_FILE}", {}, Locked),
    (
        "storage lock busy",
        None,
        "clone failed: cfs-lock 'storage-X' error: got lock request timeout",
        {},
        Locked,
    ),
    (
        "storage lock busy",
        None,
        "'storage-X'-locked command timed out - aborting",
        {},
        Locked,
    ),
    ("storage full", None, "clone failed: not enough free space (1 < 2)", {}, NoRoom),
    ("storage full", None, "write failed: No space left on device", {}, NoRoom),
    ("no VMID left", 500, "unable to get any free VMID in range [100, 101]", {}, NoRoom),
    (
        "config changed meanwhile",
        500,
        "checksum mismatch (file change by other user?)",
        {},
        Transient,
    ),
    (
        "config changed meanwhile",
        500,
        "detected modified configuration - file changed by other user? Try again.",
        {},
        Transient,
    ),
    ("guest gone", 500, GONE, {}, Transient),
    (
        "guest gone",
        500,
        "unable to find configuration file for VM 9555 on node 'pve'",
        {},
        Transient,
    ),
    ("guest runs", 500, "VM 9500 is running - destroy failed", {}, Transient),
    ("guest runs", None, "VM 9500 already running", {}, Transient),
    ("guest stands still", 500, "VM 9500 not running", {}, Transient),
    ("guest stands still", 500, "VM is paused - cannot shutdown", {}, Transient),
    (
        "guest protected",
        500,
        "can't remove VM 9410 - protection mode enabled",
        {},
        Transient,
    ),
    ("guest ignores shutdown", None, "VM quit/powerdown failed - got timeout", {}, Transient),
    ("task stopped", None, "clone failed: interrupted by signal", {}, Transient),
    ("task stopped", None, "received interrupt", {}, Transient),
    ("start failed", None, "start failed: QEMU exited with code 1", {}, Transient),
    (
        "cannot change while running",
        400,
        "Parameter verification failed.",
        {"net0": "hotplug problem - error on hot-unplugging device 'net0'\n"},
        Transient,
    ),
    ("storage away", 500, "storage 'small' is disabled", {}, Transient),
    (
        "storage away",
        None,
        (
            "clone failed: unable to activate storage 'small' - directory is expected to be a "
            "mount point but is not mounted: '/mnt/small'"
        ),
        {},
        Transient,
    ),
    ("storage unknown", 500, "storage 'nope' does not exist", {}, Permanent),
    ("cannot clone so", 500, "parameter 'storage' not allowed for linked clones", {}, Permanent),
    (
        "cannot clone so",
        500,
        "Linked clone feature is not supported for 'local:9440/vm-9440-disk-0.raw' (scsi0)",
        {},
        Permanent,
    ),
    ("cannot clone so", 500, "can't clone to non-shared storage 'local'", {}, Permanent),
    (
        "base in use",
        None,
        "base volume 'local:9000/base-9000-disk-0.raw' is still in use by linked cloned",
        {},
        Permanent,
    ),
    ("shrink", None, "shrinking disks is not supported", {}, Permanent),
    ("SSH key refused", 500, "SSH public key validation error", {}, Permanent),
    (
        "SSH key refused",
        400,
        "Parameter verification failed.",
        {"sshkeys": "invalid format - invalid urlencoded string: ssh-ed25519 AAAA x\n"},
        Permanent,
    ),
    ("for root only", 500, "only root can set 'args' config", {}, Permanent),
    (
        "parameter refused",
        400,
        "Parameter verification failed.",
        {"name": "invalid format - value does not look like a valid DNS name\n"},
        Permanent,
    ),
    ("not offered", 501, "Method 'POST /version' not implemented", {}, Permanent),
]


def answer(status: int, words: str, errors: dict[str, str]) -> ApiError:
    """Return an answer as Proxmox shapes it; a 401 has an empty body."""
    body = {"data": None, "message": f"{words}\n", **({"errors": errors} if errors else {})}
    return ApiError(status, words, "" if status == 401 else json.dumps(body))


@pytest.mark.parametrize(("row", "status", "words", "errors", "error"), SAID)
def test_what_proxmox_says_means_what_the_row_says(
    row: str,
    status: int | None,
    words: str,
    errors: dict[str, str],
    error: type[ProvisionError],
) -> None:
    said = words if status is None else sentence(answer(status, words, errors))
    assert next(each.name for each in TABLE if each.fits(status, said)) == row
    met = task_meaning(words) if status is None else meaning(answer(status, words, errors))
    assert type(met) is error
    assert words in str(met)
    assert all(text.strip() in str(met) for text in errors.values())


def test_every_row_of_the_table_is_there_for_words_that_were_said() -> None:
    assert [row.name for row in TABLE] == list(dict.fromkeys(row for row, *_ in SAID))


@pytest.mark.parametrize("words", ["OK", "WARNINGS: 1", "WARNINGS: 12"])
def test_a_task_that_ends_well_has_no_error(words: str) -> None:
    assert task_meaning(words) is None


@pytest.mark.parametrize("status", [500, None])
def test_words_that_nobody_wrote_down_are_tried_again(status: int | None) -> None:
    words = "a sentence of a later version"
    met = task_meaning(words) if status is None else meaning(ApiError(status, words))
    assert type(met) is Transient


def test_a_refusal_without_words_still_says_something() -> None:
    assert str(meaning(ApiError(500, ""))) == "status 500 without a word"


def test_words_that_lost_their_reason_phrase_are_found_in_the_body() -> None:
    lost = ApiError(500, "", json.dumps({"data": None, "message": "VM is locked (clone)\n"}))
    assert type(meaning(lost)) is Locked


@pytest.mark.parametrize("body", ["", "<html>", "null", "[]", '{"errors": []}', '{"errors": null}'])
def test_a_body_that_is_not_proxmoxs_names_no_parameters(body: str) -> None:
    assert parameter_errors(ApiError(400, "Bad Request", body)) == {}


def test_a_missing_configuration_is_told_from_everything_that_sounds_like_it() -> None:
    assert absent(ApiError(500, GONE))
    assert absent(ApiError(500, GONE.replace("qemu-server", "lxc")))
    assert not absent(ApiError(400, GONE))
    assert not absent(ApiError(500, f"clone failed: {GONE}"))
    assert not absent(ApiError(500, "storage 'nope' does not exist"))
    assert not absent(ApiError(500, "unable to find configuration file for VM 1 on node 'pve'"))


def test_a_flood_of_words_is_cut() -> None:
    flood = ApiError(500, "x" * 100_000, json.dumps({"errors": {"y": "z" * 100_000}}))
    assert len(str(meaning(flood))) == LONGEST


@pytest.mark.parametrize(
    ("raised", "read", "written"),
    [
        (Unreachable("no route"), HypervisorDown, HypervisorDown),
        (ReplyLost("reset"), Transient, UnknownOutcome),
        (ApiError(596, "Broken pipe"), Transient, UnknownOutcome),
        (ApiError(500, "got no worker upid - start worker failed"), Transient, UnknownOutcome),
        (ApiError(401, ""), HypervisorDown, HypervisorDown),
    ],
)
def test_a_lost_reply_is_harmless_to_a_reading_and_open_after_a_write(
    raised: Exception, read: type[ProvisionError], written: type[ProvisionError]
) -> None:
    with pytest.raises(ProvisionError) as reading_met, reading("a thing"):
        raise raised
    with pytest.raises(ProvisionError) as writing_met, writing("a thing"):
        raise raised
    assert (type(reading_met.value), type(writing_met.value)) == (read, written)
