"""What all tables of the file have in common: nothing unknown, and every problem said.

A check completes the sentence "KEY: …"; one that looks at several keys may find several problems
and says them all.
"""

from pydantic import BaseModel, ConfigDict, field_validator


class Problems(ValueError):
    """Several things wrong with one table: pairs of a key (or "" for all of it) and a sentence."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(text for _, text in found))
        self.found = found


class Table(BaseModel):
    """A table of the file; keys that are not listed are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_key_is_true_or_false(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("is true or false, which no key here is")  # noqa: TRY004 (pydantic collects ValueError)
        return value
