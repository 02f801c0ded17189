"""Modes 1 to 5 and 13 to 31: VMIDs, the cluster as a whole, the way to it, and who may do what."""

from dataclasses import replace
from typing import Final

from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.modes import rights
from provisioner.simulator.modes import world as w
from provisioner.simulator.modes.mode import (
    ANY,
    CLONE,
    CONFIG,
    CREATE_CT,
    CREATE_VM,
    MAKING,
    NEXT_ID,
    ON_NODE,
    RESIZE,
    TASKS,
    WRITES,
    Effect,
    Form,
    Mode,
    Told,
    on_wire,
    refused,
    task_fails,
    world,
)

TAKEN: Final = "unable to create VM {newid}: config file already exists"
LOOKUP: Final = "failed to get address info for: {node}: Name or service not known"
PER_FIELD: Final = (("description", "value may only be 8192 characters long"),)
BAD_KEYS: Final = (("sshkeys", "invalid format - invalid urlencoded string: ssh-ed25519 AAAA\n"),)
NO_PARAMETER: Final = "Parameter verification failed."


def _spreads(form: Form, path: str, label: str) -> Form:
    """Return `form`, after which everything that `path` means fails the same way."""
    return replace(form, happens=w.spreading(path, label, form.fault))


VMIDS: Final = (
    Mode(
        1,
        "VMID taken on this node",
        MAKING,
        Effect.NONE,
        "By itself: another VMID is chosen.",
        (world(TAKEN, w.taken),),
    ),
    Mode(
        2,
        "VMID taken on another node",
        MAKING,
        Effect.NONE,
        "By itself: another VMID is chosen.",
        (
            world(
                "unable to create VM {newid} - VM {newid} already exists on node '*'",
                w.taken_elsewhere,
            ),
        ),
    ),
    Mode(
        3,
        "VMID refused as a parameter",
        (NEXT_ID,),
        Effect.NONE,
        "By itself: the VMID is asked about again, or another one is chosen.",
        (refused(NO_PARAMETER, 400, errors=(("vmid", "VM {vmid} already exists"),)),),
    ),
    Mode(
        4,
        "range of VMIDs full",
        (*MAKING, NEXT_ID),
        Effect.NONE,
        "Remove guests from the range that are not ours, or make the range larger.",
        (
            world(TAKEN, w.range_full),
            world("unable to get any free VMID in range [*, *]", w.range_full),
        ),
        lasts=True,
    ),
    Mode(
        5,
        "the same next id for many",
        MAKING,
        Effect.NONE,
        "By itself: whoever came first has it, all others choose another.",
        (world(TAKEN, w.raced),),
    ),
)

CLUSTER: Final = (
    Mode(
        13,
        "no quorum",
        WRITES,
        Effect.NONE,
        "Bring back nodes until most of the cluster sees each other (`pvecm status`).",
        (world("cluster not ready - no quorum?", w.quorum_lost),),
        lasts=True,
    ),
    Mode(
        14,
        "quorum lost during a task",
        TASKS,
        Effect.NONE,
        "By itself, when the cluster has its quorum again.",
        (task_fails("cfs-lock 'storage-{storage}' error: no quorum!"),),
    ),
    Mode(
        15,
        "cluster file system offline",
        (*WRITES, ANY),
        Effect.NONE,
        "Start pve-cluster on the node (`systemctl restart pve-cluster`).",
        (
            _spreads(
                refused("pve cluster filesystem not online."), "*", "15 cluster file system offline"
            ),
        ),
        lasts=True,
    ),
    Mode(
        16,
        "node not reached",
        ON_NODE,
        Effect.NONE,
        "Bring the node back, or the network to it.",
        tuple(
            _spreads(
                on_wire(FaultName.PROXY_DOWN, text, 595, text=text),
                "/nodes/{node}/*",
                "16 node not reached",
            )
            for text in ("No route to host", "Connection refused")
        ),
        lasts=True,
    ),
    Mode(
        17,
        "proxy loses the answer",
        (*WRITES, ANY),
        Effect.DONE,
        "By itself: what became of it is looked at.",
        (on_wire(FaultName.PROXY_BROKEN, "Broken pipe", 596),),
    ),
    Mode(
        18,
        "node's name not found",
        ON_NODE,
        Effect.NONE,
        "Mend the node's name in /etc/hosts or DNS of the node that was asked.",
        (
            _spreads(
                refused(f"hostname lookup '{{node}}' failed - {LOOKUP}"),
                "/nodes/{node}/*",
                "18 node's name not found",
            ),
        ),
        lasts=True,
    ),
    Mode(
        19,
        "node not in the cluster",
        ON_NODE,
        Effect.NONE,
        "Put the node back into the cluster, or take it out of the configuration.",
        (
            _spreads(
                refused("no such cluster node '{node}'"),
                "/nodes/{node}/*",
                "19 node not in the cluster",
            ),
        ),
        lasts=True,
    ),
)

