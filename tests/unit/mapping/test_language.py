"""Mapping files that use more than the default ones do: what they make of messages, and what they cost the others."""

import subprocess
import sys

import pytest

from streams.mapping.catalog import load_catalog, read_catalog
from streams.mapping.fields import Fields, Shape
from streams.mapping.functions.layouts import format_date, parse_layout
from streams.mapping.kinds import to_int, to_number

AT = 1731663000000


def folded(*mappings, message, where=""):
    """The profile that one message makes, without its address."""
    text = f"SELECT {', '.join(mappings)} FROM s {where} INTO user BY email(email)"
    catalog = read_catalog([("s.lql", text)])
    fields = Fields(Shape(catalog.layout))
    catalog.streams["s"].fold(fields, message, AT, 0, True, "a@example.com", refused := [])
    assert refused == []
    return fields.public()


@pytest.mark.parametrize(
    ("mapping", "message", "field"),
    [
        ("total", {"total": "5"}, {"total": "5"}),
        ("`odd name` KIND int", {"odd name": "€ 5,555.00"}, {"odd name": 5555}),
        ("split(tags, ',') AS t", {"tags": "b,a"}, {"t": ["a", "b"]}),
        ("set(split(tags, ',')) AS t", {"tags": "b,a,b"}, {"t": ["a", "b"]}),
        ("match('utm_') AS utm", {"utm_a": "x", "utm_b": 5}, {"utm": {"a": "x", "b": "5"}}),
        ("match('n_') AS n KIND map[string]intsum", {"n_a": 2}, {"n": {"a": 2}}),
        ("maptime(shop) AS seen", {"shop": "A"}, {"seen": {"a": "2024-11-15T09:30:00.000Z"}}),
        ("map(k, todate(d)) AS m", {"k": "x", "d": "2020-01-02"}, {"m": {"x": "2020-01-02T00:00:00.000Z"}}),
        ("oneof(a, todate(d)) AS d KIND date", {"d": "2020-01-02"}, {"d": "2020-01-02T00:00:00.000Z"}),
        ("oneof(a, todate(d)) AS d", {"d": "2020-01-02"}, {"d": "2020-01-02T00:00:00.000Z"}),
        ("todate('02.01.2006', d) AS d", {"d": "05.06.2020"}, {"d": "2020-06-05T00:00:00.000Z"}),
        ("max(price * 2) AS p", {"price": "4"}, {"p": 8}),
        ("price > 3 AS dear", {"price": 4}, {"dear": "true"}),
        ("valuect(hourofday(todate(d))) AS h", {"d": "2020-01-02 10:00"}, {"h": {"10": 1}}),
        ("valuect(dayofweek()) AS w", {}, {"w": {"5": 1}}),
        ("count(x) IF hasprefix(x, 'a') AND x LIKE '*c' AS n", {"x": "abc"}, {"n": 1}),
        ("count(x) IF x NOT LIKE 'b*' AND NOT x BETWEEN 1 AND 2 AS n", {"x": "abc"}, {}),
        (
            "json.jmespath(custom_fields, '[?key==`colour`].value') AS c KIND []string",
            {"custom_fields": [{"key": "colour", "value": "red"}, {"key": "colour", "value": "blue"}]},
            {"c": ["blue", "red"]},
        ),
        ("'text' AS t", {}, {"t": "text"}),
        ("7 AS n KIND int", {}, {"n": 7}),
    ],
)
def test_what_a_mapping_makes_of_a_message(mapping, message, field):
    assert folded(mapping, message=message) == field


@pytest.mark.parametrize(("kind", "found"), [("a", {"x": "1"}), ("b", {}), (None, {}), (5, {})])
@pytest.mark.parametrize("where", ["WHERE kind == 'a'", "WHERE NOT (kind > 1) AND kind IN ('a')"])
def test_where_leaves_messages_out(where, kind, found):
    assert folded("x", message={"x": 1, "kind": kind}, where=where) == (
        found if kind != "a" or "NOT" not in where else {}
    )


def test_where_is_part_of_the_version_and_may_be_behind_into():
    def version(text):
        return read_catalog([("s.lql", text)]).version

    before = version("SELECT x FROM s WHERE y INTO user BY email(e)")
    assert before == version("SELECT x FROM s INTO user WHERE y BY email(e)")
    assert before != version("SELECT x FROM s INTO user BY email(e)")


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "s.lql").write_text("\ufeffSELECT x FROM s INTO user BY email(e)", encoding="utf-8")
    assert list(load_catalog(tmp_path).streams) == ["s"]


def test_libraries_are_loaded_by_mappings_that_use_them_only():
    code = (
        "import sys; from streams.mapping.catalog import load_catalog; load_catalog();"
        "print([name for name in ('jmespath', 'publicsuffixlist') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


@pytest.mark.parametrize(
    ("layout", "text", "date"),
    [
        ("2006-01-02T15:04:05.000Z07:00", "2020-06-05T07:08:09.250-02:00", "2020-06-05 09:08:09 250000"),
        ("Mon Jan _2 15:04:05 2006", "Fri Jun  5 07:08:09 2020", "2020-06-05 07:08:09 000000"),
        ("Monday, January 2, 2006 3:04 PM", "Friday, June 5, 2020 12:08 AM", "2020-06-05 00:08:00 000000"),
        ("02.01.06 03:04pm MST", "05.06.69 11:08pm UTC", "1969-06-05 23:08:00 000000"),
        ("2006-002", "2020-060", "2020-02-29 00:00:00 000000"),
        ("20060102150405 -0700", "20200605070809 +0530", "2020-06-05 01:38:09 000000"),
        ("2006-01-02", "2020-02-30", None),
        ("2006-01-02", "2020-06-05 ", None),
        ("3 PM", "13 PM", None),
        ("02 02", "05 05", None),
        ("15h [a", "07h [a", "0001-01-01 07:00:00 000000"),
    ],
)
def test_dates_by_a_layout(layout, text, date):
    instant = parse_layout(layout, text)
    assert (None if instant is None else format_date(instant, "%Y-%m-%d %H:%M:%S %f")) == date


def test_every_directive_of_a_pattern():
    assert format_date(AT, "%a %A %w %d %b %B %m %y %Y %H %I %p %M %S %f %z %j %% %Q") == (
        "Fri Friday 5 15 Nov November 11 24 2024 09 09 AM 30 00 000000 +0000 320 % %Q"
    )


@pytest.mark.parametrize(
    ("text", "whole", "number"),
    [
        ("€ 5,555.00", 5555, 5555),
        ("$ 5.22", 5, 5.22),
        ("-$4.20", -4, -4.2),
        ("1.5e3", 1500, 1500),
        ("1e3", None, 1000),
        ("-.5", 0, -0.5),
        (".", None, None),
        ("1e999", None, None),
        ("1.0e999", None, None),
        ("¥500", None, None),
        ("9223372036854775807.9", 9223372036854775807, 9223372036854776000),
        ("5" * 500, None, None),
    ],
)
def test_texts_that_are_numbers(text, whole, number):
    assert to_int(text) == whole
    assert to_number(text) == number
