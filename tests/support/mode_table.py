"""Prints the tables of docs/reference/failure-modes.md: each mode, and each mode under each verb.

`python -m tests.support.mode_table` plays the matrix (minutes) and puts its tables into the
document; with the word `by-hand`, those of what is typed and waited for alone. What is told of
chainwatch follows from what it makes of Proxmox's words, where there are any.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from structlog.testing import capture_logs

from provisioner.backends.proxmox.api import ApiError
from provisioner.backends.proxmox.errors import meaning, task_meaning
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
from provisioner.model import Kind
from provisioner.simulator.modes.catalogue import MODES
from provisioner.simulator.modes.mode import Form, Mode, Told
from tests.support.at_once import at_once
from tests.support.by_hand import COMMANDS, Command
from tests.support.by_hand_playing import Ended, meetings
from tests.support.by_hand_playing import play as typed
from tests.support.hands_playing import HANDS, Hand
from tests.support.hands_playing import meetings as hand_meetings
from tests.support.hands_playing import play as handled
from tests.support.matrix import usual
from tests.support.playing import Outcome, Played, play
from tests.support.verbs import VERBS, Verb

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reference" / "failure-modes.md"

#: What chainwatch does about an error, by its class; the first that fits.
DOES: Final[tuple[tuple[type[ProvisionError], str], ...]] = (
    (UnknownOutcome, "looks what became of it before anything else"),
    (AgentSilent, "leaves what is inside the guest, and asks again"),
    (HypervisorDown, "makes and destroys nothing; one alarm, one probe"),
    (Locked, "waits for the lock"),
    (NoRoom, "waits with an alarm until there is room"),
    (Transient, "looks again, and tries again later and later"),
    (Permanent, "parks the lease with an alarm"),
)
#: What it does where nothing is said, or where more counts than what is said.
BESIDES: Final[Mapping[int, str]] = {
    16: "one alarm for the node; what stands there waits, all else goes on",
    18: "one alarm for the node; what stands there waits, all else goes on",
    19: "one alarm for the node; what stands there waits, all else goes on",
    21: "looks what became of it before anything else",
    22: "looks what became of it before anything else",
    23: "looks what became of it before anything else",
    27: "waits, and names the privilege; one of the whole cluster stops everything",
    29: "makes and destroys nothing; one alarm, one probe",
    32: "takes it for the success that it is",
    33: "looks; of a clone that was cut off it says which VM to look at, and parks",
    34: "looks at the machine instead",
    35: "waits; after ten minutes an alarm, of a whole copy a minute more for each GiB",
    36: "looks, and makes the machine with another VMID",
    37: "judges nothing that holds a clone's lock",
    39: "waits with an alarm until there is room",
    43: "asks whether the VMID is free, and makes again what is owed",
    45: "destroys with `purge`; waits for HA to follow its wish",
    46: "takes the protection away, unless there is a hold",
    47: "alarm `volumes-left` for as long as the volume is there",
    52: "never asks for it, and waits for HA to follow its wish",
    56: "destroys nothing before there is a backup; tries again, seldom",
    57: "finds it by the cluster's list",
    58: "lets the list select only; what a machine is, its own configuration says",
    59: "puts back what is ours, and touches nobody else's",
    60: "tries again; what it said is in the lease's sentence",
    61: "takes one step towards what the chain says now",
    62: "schedules by its own clock, and allows 300 s to a node's",
}
#: The tests that hold what no API call can show.
HELD_BY: Final[Mapping[int, tuple[str, ...]]] = {
    61: (
        "test_life::test_a_mint_that_a_reorg_takes_back_is_suspended_and_destroyed_after_grace",
        "test_chain_lies::test_of_two_endpoints_receipts_prove_who_lies",
        "test_crashes::test_a_provision_goes_on_without_us_and_is_found_again",
        "test_outages::test_a_renewal_while_a_machine_is_being_shut_down_gives_it_back",
    ),
}
MODES_TABLE: Final = "modes"
#: The name of the table of each kind's verbs.
VERBS_TABLES: Final = {Kind.VM: "machines", Kind.CONTAINER: "containers"}
#: The name of the table of each kind's commands.
BY_HAND_TABLES: Final = {Kind.VM: "machines by hand", Kind.CONTAINER: "containers by hand"}
#: The name of the table of what is done by hand to a lease's machine of each kind.
HANDS_TABLES: Final = {Kind.VM: "machines of leases", Kind.CONTAINER: "containers of leases"}
BY_HAND: Final = "by-hand"


def said(mode: Mode) -> str:
    """Return what Proxmox says, each text once, with the status or where else it is told."""
    rows: dict[str, None] = {}
    for form in mode.forms:
        words = [f"`{form.says}`"] if form.says else []
        words += [f"`{field}: {text.strip()}`" for field, text in form.fault.errors]
        if words:
            rows[f"{_place(form)} {', '.join(words)}"] = None
    return "; ".join(rows).replace("|", "\\|") or "nothing"


def _place(form: Form) -> str:
    if form.told is Told.REPLY:
        return str(form.status)
    return {Told.TASK: "task", Told.SSH: "SSH"}.get(form.told, "log")


def does(mode: Mode) -> str:
    """Return what chainwatch does about a mode."""
    if mode.number in BESIDES:
        return BESIDES[mode.number]
    error = _meant(mode.forms[0])
    return next(text for kind, text in DOES if isinstance(error, kind))


def _meant(form: Form) -> ProvisionError | None:
    says = form.says.replace("{vmid}", "20000").replace("{newid}", "20000")
    errors = {field: text.replace("{vmid}", "20000") for field, text in form.fault.errors}
    if form.told is Told.TASK:
        return task_meaning(says)
    return meaning(ApiError(form.status, says, json.dumps({"errors": errors})))


def modes_table() -> str:
    """Return the table of all modes."""
    lines = [
        "| # | mode | Proxmox says | it happened | chainwatch | operator |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {mode.number} | {mode.name} | {said(mode)} | {mode.effect.value} | {does(mode)} |"
        f" {mode.ends} |"
        for mode in MODES.values()
    ]
    return "\n".join(lines)


def verbs_table(kind: Kind, outcomes: Mapping[tuple[int, str], Outcome]) -> str:
    """Return the table of what came of each verb of a kind of machine under each mode."""
    verbs = [verb for verb in VERBS if verb.kind is kind]
    heads = " | ".join(verb.name for verb in verbs)
    lines = [f"| # | mode | {heads} |", "|---|---|" + "---|" * len(verbs)]
    for mode in MODES.values():
        cells = [outcomes[mode.number, verb.id].value for verb in verbs]
        lines.append(f"| {mode.number} | {mode.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_hand_table(
    kind: Kind, commands: Sequence[Command | Hand], ends: Mapping[tuple[int, str], Ended]
) -> str:
    """Return the table of what came of each command on a kind of machine under each mode."""
    of_kind = [command for command in commands if command.kind is kind]
    heads = " | ".join(command.name for command in of_kind)
    lines = [f"| # | mode | {heads} |", "|---|---|" + "---|" * len(of_kind)]
    for mode in MODES.values():
        cells = [ends[mode.number, command.id].value for command in of_kind]
        lines.append(f"| {mode.number} | {mode.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def block(document: str, name: str) -> str:
    """Return the table that stands between the marks of `name` in a document."""
    return document.split(f"<!-- {name} -->\n")[1].split(f"\n<!-- /{name} -->", maxsplit=1)[0]


def told_outcome(document: str, mode: Mode, verb: Verb | Command | Hand) -> str:
    """Return what a document says of a verb or a command under a mode."""
    tables = {Verb: VERBS_TABLES, Command: BY_HAND_TABLES, Hand: HANDS_TABLES}[type(verb)]
    head, _, *rows = block(document, tables[verb.kind]).splitlines()
    column = [cell.strip() for cell in head.split("|")].index(verb.name)
    row = next(row for row in rows if row.startswith(f"| {mode.number} |"))
    return row.split("|")[column].strip()


async def played(verb: Verb, mode: Mode, folder: Path) -> Played:
    """Play one mode at the first call of a verb that it is known for."""
    (folder / "calls").mkdir()
    case = await usual(verb, mode, folder / "calls")
    if case is None:
        return Played(Outcome.UNTOUCHED)
    (folder / "case").mkdir()
    return await play(case, folder / "case")


async def _all(verbs: Sequence[Verb]) -> dict[tuple[int, str], Outcome]:
    found = {}
    for mode in MODES.values():
        for verb in verbs:
            with tempfile.TemporaryDirectory() as folder, capture_logs():
                try:
                    came = (await played(verb, mode, Path(folder))).outcome
                except AssertionError as error:
                    sys.stderr.write(f"{mode.number} {verb.id}: {error}\n")
                    continue
            found[mode.number, verb.id] = came
    return found


async def by_hand() -> dict[tuple[int, str], Ended]:
    """Play one mode at the first call of each command that it is known for."""
    ends = {}
    for command in COMMANDS:
        for mode in MODES.values():
            at = await meetings(command, mode)
            ends[mode.number, command.id] = await typed(at[0]) if at else Ended.UNTOUCHED
    return ends


async def hands() -> dict[tuple[int, str], Ended]:
    """Play one mode at the first call of what is done by hand that it is known for."""
    ends = {}
    for hand in HANDS:
        for mode in MODES.values():
            with tempfile.TemporaryDirectory() as folder, capture_logs():
                for name in ("calls", "case"):
                    (Path(folder) / name).mkdir()
                at = await hand_meetings(hand, mode, Path(folder) / "calls")
                came = await handled(at[0], Path(folder) / "case") if at else Ended.UNTOUCHED
            ends[mode.number, hand.id] = came
    return ends


def main(words: Sequence[str] = ()) -> None:
    """Put all tables into the document."""
    tables = {MODES_TABLE: modes_table()}
    ends = asyncio.run(by_hand())
    tables |= {name: by_hand_table(kind, COMMANDS, ends) for kind, name in BY_HAND_TABLES.items()}
    with at_once():
        ends = asyncio.run(hands())
    tables |= {name: by_hand_table(kind, HANDS, ends) for kind, name in HANDS_TABLES.items()}
    if BY_HAND not in words:
        with at_once():
            outcomes = asyncio.run(_all(VERBS))
        tables |= {name: verbs_table(kind, outcomes) for kind, name in VERBS_TABLES.items()}
    document = DOCUMENT.read_text()
    for name, table in tables.items():
        head, tail = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        document = document.replace(f"{head}{block(document, name)}{tail}", f"{head}{table}{tail}")
    DOCUMENT.write_text(document)


if __name__ == "__main__":
    main(sys.argv[1:])