WIRE: Final = (
    Mode(
        20,
        "no worker",
        TASKS,
        Effect.UNKNOWN,
        "By itself: what became of it is looked at.",
        (refused("got no worker upid - start worker failed"),),
    ),
    Mode(
        21,
        "connection reset after the change",
        (*WRITES, ANY),
        Effect.DONE,
        "By itself: what became of it is looked at.",
        (on_wire(FaultName.LOSE_REPLY, "", 0),),
    ),
    Mode(
        22,
        "silence, then the change",
        (*WRITES, ANY),
        Effect.UNKNOWN,
        "By itself: what became of it is looked at.",
        (Form("", Fault(FaultName.HANG, seconds=60.0, status=0)),),
    ),
    Mode(
        23,
        "connection closed",
        (*WRITES, ANY),
        Effect.NONE,
        "By itself: the next request has a connection of its own.",
        (
            on_wire(FaultName.DROP, "", 0),
            on_wire(FaultName.UNREACHABLE, "", 0),
        ),
    ),
    Mode(
        24,
        "answer that is no answer",
        (*WRITES, ANY),
        Effect.UNKNOWN,
        "By itself: what became of it is looked at.",
        (
            on_wire(FaultName.HTML, "Bad Gateway", 502),
            refused("got no worker upid - start worker failed", raw='{"data":null}'),
        ),
    ),
)

ACCESS: Final = (
    Mode(
        25,
        "token refused",
        (*WRITES, ANY),
        Effect.NONE,
        "Make the token again, or enable it, and give the daemon its secret.",
        (
            world("Authentication failed!", rights.token_gone, 401),
            refused("No ticket", 401),
            refused("permission denied - invalid PVE ticket", 401),
        ),
        lasts=True,
    ),
    Mode(
        26,
        "CSRF token refused",
        WRITES,
        Effect.NONE,
        "By itself: API tokens need none.",
        (refused("Permission denied - invalid csrf token", 401),),
    ),
    Mode(
        27,
        "privilege missing",
        (CLONE, *(call for call in WRITES if call not in {CLONE, CREATE_CT, CREATE_VM})),
        Effect.NONE,
        "Grant what `chainwatch check` says is missing.",
        (
            world("Permission check failed (/vms/{vmid}, *)", rights.privilege_gone(), 403),
            world("Permission check failed", rights.privilege_gone("VM.Allocate"), 403),
        ),
        lasts=True,
    ),
    Mode(
        28,
        "tag refused by policy",
        (CONFIG, CREATE_CT),
        Effect.NONE,
        "Allow the tag to everybody, or take it out of [machines] tags, then retry.",
        (
            refused(
                "Permission check failed (/, Sys.Modify for modifying tag 'chainwatch')",
                403,
                lasting=True,
            ),
        ),
        lasts=True,
    ),
    Mode(
        29,
        "lists come back empty",
        (*WRITES, ANY),
        Effect.NONE,
        "Give the token its permissions back (`chainwatch proxmox grant` prints the commands).",
        (
            Form(
                "Permission check failed*",
                Fault(FaultName.HAPPENS, status=403),
                Told.REPLY,
                rights.acl_gone,
            ),
            world("", rights.sight_gone(of_templates=True), 403, Told.NOWHERE),
            world("", rights.sight_gone(of_templates=False), 403, Told.NOWHERE),
        ),
        lasts=True,
    ),
    Mode(
        30,
        "parameter refused",
        (CLONE, CONFIG, RESIZE, *(c for c in WRITES if c not in {CLONE, CONFIG, RESIZE})),
        Effect.NONE,
        "Mend what the sentence names, then retry.",
        (refused(NO_PARAMETER, 400, errors=PER_FIELD, lasting=True),),
        lasts=True,
    ),
    Mode(
        31,
        "SSH keys refused",
        (CONFIG, CREATE_CT),
        Effect.NONE,
        "Have the owner set another key, or mend it, then retry.",
        (refused(NO_PARAMETER, 400, errors=BAD_KEYS, lasting=True),),
        lasts=True,
    ),
)
