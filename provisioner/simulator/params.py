"""Parameter verification, with the words of Proxmox's own.

Rules are data, one for each parameter; every violation is collected, so one answer names them all
(`400 Parameter verification failed.`). The texts were read off a genuine 8.4.21 API. A parameter
without a rule is refused like any unknown one: adding support for it means adding its rule.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from provisioner.simulator.wire import ParamText, Refused, Value

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


class Kind(Enum):
    """The type of a parameter."""

    TEXT = "string"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "boolean"
    WORDS = "array"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one parameter must look like; `check` returns what is wrong, or None."""

    kind: Kind = Kind.TEXT
    required: bool = False
    words: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    shortest: int | None = None
    longest: int | None = None
    pattern: re.Pattern[str] | None = None
    check: Callable[[str], str | None] | None = None


TEXT = Rule()
FLAG = Rule(Kind.FLAG)
INTEGER = Rule(Kind.INTEGER)
COUNT = Rule(Kind.INTEGER, minimum=0)


def verify(
    rules: Mapping[str, Rule],
    given: Mapping[str, ParamText],
    names: Mapping[str, str] | None = None,
) -> dict[str, Value]:
    """Return the parameters as values of their types, or refuse with every error there is.

    `names` are those that the path binds; they are checked and not returned.
    """
    errors = _wrong_in_path(names or {})
    values: dict[str, Value] = {}
    for name, text in given.items():
        rule = rules.get(name)
        if rule is None:
            errors[name or "_root"] = UNKNOWN
            continue
        try:
            values[name] = _read(rule, text)
        except ValueError as wrong:
            errors[name] = str(wrong)
    for name, rule in rules.items():
        if rule.required and name not in given:
            errors[name] = MISSING
    if errors:
        raise Refused("Parameter verification failed.", 400, errors)
    return values


def _wrong_in_path(names: Mapping[str, str]) -> dict[str, str]:
    errors: dict[str, str] = {}
    for name in names.keys() & IN_PATH.keys():
        try:
            _read(IN_PATH[name], names[name])
        except ValueError as wrong:
            errors[name] = str(wrong)
    return errors


def _read(rule: Rule, text: ParamText) -> Value:
    if rule.kind is Kind.WORDS:
        return text if isinstance(text, tuple) else (text,)
    if isinstance(text, tuple):
        wrong = f"type check ('{rule.kind.value}') failed - got ARRAY"
        raise ValueError(wrong)  # noqa: TRY004 - what was sent is wrong, not our types
    if rule.kind is Kind.TEXT:
        return _checked_text(rule, text)
    if rule.kind is Kind.FLAG:
        if text not in {"0", "1"}:
            raise ValueError(f"type check ('boolean') failed - got '{text}'")
        return int(text)
    return _checked_number(rule, text)


def _checked_number(rule: Rule, text: str) -> int | float:
    shape = r"[+-]?\d+" if rule.kind is Kind.INTEGER else r"[+-]?(\d+\.?\d*|\.\d+)"
    if not re.fullmatch(shape, text):
        raise ValueError(f"type check ('{rule.kind.value}') failed - got '{text}'")
    if rule.check is not None and (wrong := rule.check(text)) is not None:
        raise ValueError(wrong)
    number = int(text) if rule.kind is Kind.INTEGER else float(text)
    if rule.minimum is not None and number < rule.minimum:
        raise ValueError(f"value must have a minimum value of {rule.minimum:g}")
    if rule.maximum is not None and number > rule.maximum:
        raise ValueError(f"value must have a maximum value of {rule.maximum:g}")
    return number


def _checked_text(rule: Rule, text: str) -> str:
    if rule.longest is not None and len(text) > rule.longest:
        raise ValueError(f"value may only be {rule.longest} characters long")
    if rule.shortest is not None and len(text) < rule.shortest:
        raise ValueError(f"value must be at least {rule.shortest} characters long")
    if rule.words and text not in rule.words:
        choices = ", ".join(rule.words)
        raise ValueError(f"value '{text}' does not have a value in the enumeration '{choices}'")
    if rule.pattern is not None and not rule.pattern.fullmatch(text):
        raise ValueError("value does not match the regex pattern")
    if rule.check is not None and (wrong := rule.check(text)) is not None:
        raise ValueError(wrong)
    return text


def vmid_format(text: str) -> str | None:
    """Say what is wrong with a VMID (100 to 999999999)."""
    if 100 <= int(text) <= 999_999_999:
        return None
    return "invalid format - value does not look like a valid VM ID\n"


VMID = Rule(Kind.INTEGER, check=vmid_format)
#: What the names in a path must look like.
IN_PATH = {"vmid": VMID, "pos": COUNT}


def without_uri_names(
    names: Mapping[str, str], params: Mapping[str, ParamText]
) -> Mapping[str, ParamText]:
    """Return the parameters without those that only repeat what the path says."""
    for name in names.keys() & params.keys():
        if params[name] != names[name]:
            text = "duplicate parameter (already defined in URI) with conflicting values!"
            raise Refused("Parameter verification failed.", 400, {name: text})
    return {name: text for name, text in params.items() if name not in names}
