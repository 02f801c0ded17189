"""Reading the daemon's answers with types: what should be a number is one, or it is said.

How it fails: a daemon of another version may leave out or rename a field; that is an OperatorError
that names the field, not a traceback.
"""

from dataclasses import dataclass

from chainwatch.admin.client import Json
from chainwatch.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Answer:
    """One JSON object of an answer."""

    fields: dict[str, Json]

    @classmethod
    def of(cls, value: Json) -> "Answer":
        """Take `value` as an object."""
        if not isinstance(value, dict):
            raise _odd("an object")
        return cls(value)

    def text(self, name: str) -> str:
        """Return a text; nothing is an empty one."""
        value = self._get(name)
        return "" if value is None else str(value)

    def number(self, name: str) -> int:
        value = self.maybe(name)
        if value is None:
            raise _odd(name)
        return value

    def maybe(self, name: str) -> int | None:
        """Return a number, or None where there is none."""
        value = self._get(name)
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, str) and value.isdecimal():
            return int(value)
        raise _odd(name)

    def flag(self, name: str) -> bool:
        return self._get(name) is True

    def one(self, name: str) -> "Answer | None":
        """Return an object within, or None where there is none."""
        value = self._get(name)
        return None if value is None else Answer.of(value)

    def all(self, name: str) -> list["Answer"]:
        """Return a list of objects within."""
        return answers(self._get(name))

    def texts(self, name: str) -> list[str]:
        value = self._get(name)
        if not isinstance(value, list):
            raise _odd(name)
        return [str(each) for each in value]

    def items(self, name: str) -> list[tuple[str, Json]]:
        """Return an object within as pairs."""
        value = self._get(name)
        if not isinstance(value, dict):
            raise _odd(name)
        return list(value.items())

    def _get(self, name: str) -> Json:
        if name not in self.fields:
            raise _odd(name)
        return self.fields[name]


def answers(value: Json) -> list[Answer]:
    """Take `value` as a list of objects."""
    if not isinstance(value, list):
        raise _odd("a list")
    return [Answer.of(each) for each in value]


def _odd(name: str) -> OperatorError:
    return OperatorError(
        f"the daemon's answer has no {name}: is it of another version? Compare "
        "`chainwatch --version` with `chainwatch status --json`"
    )
