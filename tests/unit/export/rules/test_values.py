"""What is written of a value, and what is left out and why."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.devkit.simulator.data.fields import COUNTRIES, US_STATES, SimulatedField
from schemas.control import DataType
from streams.export.rules.places import country_name, state_name
from streams.export.rules.values import LOST_DIGITS, VALUE_LIMIT, Units, cut, kept, option_text, texts, units_of

NOT_A_COUNTRY = "not a country that Campaign Monitor knows"
NOT_A_STATE = "not a state of the USA that Campaign Monitor knows"
SEPARATES = "it contains ||, which separates options"


@pytest.mark.parametrize(
    ("value", "data_type", "written", "left_out"),
    [
        ("Ghent", "Text", ("Ghent",), ()),
        (["a", "b"], "Text", ("a, b",), ()),
        ("", "Text", (), ()),
        (None, "Number", (), ()),
        ([None, ""], "MultiSelectMany", (), ()),
        # the limit counts UTF-16 units
        ("x" * 250, "Text", ("x" * 250,), ()),
        ("x" * 251, "Text", None, ("251 characters; the limit is 250",)),
        ("é" * 250, "Text", ("é" * 250,), ()),
        ("😀" * 125, "Text", ("😀" * 125,), ()),
        ("😀" * 126, "Text", None, ("252 characters; the limit is 250",)),
        # numbers
        (42, "Number", ("42",), ()),
        (1.0, "Number", ("1",), ()),
        (-0.5, "Number", ("-0.5",), ()),
        (True, "Number", ("1",), ()),
        (False, "Number", ("0",), ()),
        ("true", "Number", None, ("not a number",)),
        ("1e3", "Number", ("1000",), ()),
        ("2.5E-3", "Number", ("0.0025",), ()),
        (2**53, "Number", ("9007199254740992",), ()),
        (2**64 - 1, "Number", ("18446744073709551615",), ()),
        (-9007199254740992.0, "Text", ("-9007199254740992",), ()),
        (123456789012345678901234567890.0, "Number", None, (LOST_DIGITS,)),
        (1e25, "Text", None, (LOST_DIGITS,)),
        ([1, -1e16], "Text", None, (LOST_DIGITS,)),
        ([1e22, "a"], "MultiSelectMany", ("a",), (f"an option, {LOST_DIGITS}",)),
        ("123456789012345678901234567890", "Number", ("123456789012345678901234567890",), ()),
        ("1e300", "Number", None, ("301 characters; the limit is 250",)),
        ("1e9999", "Number", None, ("not a number",)),
        ("\u0661\u0662\u0663\u066b\u0665", "Number", ("123.5",), ()),
        ("\uff11\uff12", "Number", ("12",), ()),
        ("\u22125", "Number", ("-5",), ()),
        ("²", "Number", None, ("not a number",)),
        ("1_000", "Number", None, ("not a number",)),
        ("1,000", "Number", None, ("not a number",)),
        ("NaN", "Number", None, ("not a number",)),
        ("Infinity", "Number", None, ("not a number",)),
        (float("inf"), "Number", None, ("not a number",)),
        (float("nan"), "Number", None, ("not a number",)),
        ("0x10", "Number", None, ("not a number",)),
        ({"a": 1}, "Number", None, ("not a number",)),
        ([1], "Number", ("1",), ()),
        ([1, 2], "Number", None, ("2 values; the field holds one",)),
        # dates
        ("2024/2/9", "Date", ("2024-02-09",), ()),
        ("1899-12-31", "Date", None, ("1899-12-31 is outside of 1900-01-01 to 2076-06-06",)),
        ("2024-02-30", "Date", None, ("not a date",)),
        ("01/02/2024", "Date", None, ("not a date; write year-month-day",)),
        # places
        ("USA", "Country", ("United States of America",), ()),
        ("uk", "Country", ("United Kingdom",), ()),
        ("DEU", "Country", ("Germany",), ()),
        ("The Netherlands", "Country", ("Netherlands",), ()),
        ("Türkiye", "Country", ("Turkey",), ()),
        ("Mordor", "Country", None, (NOT_A_COUNTRY,)),
        ("Deutschland", "Country", None, (NOT_A_COUNTRY,)),
        ("  ", "Country", (), ()),
        ("TX", "USState", ("Texas",), ()),
        ("us-tx", "USState", ("Texas",), ()),
        ("Washington, D.C.", "USState", ("District of Columbia",), ()),
        ("Bavaria", "USState", None, (NOT_A_STATE,)),
        # options
        ("pro", "MultiSelectOne", ("pro",), ()),
        (["pro"], "MultiSelectOne", ("pro",), ()),
        (["pro", "pro "], "MultiSelectOne", ("pro",), ()),
        (["pro", "basic"], "MultiSelectOne", None, ("2 values; the field holds one",)),
        ("a||b", "MultiSelectOne", None, (SEPARATES,)),
        (["a", " b\n c ", "a", "d||e"], "MultiSelectMany", ("a", "b c"), (f"an option, {SEPARATES}",)),
        (["d||e"], "MultiSelectMany", None, (f"an option, {SEPARATES}",)),
        (["a", "x" * 251], "MultiSelectMany", ("a",), ("an option, 251 characters; the limit is 250",)),
        (" \t", "MultiSelectMany", (), ()),
    ],
)
def test_what_is_written(value: Any, data_type: DataType, written: Any, left_out: Any) -> None:
    assert texts(value, data_type) == (written, left_out)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.from_regex(r"[\d.,eE+-]+"),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
    st.sampled_from(["Text", "Number", "MultiSelectOne", "MultiSelectMany", "Date", "Country", "USState"]),
)
def test_what_is_written_is_what_the_list_keeps(value: Any, data_type: DataType) -> None:
    written, left_out = texts(value, data_type)
    assert written is not None or left_out
    if written is None:
        return
    on_list = SimulatedField(1, "F", data_type, list(written))
    found = [on_list.accept(text) for text in written]
    assert None not in found
    assert all(units_of(text) <= VALUE_LIMIT for text in written)
    assert kept(data_type, written, [text for text in found if text is not None])
    if data_type != "MultiSelectMany":
        assert len(written) <= 1


def test_every_country_and_state_is_known_by_its_own_name() -> None:
    assert [country_name(name) for name in COUNTRIES] == list(COUNTRIES)
    assert [state_name(name) for name in US_STATES] == list(US_STATES)


@pytest.mark.parametrize(
    ("data_type", "written", "found", "same"),
    [
        ("Number", ["7"], ["7.0"], True),
        ("Number", ["7"], ["8"], False),
        ("Number", ["7"], [], False),
        ("Date", ["2026-01-02"], ["2026/01/02"], True),
        ("Date", ["2026-01-02"], ["2026-01-02 00:00:00"], True),
        ("Date", ["2026-01-02"], ["2026-01-03"], False),
        ("Text", ["a "], ["a"], True),
        ("Text", [], [], True),
        ("Text", [], ["a"], False),
        ("MultiSelectMany", ["a", "b"], ["b", "a"], True),
        ("MultiSelectMany", ["a"], ["A"], False),
    ],
)
def test_what_counts_as_kept(data_type: DataType, written: list[str], found: list[str], same: bool) -> None:
    assert kept(data_type, written, found) is same


@given(st.text(), st.integers(1, 20), st.sampled_from(["utf-16", "characters"]))
def test_a_cut_text_is_a_prefix_that_fits(text: str, length: int, units: Units) -> None:
    short = cut(text, length, units)
    assert text.startswith(short)
    assert units_of(short, units) <= length
    assert units_of(text, units) > length or short == text


@given(st.text())
def test_units_are_those_of_the_encoding(text: str) -> None:
    assert units_of(text) == len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert units_of(text, "characters") == len(text)


@given(st.text(max_size=300))
def test_an_option_is_one_that_campaign_monitor_takes(name: str) -> None:
    option = option_text(name)
    assert "||" not in option
    assert option == " ".join(option.split())
    assert units_of(option) <= VALUE_LIMIT
