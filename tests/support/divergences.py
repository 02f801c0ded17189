"""Where `fakepve` and the stand-in differ, and who is right: the one list of it.

`fakepve` was made from the same sources by others, and is asked the same. What it does otherwise
stands here by the name of the test or of the exchange that shows it, in the words by which it shows
there. One that shows no more, or shows otherwise, fails the suite, so the list cannot rot; the
document is this list, printed by `python -m tests.support.divergences`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "reference" / "stand-in.md"
BEGIN, END = "<!-- divergences -->\n", "<!-- end of divergences -->\n"


class Right(Enum):
    """Who does as Proxmox VE does."""

    OURS = "the stand-in"
    PEER = "`fakepve`"
    UNTOLD = "nobody asked: `fakepve` has no way to"


@dataclass(frozen=True, slots=True)
class Divergence:
    """What differs, who is right and by what, and `shows`, the words by which it is seen."""

    shows: str
    differs: str
    right: Right
    by: str = ""

    def row(self, name: str) -> str:
        """Return it as a row of the document."""
        who = f"{self.right.value}: {self.by}" if self.by else self.right.value
        told = name.removeprefix("test_").replace("_", " ") if name in TESTS else name
        return f"| {told} | {self.differs} | {who} |"


def complaint(known: Divergence, failure: BaseException | None) -> str | None:
    """Say what is wrong with an entry whose test ended in `failure`; None if it is as it says."""
    if failure is None:
        return f"fakepve differs no more: {known.differs}"
    said = f"{type(failure).__name__}: {failure}"
    if known.shows in said:
        return None
    return f"fakepve differs otherwise than by {known.shows!r}: {said}"


HEARD: Final = "an 8.4.21 was heard to"


def _untold(shows: str, differs: str) -> Divergence:
    return Divergence(shows, differs, Right.UNTOLD)


_NO_REPLY: Final = _untold("cannot do lose-reply", "it loses no reply after the call was done")
_NO_PROXY: Final = _untold(
    "cannot do proxy-broken", "it has no proxy that breaks after the call was done"
)
_NO_INSIDE: Final = _untold("no simulated cluster", "there is no operating system in its guests")
_NO_COMMAND: Final = _untold(
    "DID NOT RAISE", "its agent takes every command, runs none, and none of them fails"
)
_BARE_CLONE: Final = (
    "a clone has no firewall",
    Right.OURS,
    f"{HEARD} copy the template's options, rules and sets",
)

#: By the name of a test, with `[case]` where only one case of it differs.
TESTS: Final[Mapping[str, Divergence]] = {
    "test_a_list_that_comes_back_empty_is_not_evidence": _untold(
        "cannot do empty", "no list of its comes back empty but for want of privileges"
    ),
    "test_a_configuration_that_cannot_be_read_is_not_a_missing_machine[lose-reply ]": _NO_REPLY,
    "test_a_configuration_that_cannot_be_read_is_not_a_missing_machine[proxy-broken ]": _NO_PROXY,
    "test_a_clone_whose_reply_was_lost_may_have_happened[FaultName.LOSE_REPLY]": _NO_REPLY,
    "test_a_clone_whose_reply_was_lost_may_have_happened[FaultName.PROXY_BROKEN]": _NO_PROXY,
    "test_a_write_is_never_sent_twice": _NO_REPLY,
    "test_a_lost_reply_to_a_change_of_keys_may_have_changed_them": _NO_REPLY,
    "test_a_disk_grows_to_a_size_and_never_shrinks": Divergence(
        "assert 4 == 10",
        "its resize is a task that ends well and changes nothing",
        Right.OURS,
        f"{HEARD} grow the disk, and to fail the task of a smaller size",
    ),
    "test_a_clone_under_way_shows_no_disk_that_it_does_not_have_yet": Divergence(
        "'scsi0' not in",
        "a clone under way shows its whole configuration, disks and all",
        Right.OURS,
        f"{HEARD} show the lock first, then the rest, and the disks at the end",
    ),
    "test_what_is_configured_while_it_runs_is_told_apart_from_what_it_runs_with": Divergence(
        "- 5a0f6d3e-8d6c-5a7e-9f35-2b1c3d4e5f60",
        "a configuration is shown without the changes that wait for the machine to stop",
        Right.OURS,
        "the schema of 8.4 says that they are applied, unless `current` is set",
    ),
    "test_a_stop_does_not_wait_for_a_shutdown_that_nobody_listens_to": Divergence(
        "the task failed: can't lock file",
        "it knows no `overrule-shutdown`, so a stop waits for the shutdown's lock in vain",
        Right.OURS,
        "the schema of 8.4 says of the parameter that it aborts the shutdown",
    ),
    "test_a_snapshot_is_listed_with_its_time_and_brings_its_settings_back": _untold(
        ">= 60", "it dates snapshots by the machine's clock, and nobody turns that"
    ),
    "test_the_task_list_shows_who_did_what_to_whom_and_how_it_ended": Divergence(
        "assert [TaskRow(",
        "its task list takes no notice of `since`",
        Right.OURS,
        f"{HEARD} list only what began later",
    ),
    "test_a_node_dates_its_tasks_by_the_clock_that_it_tells": Divergence(
        "<= 1297163644",
        "its nodes tell the first second that the schema allows, whatever time it is",
        Right.OURS,
        "the schema of 8.4 says that it is the server's time",
    ),
    "test_a_vmid_that_anybody_freed_is_known_for_as_long_as_it_must_rest": Divergence(
        "assert frozenset({9000, 10000}) == {10000}",
        "its task list leaves out nothing for `typefilter`, `since` and other filters",
        Right.OURS,
        f"{HEARD} list only what was asked for",
    ),
    "test_many_tasks_are_watched_with_one_call": Divergence(
        "unable to parse worker upid",
        "the state of a task that it does not know is a 500",
        Right.OURS,
        f"{HEARD} say 400 `no such task`; both are survived",
    ),
    "test_warnings_are_success_and_a_forgotten_task_proves_nothing": _untold(
        "cannot do task-warns", "no task of its ends with warnings"
    ),
    "test_a_failed_task_says_what_its_words_mean": _untold(
        "cannot do task-fails", "no task of its fails in words of our choice"
    ),
    "test_a_node_that_lost_power_proves_nothing_about_its_tasks": _untold(
        "cannot cut the power", "its nodes lose no power, and so forget no task"
    ),
    "test_a_clone_keeps_no_firewall_rule_ip_set_or_alias_of_its_template": Divergence(
        "all((0, 0, 0))", *_BARE_CLONE
    ),
    "test_a_known_firewall_is_made_another_without_being_read": Divergence(
        "no such IPSet 'ipfilter-net0'", *_BARE_CLONE
    ),
    "test_a_guest_without_a_configured_agent_is_silent": Divergence(
        "assert not True",
        "its agent answers whatever the configuration says of an agent",
        Right.OURS,
        f"{HEARD} say `No QEMU guest agent configured`",
    ),
    "test_a_command_is_run_and_its_end_is_told": _untold(
        "(0, b'', b'') == (0, b'a b c",
        "its agent takes every command, runs none and says so of none",
    ),
    "test_a_guest_that_has_not_made_its_user_yet_is_asked_again": _NO_COMMAND,
    "test_a_command_that_cannot_do_it_has_not_done_it": _NO_COMMAND,
    "test_a_command_that_does_not_end_is_no_success": _NO_COMMAND,
    "test_file_systems_that_do_not_tell_are_not_counted": _NO_INSIDE,
    "test_after_a_handover_the_new_key_opens_the_machine_and_no_other_does": _NO_INSIDE,
    "test_no_key_lets_nobody_in": _NO_INSIDE,
    "test_whoever_was_logged_in_is_thrown_out_and_nobody_is_fine_too": _NO_INSIDE,
    "test_an_account_says_whose_it_is": _NO_INSIDE,
    "test_a_guests_host_keys_are_read_and_one_that_has_none_tells_none": _NO_INSIDE,
}

_UNKNOWN: Final = "UPID:pve:00000001:00000001:60000000:qmstart:100:root@pam:"
_ASLEEP: Final = "qemu-server's source; the stand-in did not know hibernation before"

#: By the name of an exchange of the story; here `shows` is all that the peer says.
EXCHANGES: Final[Mapping[str, Divergence]] = {
    "a linked clone onto a named storage": Divergence(
        "400 Parameter verification failed.",
        "it refuses the parameter",
        Right.OURS,
        f"{HEARD} say 500 `parameter 'storage' not allowed for linked clones`; "
        "the peer follows the schema of 9.2",
    ),
    "a change of nothing": Divergence(
        "200 OK", "it takes that for done", Right.OURS, f"{HEARD} say `no options specified`"
    ),
    "a password read": Divergence(
        "200 OK; seen: sesame",
        "it tells the password",
        Right.OURS,
        f"{HEARD} answer with ten asterisks",
    ),
    "such a description read": Divergence(
        "200 OK; seen: ours  \n",
        "it keeps white space at the end of a machine's description",
        Right.OURS,
        f"{HEARD} drop it",
    ),
    "a smaller disk": Divergence(
        "200 OK; the task: OK",
        "its resize does nothing, and does it well",
        Right.OURS,
        f"{HEARD} fail the task",
    ),
    "a shutdown of what is stopped": Divergence(
        "500 VM 218 not running",
        "it refuses at once",
        Right.OURS,
        f"{HEARD} start a task that ends well; both are survived",
    ),
    "a resumption of what hibernates": Divergence(
        "500 VM 219 not running", "a machine that hibernates cannot be resumed", Right.OURS, _ASLEEP
    ),
    "a destroy of what hibernates": Divergence(
        "200 OK; the task: VM is locked (suspended)",
        "a machine that hibernates cannot be destroyed",
        Right.OURS,
        f"{HEARD} destroy one with that lock",
    ),
    "a shutdown of what is paused": Divergence(
        "200 OK; the task: OK",
        "a paused machine shuts down",
        Right.OURS,
        f"{HEARD} say `VM is paused - cannot shutdown`",
    ),
    "such words read": Divergence(
        "200 OK; seen: ours",
        "a container's description comes back as it was written",
        Right.OURS,
        f"{HEARD} add a line's end",
    ),
    "whose the last task was": Divergence(
        "200 OK; seen: root@pam!sim",
        "a task that ended is still the token's",
        Right.OURS,
        f"{HEARD} name the user, and the token beside him",
    ),
    "a task that is not known": Divergence(
        f"500 unable to parse worker upid '{_UNKNOWN}'",
        "it takes the task's id for none",
        Right.OURS,
        f"{HEARD} say 400 `no such task`",
    ),
    "the log of a task that is not known": Divergence(
        f"500 unable to parse worker upid '{_UNKNOWN}'",
        "it takes the task's id for none",
        Right.OURS,
        f"{HEARD} answer with a log",
    ),
    "a task that is no task": Divergence(
        "500 unable to parse worker upid 'nonsense'",
        "it says so with a 500",
        Right.OURS,
        f"{HEARD} refuse the parameter",
    ),
    "whether other kinds are among the tasks of one kind": Divergence(
        "200 OK; seen: True",
        "its list takes no notice of `typefilter`",
        Right.OURS,
        f"{HEARD} list that kind alone",
    ),
    "no token": Divergence(
        "401 permission denied - invalid PVE ticket",
        "it says something else",
        Right.OURS,
        f"{HEARD} say `No ticket`; every 401 is taken for the same",
    ),
    "a token that is none": Divergence(
        "401 authentication failure",
        "it says something else",
        Right.OURS,
        f"{HEARD} say `Authentication failed!`; every 401 is taken for the same",
    ),
    "root's own key": Divergence(
        "200 OK",
        "a token of root's may set it",
        Right.OURS,
        f"{HEARD} say `only root can set 'args' config`",
    ),
    "an unknown path": Divergence(
        "404 Not Found",
        "its web framework answers",
        Right.OURS,
        "an API path that is none is a 501",
    ),
    "a destroy of a template with clones": Divergence(
        "200 OK; the task: OK",
        "the template goes, and its clones have no base",
        Right.OURS,
        f"{HEARD} fail the task: `base volume '…' is still in use by linked cloned`",
    ),
}


def table() -> str:
    """Return the list as the document has it."""
    rows = [known.row(name) for name, known in {**EXCHANGES, **TESTS}.items()]
    head = ["| Test or exchange | What `fakepve` does otherwise | Who is right |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def main() -> None:
    """Put the list into the document."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}")


if __name__ == "__main__":
    main()
