import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.data.fields import (
    FieldEntry,
    SimulatedField,
    apply_entries,
    as_date,
    bare,
    fields_by_name,
    key_of,
    read_entries,
)
from connectors.devkit.simulator.data.value_rules import TooLongError, ValueRules

FIELDS = [
    SimulatedField(1, "City", "Text"),
    SimulatedField(2, "Shoe Size", "Number"),
    SimulatedField(3, "Plan", "MultiSelectOne", ["Free", "Pro €"]),
    SimulatedField(4, "Lytics Audiences", "MultiSelectMany", ["a", "b", "c"]),
    SimulatedField(5, "Birthday", "Date"),
    SimulatedField(6, "Country", "Country"),
    SimulatedField(7, "State", "USState"),
]
LOOKUP = fields_by_name(FIELDS)


def write(old, *entries, limit="cut", units="utf-16", option_case="exact"):
    dropped = []
    raw = [FieldEntry(*entry, *([False] if len(entry) == 2 else [])) for entry in entries]
    values = apply_entries(LOOKUP, old, raw, lambda *what: dropped.append(what), ValueRules(limit, units, option_case))
    return values, dropped


@pytest.mark.parametrize("key", ["[LyticsAudiences]", "LyticsAudiences", "Lytics Audiences", "[lyticsaudiences]"])
def test_a_key_is_found_in_every_form(key):
    assert write((), (key, "a")) == (((4, "a"),), [])


def test_many_options_replace_the_whole_selection():
    assert write(((1, "Ghent"), (4, "a"), (4, "b")), ("[LyticsAudiences]", "c"))[0] == ((1, "Ghent"), (4, "c"))
    assert write(((4, "a"),), ("[LyticsAudiences]", "b"), ("[LyticsAudiences]", "c"))[0] == ((4, "b"), (4, "c"))


def test_clear():
    old = ((1, "Ghent"), (4, "a"), (4, "b"))
    assert write(old, ("[City]", "", True))[0] == ((4, "a"), (4, "b"))
    assert write(old, ("[LyticsAudiences]", "a", True))[0] == ((1, "Ghent"), (4, "b"))
    assert write(old, ("[LyticsAudiences]", "", True))[0] == ((1, "Ghent"),)
    assert write(((5, "2000-01-01"),), ("Birthday", "0000-00-00"))[0] == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("[Gone]", "x"),
        ("[LyticsAudiences]", "A"),
        ("[LyticsAudiences]", ""),
        ("[Plan]", "free"),
        ("[ShoeSize]", "large"),
        ("[ShoeSize]", "nan"),
        ("[Birthday]", "1899-12-31"),
        ("[Birthday]", "2076-06-07"),
        ("[Birthday]", "01/02/2003"),
        ("[Birthday]", "2003-02-30"),
        ("[Country]", "Atlantis"),
        ("[State]", "Ontario"),
    ],
)
def test_what_does_not_fit_is_ignored_and_noted(key, value):
    old = ((1, "Ghent"), (4, "b"))
    values, dropped = write(old, (key, value))
    assert values == old
    assert [(bare(found), text) for found, text, _reason in dropped] == [(bare(key), value)]


def test_accepted_forms():
    values, dropped = write(
        (), ("City", "Ghent"), ("ShoeSize", "42.5"), ("Plan", "Pro €"), ("Birthday", "2001/2/3"), ("Country", "Belgium")
    )
    assert values == ((1, "Ghent"), (2, "42.5"), (3, "Pro €"), (5, "2001-02-03"), (6, "Belgium"))
    assert dropped == []


@pytest.mark.parametrize(
    ("value", "units", "kept"),
    [
        ("x" * 250, "utf-16", 250),
        ("é" * 251, "characters", 250),
        ("😀" * 250, "characters", 250),
        ("😀" * 126, "utf-16", 125),
        ("x" + "😀" * 125, "utf-16", 125),
        ("é" * 126, "bytes", 125),
        ("😀" * 63, "bytes", 62),
    ],
)
def test_what_the_length_of_a_value_counts(value, units, kept):
    ((_, text),), dropped = write((), ("City", value), units=units)
    assert text == value[:kept]
    assert bool(dropped) == (kept < len(value))


def test_case_of_options():
    entries = [("[Plan]", "PRO €"), ("[LyticsAudiences]", "B"), ("[Country]", "belgium")]
    assert write((), *entries)[0] == ()
    assert write((), *entries, option_case="ignore") == (((3, "Pro €"), (4, "b"), (6, "Belgium")), [])


def test_long_values_four_ways():
    long = "x" * 251
    assert write((), ("City", long))[0] == ((1, "x" * 250),)
    assert write((), ("City", long), limit="keep")[0] == ((1, long),)
    assert write(((1, "old"),), ("City", long), limit="drop")[0] == ((1, "old"),)
    with pytest.raises(TooLongError):
        write((), ("City", long), limit="reject")


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["[City]", "[Plan]", "[LyticsAudiences]", "[Gone]"]),
        st.sampled_from(["", "a", "b", "z", "Free"]),
        st.booleans(),
    ),
    max_size=6,
)


@given(ENTRIES, ENTRIES)
def test_writing_is_idempotent_and_leaves_other_fields_alone(first, second):
    before = write(((2, "9"),), *first)[0]
    once = write(before, *second)[0]
    assert write(once, *second)[0] == once
    assert (2, "9") in once
    named = {bare(key) for key, _, _ in second}
    untouched = [pair for pair in before if bare(FIELDS[pair[0] - 1].key) not in named]
    assert [pair for pair in once if pair in untouched] == untouched
    assert list(once) == sorted(once, key=lambda pair: pair[0])


def test_reading_entries():
    assert read_entries(None) == ()
    assert read_entries([{"key": "k", "VALUE": 3}]) == (FieldEntry("k", "3", False),)
    assert read_entries([{"Key": "k", "Value": None, "Clear": True}]) == (FieldEntry("k", "", True),)
    for wrong in (False, {}, ["x"], [{"Value": "v"}], [{"Key": "k", "Value": True}], [{"Key": "k", "Value": ["v"]}]):
        with pytest.raises(ValueError, match="CustomFields"):
            read_entries(wrong)


def test_keys():
    assert key_of("Shoe Size") == "[ShoeSize]"
    assert key_of("Prix (€)") == "[Prix]"
    assert key_of("ключ") == "[]"
    field = SimulatedField(9, "Old", "Text")
    field.rename("New Name")
    assert (field.name, field.key, field.number) == ("New Name", "[NewName]", 9)


@given(st.dates())
def test_dates_in_range_are_kept(day):
    inside = "1900-01-01" <= day.isoformat() <= "2076-06-06"
    assert as_date(day.isoformat()) == (day.isoformat() if inside else None)
