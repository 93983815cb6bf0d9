"""Rows translated in C are those translated in Python, byte by byte; only what is unusual is left to Python."""

import shutil

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importer import subscriber_rows
from connectors.importer.translate import EVENTS, RowTranslator
from schemas.import_task import Source
from tests.unit.importer.test_translate import CAMPAIGN, DATES, JOURNEY, SUPPRESSED, UNDATED, USERS, acts, people

COMPILED = subscriber_rows.native_rows is not None
needs_compiler = pytest.mark.skipif(not COMPILED, reason="there is no C compiler here")

odd_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), st.just([]), st.just({})
)
odd_people = st.builds(lambda row, name, value: {**row, name: value}, people, st.text(max_size=3), odd_values)
spoilt = st.builds(
    lambda row, name, value: {**row, name: value},
    st.one_of(people, acts),
    st.sampled_from(["EmailAddress", "Date", "ListID", "Name", "CustomFields", "URL", "City", "State", "Latitude"]),
    odd_values,
)


def test_it_is_compiled_where_there_is_a_compiler():
    assert COMPILED or shutil.which("cc") is None


def both(source: Source, rows: list[dict], *more) -> tuple[object, object]:
    """Return what C and what Python make of a page, each with the dates that could not be read."""
    found = []
    kept = subscriber_rows.native_rows
    for native in (kept, None):
        subscriber_rows.native_rows = native
        try:
            translator = RowTranslator(source, "job", DATES, UNDATED)
            try:
                found.append((translator.translate(rows, *more), translator.odd_dates))
            except Exception as error:
                found.append(type(error))
        finally:
            subscriber_rows.native_rows = kept
    return found[0], found[1]


@needs_compiler
@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([USERS, SUPPRESSED, CAMPAIGN, JOURNEY]),
    st.sampled_from(sorted(EVENTS)),
    st.lists(st.one_of(people, acts, odd_people, spoilt), max_size=6),
    st.booleans(),
)
def test_both_make_the_same_of_any_page(source, report, rows, chosen):
    update = {"report": report} if source.report else {}
    source = source.model_copy(update={**update, **({"lists": ["l1"], "since": "2020"} if chosen else {})})
    rows = [orjson.loads(orjson.dumps(row)) for row in rows]
    native, python = both(source, rows)
    assert native == python


@needs_compiler
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 40))
def test_both_count_equal_rows_on_over_the_end_of_a_page(kinds, cut):
    rows = [
        {"EmailAddress": f"p{kind % 2}@b.example", "Date": f"2026-03-06 00:0{number // 10}:00", "ListID": "l1"}
        for number, kind in enumerate(kinds)
    ]
    first = RowTranslator(CAMPAIGN, "job", DATES, UNDATED).translate(rows[:cut])
    minute = first[-1].date[:16] if first else None
    held = {row.event_id[:6] for row in first if row.date[:16] == minute}
    native, python = both(CAMPAIGN, rows[cut:], minute, held)
    assert native == python


USUAL = {
    "EmailAddress": "Ann.Lee+news@example.com",
    "Name": 'Zoë "Z" Lee',
    "ListID": "l1",
    "Date": "2026-03-06 00:30:00",
    "ListJoinedDate": "2026-03-01 10:00:00",
    "CustomFields": [{"Key": "[City]", "Value": "São Paulo\n"}],
    "MobileNumber": None,
    "URL": "https://b.example/\u2028?a=1",
    "IPAddress": "192.0.2.7",
    "Latitude": 51.05,
    "Longitude": 3.7167,
    "City": "",
}


@needs_compiler
@pytest.mark.parametrize("source", [USERS, SUPPRESSED, CAMPAIGN, JOURNEY])
def test_usual_rows_are_not_left_to_python(source, monkeypatch):
    monkeypatch.setattr(RowTranslator, "_activity", None)
    monkeypatch.setattr(subscriber_rows.SubscriberRows, "users", None)
    assert len(RowTranslator(source, "job", DATES, UNDATED).translate([USUAL] * 1_000)) == 1_000
