"""A post of usual events, translated in C, is byte for byte what Python and the model make of it."""

import shutil

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.webhook import translate
from connectors.webhook.translate import HookedList, as_model, encode, to_activities, usual_records
from tests.unit.webhook.test_translate import DATES

COMPILED = translate.native_events is not None
needs_compiler = pytest.mark.skipif(not COMPILED, reason="there is no C compiler here")

TO = HookedList("l1", 'News "of" Ä', "c1", "", "imp", DATES)
LIMIT = 5_000

texts = st.one_of(st.text(max_size=8), st.sampled_from(['q"\\', "\n\x01", "ü\u2028", ""]))
fields = st.lists(st.fixed_dictionaries({"Key": st.one_of(texts, st.just("[City]")), "Value": texts}), max_size=3)
usual = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(["Subscribe", "Update", "Deactivate", "subscribe"]),
        "Date": st.sampled_from(
            ["2026-05-02 10:11:12", "2026-10-25 02:30:00", "2026-03-29 02:30:00", "2026-05-02", "2026-05-02T10:11:12Z"]
        ),
        "EmailAddress": st.sampled_from(["a.b+c@example.com", "Mara@Example.net", "ü@é.example", "K <k@b.example>"]),
        "State": st.sampled_from(["Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted"]),
        "Name": texts,
        "CustomFields": fields,
    },
    optional={"SignupIPAddress": st.sampled_from(["192.0.2.7", "2001:db8::1", "TypeManual", ""]), "More": texts},
)
values = st.one_of(st.none(), st.integers(-9, 9), st.booleans(), texts, st.just([]), st.just({}), st.just(["x"]))
spoilt = st.builds(
    lambda event, name, value: {**event, name: value},
    usual,
    st.sampled_from(["Type", "Date", "EmailAddress", "OldEmailAddress", "State", "Name", "CustomFields", "More"]),
    st.one_of(values, st.just("x" * LIMIT)),
)


def test_it_is_compiled_where_there_is_a_compiler():
    assert COMPILED or shutil.which("cc") is None


@needs_compiler
@settings(max_examples=300)
@given(st.lists(st.one_of(usual, spoilt, values), max_size=4))
def test_both_make_the_same_of_any_post(events):
    found = orjson.loads(orjson.dumps(events))
    native = usual_records(found, TO, "cm_activity", LIMIT)
    if native is None:
        return
    records, unreadable = to_activities(found, TO)
    encoded, unusable = encode(records, "cm_activity", LIMIT)
    assert (native[0], unreadable + unusable) == (encoded, [])
    assert native[1] == [record.fields["event"] for record in records.values()]
    for record in records.values():
        as_model(record)


@needs_compiler
@given(st.lists(usual, max_size=4))
def test_usual_events_are_translated_in_c(events):
    events = [
        {**event, "CustomFields": [{**field, "Key": "[City]"} for field in event["CustomFields"]]} for event in events
    ]
    wrong = [event for event in events if event["Type"] == "Deactivate" and event["State"] in ("Active", "Unconfirmed")]
    assert (usual_records(events, TO, "cm_activity", 1_000_000) is None) == bool(wrong)
