"""The words of Proxmox, as an 8.4.21 said them or as its source has them, and what they mean."""

import json
import re
from collections.abc import Iterator

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
    HypervisorDown,
    Locked,
    ProvisionError,
    Transient,
    UnknownOutcome,
)
from tests.support.guest_words import GONE
from tests.support.pve_words import SAID
from tests.support.recorded import scenarios, why_not

#: Pools are made and changed by a person, and nobody waits for a console's end.
NOT_OURS = re.compile(r"pool|nobody connects|vncproxy")


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


def test_what_a_genuine_proxmox_said_has_a_row_that_was_meant_for_it() -> None:
    unmeant = [said for asked, said in genuine() if not any(row.fits(asked, said) for row in TABLE)]
    assert unmeant == []


def genuine() -> Iterator[tuple[int | None, str]]:
    """Yield (status, sentence) of every recorded refusal, and (None, text) of every failed task."""
    for exchange in (each for exchanges in scenarios().values() for each in exchanges):
        status, body = exchange.told.get("status"), exchange.told.get("body")
        if why_not(exchange) is not None or status is None or NOT_OURS.search(exchange.name):
            continue
        if status >= 400:
            errors = json.dumps({"errors": body.get("errors") if isinstance(body, dict) else None})
            yield status, sentence(ApiError(status, exchange.told["reason"], errors))
        ended = exchange.task.get("exitstatus")
        if ended is not None and task_meaning(ended) is not None:
            yield None, ended


def test_a_long_text_keeps_what_failed_and_why() -> None:
    told = str(task_meaning(f"start failed: command '{'x' * 5000}' failed: got timeout"))
    assert len(told) == LONGEST
    assert told.startswith("start failed: command 'xxx")
    assert told.endswith("' failed: got timeout")


def test_every_row_of_the_table_is_there_for_words_that_were_said() -> None:
    assert [row.name for row in TABLE] == list(dict.fromkeys(row for row, *_ in SAID))


def test_every_alternative_of_a_row_is_there_for_words_that_were_said() -> None:
    said = {
        (row, words if status is None else sentence(answer(status, words, errors)))
        for row, status, words, errors, _ in SAID
    }
    unsaid = [
        (row.name, each)
        for row in TABLE
        for each in alternatives(row.pattern)
        if not any(name == row.name and re.search(each, words) for name, words in said)
    ]
    assert unsaid == []


def alternatives(pattern: str) -> Iterator[str]:
    """Yield what a pattern allows, one alternative at a time, those in brackets too."""
    within = re.search(r"(?<!\\)\((?:\?:)?((?:[^()\\]|\\.)*\|(?:[^()\\]|\\.)*)\)", pattern)
    if within is None:
        yield from pattern.split("|")
        return
    for each in within[1].split("|"):
        yield from alternatives(pattern[: within.start()] + each + pattern[within.end() :])


def test_a_pattern_is_taken_apart_into_all_that_it_allows() -> None:
    assert set(alternatives(r"a|b (?:c|d \((e|f)\)|$)")) == {
        "a",
        "b c",
        r"b d \(e\)",
        r"b d \(f\)",
        "b $",
    }


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


def test_a_page_is_of_something_in_between_which_cannot_know_what_happened() -> None:
    page = "\n<!DOCTYPE html><html><body>VM is locked (clone)</body></html>"
    assert type(meaning(ApiError(500, "Internal Server Error", page))) is UnknownOutcome
    assert type(meaning(ApiError(500, "VM is locked (clone)", "no page"))) is Locked


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
        (ApiError(502, "Bad Gateway"), Transient, UnknownOutcome),
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


@pytest.mark.parametrize(
    "raised",
    [
        ReplyLost("reset"),
        ApiError(502, "Bad Gateway"),
        ApiError(596, "Broken pipe"),
        ApiError(500, "got no worker upid - start worker failed"),
        ApiError(500, "VM is locked (clone)"),
    ],
)
def test_what_is_locked_and_what_may_have_happened_is_named(raised: Exception) -> None:
    for calling in (reading, writing):
        with pytest.raises(ProvisionError, match=r"^a thing: "), calling("a thing"):
            raise raised


def test_only_what_changes_something_may_have_happened() -> None:
    with pytest.raises(UnknownOutcome, match="may have happened"), writing("a thing"):
        raise ReplyLost("reset")
    with pytest.raises(Transient) as met, reading("a thing"):
        raise ReplyLost("reset")
    assert str(met.value) == "a thing: could not be read, no answer: reset"
