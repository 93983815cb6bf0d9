"""The examples of the mapping functions' definition, one by one, as the tool `eval` answers them."""

import json
import os
import time
from pathlib import Path

import orjson
import pytest

from streams.cli.mapping import answer
from streams.mapping.catalog import load_catalog
from streams.mapping.dates import read_instant
from tests.unit.mapping.twins import KINDS

CASES = Path(__file__).parent / "cases"
EXAMPLES = json.loads((CASES / "examples.json").read_text(encoding="utf-8"))
FOLDS = json.loads((CASES / "folds.json").read_text(encoding="utf-8"))
WORKED = json.loads((CASES / "worked_profile.json").read_text(encoding="utf-8"))


@pytest.fixture(params=["UTC", "America/Los_Angeles", "Pacific/Auckland"])
def machine_zone(request):
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


def evaluated(line):
    return orjson.loads(answer(orjson.dumps(line)))


def same(got, wanted):
    """Equal, and of the same types: 1 is not true, and 5 is not 5.0."""
    return got == wanted and repr(got) == repr(wanted)


def test_every_example(machine_zone):
    wrong = [(case["line"], got) for case in EXAMPLES if not same(got := evaluated(case["line"]), case["want"])]
    assert len(EXAMPLES) == 350
    assert not wrong


def test_every_fold(machine_zone):
    for case in FOLDS:
        wanted = {"value": case["field"]} if "field" in case else {"no_value": True}
        assert evaluated({"expr": case["expr"], "messages": case["messages"]}) == wanted, case


class Attributes(dict):
    """A message as it is folded where its fields are known beforehand."""

    def __getattr__(self, name):
        return self.get(name)


def fold_in_order(messages, kind):
    catalog = load_catalog()
    fields = kind.Fields(kind.Shape(catalog.layout))
    for arrival, stream, message in messages:
        ms = read_instant(message["at"])
        catalog.streams[stream].fold(fields, Attributes(message), ms, arrival, True, "ann.lee+vip@example.com", [])
    return fields.public_json()


@KINDS
def test_the_worked_profile_byte_for_byte(machine_zone, kind):
    messages = [(arrival, each["stream"], each["message"]) for arrival, each in enumerate(WORKED["messages"])]

    assert fold_in_order(messages, kind) == orjson.dumps(WORKED["profile"])


@KINDS
def test_the_worked_profile_in_any_order(kind):
    messages = [(arrival, each["stream"], each["message"]) for arrival, each in enumerate(WORKED["messages"])]
    for turn in range(len(messages)):
        for arranged in (messages[turn:] + messages[:turn], (messages[turn:] + messages[:turn])[::-1]):
            assert fold_in_order(arranged, kind) == orjson.dumps(WORKED["profile"])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "unexpected end"),
        (b"[]", "a line is a JSON object"),
        (b'{"message": {}}', "a line is a JSON object"),
        (b'{"expr": "foo(x)", "message": {}}', "there is no function foo"),
        (b'{"expr": "x", "message": []}', '"message" is a JSON object'),
        (b'{"expr": "x", "message": {}, "at": "yesterday"}', "RFC 3339"),
        (b'{"expr": "x", "messages": {}}', '"messages" is a list'),
        (b'{"expr": "x", "messages": [1]}', "a message is a JSON object"),
        (b'{"expr": "x", "messages": [{}], "at": []}', "0 times for 1 messages"),
        (b'{"expr": "x", "message": {}, "kind": "colour"}', "there is no kind colour"),
        (b'{"expr": "x", "message": {}, "kind": 5}', '"kind" is the name of a kind'),
        (b'{"expr": "count(x) + 1", "message": {}}', "count folds values over time"),
        (b'{"expr": "' + b"(" * 20000 + b'"}', "ends too early"),
        (b'{"expr": "\\ud800"}', "surrogate"),
    ],
)
def test_a_bad_line_is_answered_and_not_the_end(line, problem):
    assert problem in orjson.loads(answer(line))["error"]


@pytest.mark.parametrize(
    ("line", "answered"),
    [
        ({"expr": "epochms()", "message": {}}, {"no_value": True}),
        ({"expr": "epochms()", "message": {"at": "2010-10-25T10:28:00Z"}}, {"value": 1288002480000}),
        ({"expr": "hourofday() > 9", "message": {}, "at": "2010-10-25T10:28:00Z"}, {"value": True}),
        ({"expr": "a.b", "message": {"a": {"b": 1}}}, {"value": 1}),
        ({"expr": "a.b", "message": {"a.b": 2, "a": {"b": 1}}}, {"value": 2}),
        ({"expr": "`a b`", "message": {"a b": 3}}, {"value": 3}),
        ({"expr": "oneof(a, b)", "message": {"a": "", "b": "x"}}, {"value": "x"}),
        ({"expr": "count(x) IF eq(y, 1)", "message": {"x": 1, "y": "1"}}, {"value": 1}),
        ({"expr": "count(x) IF eq(y, 1)", "message": {"x": 1}}, {"no_value": True}),
        ({"expr": "set(x)", "message": {"x": ["b", "a", "b"]}}, {"value": ["a", "b"]}),
        ({"expr": "urlmain(x)", "message": {"x": "https://e.com/%FF"}}, {"value": "e.com/\ufffd"}),
        (
            {"expr": "count(x)", "messages": [{"message": {"x": 1}, "at": "2024-01-01T00:00:00Z"}] * 2},
            {"value": 2},
        ),
        (
            {
                "expr": "x",
                "messages": [{"x": "b"}, {"x": "a"}],
                "at": ["2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"],
            },
            {"value": "b"},
        ),
    ],
)
def test_lines_with_more_than_the_examples_have(line, answered):
    assert evaluated(line) == answered
