"""What all tables of the file have in common: nothing unknown, and every problem said.

A check completes the sentence "KEY: …"; one that looks at several keys may find several problems
and says them all.
"""

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


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
    def _only_switches_are_true_or_false(cls, value: object, info: ValidationInfo) -> object:
        field = cls.model_fields.get(info.field_name or "")
        if isinstance(value, bool) and (field is None or field.annotation is not bool):
            raise ValueError("is true or false, which this key is not")
        return value
