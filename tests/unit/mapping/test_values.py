"""Addresses, URLs, dates, conditions and conversions beyond the examples: rules that hold for any input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.identity import email_of, lower
from streams.mapping import conditions, kinds
from streams.mapping.dates import (
    FIRST,
    LAST,
    hour_of_day,
    hour_of_week,
    parse_date,
    read_instant,
    rfc3339,
    year_and_month,
)
from streams.mapping.functions.urls import host_and_path, text_bytes


@given(st.text() | st.from_regex(r"[ -~]{0,20}@[ -~]{0,20}"))
def test_an_address_is_found_once_or_not_at_all(text):
    found = email_of(text)
    if found is not None:
        assert "@" in found
        assert found == lower(found)
        assert email_of(f"Name <{text}>") in (found, None)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('"a b"@x.com', "a b@x.com"),
        ('"a\\"b"@x.com', 'a"b@x.com'),
        ("A (the (inner) comment) <a@x.com> (end)", "a@x.com"),
        ("=?utf-8?q?J=C3=B6rg?= <J@x.com>", "j@x.com"),
        ("a@[::1]", "a@[::1]"),
        ("\ta@x.com", "a@x.com"),
        ("İ@x.com", "i@x.com"),
        ("\u03a3A\u03a3@x.com", "\u03c3a\u03c3@x.com"),
        ("friends: a@x.com;", None),
        ("a@x.com (open", None),
        ("a@[300.1.1.1]", None),
        ('""@x.com', None),
        (".a@x.com", None),
        ("a..b@x.com", None),
        ("a@b@x.com", None),
        ("a@x.com\r\nBcc: b@x.com", None),
        ("a\ud800@x.com", None),
        ("<a@x.com", None),
        ("a@x..com", None),
    ],
)
def test_addresses(text, address):
    assert email_of(text) == address


@given(st.text())
def test_any_text_has_a_host_and_path_or_none(text):
    found = host_and_path(text)
    assert found is None or text_bytes(found)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://[::1]:80/x", "[::1]:80/x"),
        ("http://[::1/x", None),
        ("http://h:80a/x", None),
        ("http://h:/x", "h:/x"),
        ("http://us er@h/x", None),
        ("http://user%40:p@h/x", "h/x"),
        ("http://h/x#%zz", None),
        ("http://h/x?%zz", "h/x"),
        ("//h", "h"),
        ("///p", "///p"),
        ("http:///p", "/p"),
        ("http:", None),
        (":x", None),
        ("http://h\\x/", None),
        ("a b/c", "a b/c"),
    ],
)
def test_urls_as_go_reads_them(url, found):
    assert host_and_path(url) == found


@given(st.integers(FIRST, LAST))
def test_every_instant_is_read_as_it_is_written(ms):
    text = rfc3339(ms)
    assert read_instant(text) == ms
    assert parse_date(text) == ms
    assert (hour_of_day(ms), year_and_month(ms)) == (int(text[11:13]), text[2:4] + text[5:7])
    assert hour_of_week(ms) % 24 == hour_of_day(ms)


@given(st.text() | st.from_regex(r"[0-9 /:.TZ+-]{4,24}"))
def test_any_text_is_a_date_or_none(text):
    ms = parse_date(text)
    assert ms is None or FIRST <= ms <= LAST
    at = read_instant(text)
    assert at is None or FIRST <= at <= LAST


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2010-10-25 10:28:00 PST", None),
        ("2010-10-25 10:28:00 UTC", "2010-10-25T10:28:00.000Z"),
        ("2010-10-25 10:28:00+05:30", "2010-10-25T04:58:00.000Z"),
        ("Monday, 25-Oct-10 10:28:00 GMT", "2010-10-25T10:28:00.000Z"),
        ("Mon Oct 25 10:28:00 UTC 2010", "2010-10-25T10:28:00.000Z"),
        ("October 25th, 2010", "2010-10-25T00:00:00.000Z"),
        ("10/25/10 12:00 AM", "2010-10-25T00:00:00.000Z"),
        ("10/25/10 13:00 PM", None),
        ("2010", "2010-01-01T00:00:00.000Z"),
        ("2010-10", "2010-10-01T00:00:00.000Z"),
        ("20101025T102800Z", "2010-10-25T10:28:00.000Z"),
        ("2010-10-25 24:00:00", None),
        ("0000-01-01", None),
        ("٢٠١٠", None),
    ],
)
def test_dates(text, date):
    ms = parse_date(text)
    assert (None if ms is None else rfc3339(ms)) == date


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, JSON)
def test_conditions_and_conversions_never_raise(one, other):
    for operator in ("<", "<=", ">", ">="):
        assert conditions.ordered(operator, one, other) in (True, False, None)
    assert conditions.equal(one, other) == conditions.equal(other, one)
    assert conditions.member(one, [other]) in (True, False)
    assert conditions.contains(one, other) in (True, False)
    number, whole, text = kinds.to_number(one), kinds.to_int(one), kinds.to_text(one)
    assert whole is None or kinds.INT_MIN <= whole <= kinds.INT_MAX
    assert number is None or kinds.to_number(number) == number
    assert text is None or text.encode() is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, "1", True),
        (1, "1.0", True),
        (0, "click", False),
        (0, "", False),
        (1.5, "1.5", True),
        (True, "true", True),
        (True, 1, False),
        ("1", "1.0", False),
        (["a", "b"], "a", True),
        (["a", "b"], "b", False),
        ([], "a", False),
        (None, None, False),
        (9007199254740993, "9007199254740993", True),
        (9007199254740993, "9007199254740992", False),
    ],
)
def test_equality(one, other, same):
    assert conditions.equal(one, other) is same


def test_what_cannot_be_decided_stays_undecided():
    assert conditions.opposite(None) is None
    assert conditions.every(True, None) is None
    assert conditions.every(False, None) is False
    assert conditions.any_of(True, None) is True
    assert conditions.any_of(False, None) is None
