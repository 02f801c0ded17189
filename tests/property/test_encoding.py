"""What is written of an event or a plan is JSON, and is read back the same."""

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from chainwatch.domain.events import (
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    PlanDefined,
    PlanTerms,
    Transferred,
)
from chainwatch.domain.lease import Plan
from chainwatch.store.encoding import event_from, kind_of, packed, plan_from

RECORDS: st.SearchStrategy[Event | Plan] = st.one_of(
    *(
        st.builds(cls, **{field.name: ... for field in fields(cls)})
        for cls in (
            *(ExpiryUpdated, KeysChanged, LeaseMinted, PlanDefined, PlanTerms, Transferred),
            Plan,
        )
    )
)


@given(record=RECORDS)
def test_an_event_is_an_object_of_decimal_strings_texts_and_truth_values(
    record: Event | Plan,
) -> None:
    said = {field.name: getattr(record, field.name) for field in fields(record)}
    expected = {name: str(v) if type(v) is int else v for name, v in said.items()}
    assert packed(record) == json.dumps(expected)


@given(record=RECORDS)
def test_what_is_written_is_read_back_the_same(record: Event | Plan) -> None:
    read = (
        plan_from(packed(record))
        if isinstance(record, Plan)
        else event_from(kind_of(record), packed(record))
    )
    assert read == record
