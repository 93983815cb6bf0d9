"""What the public reference engine answers, line by line: ours is the same, or is on the list of differences."""

import json
from pathlib import Path

import orjson
import pytest

from streams.cli.mapping import answer
from streams.mapping.functions import EXAMPLE_MESSAGE, EXAMPLE_TIME, FUNCTIONS
from streams.mapping.functions.agents import agent_features

CASES = Path(__file__).parent / "cases"
REFERENCE = [json.loads(line) for line in (CASES / "reference.jsonl").read_text(encoding="utf-8").splitlines()]
DIFFERENCES = json.loads((CASES / "differences.json").read_text(encoding="utf-8"))
ALLOWED = 0.02
"""The share of the reference's lines that may be on the list."""


def evaluated(expression, message, at=None):
    asked = {"expr": expression, "message": dict(message)} | ({"at": at} if at else {})
    return orjson.loads(answer(orjson.dumps(asked)))


def same(got, wanted):
    """Equal as JSON: 5 is 5.0, and 1 is not true."""
    if isinstance(got, bool) or isinstance(wanted, bool):
        return got is wanted
    if isinstance(got, list) and isinstance(wanted, list):
        return len(got) == len(wanted) and all(map(same, got, wanted))
    if isinstance(got, dict) and isinstance(wanted, dict):
        return got.keys() == wanted.keys() and all(same(got[key], wanted[key]) for key in got)
    return got == wanted


def right(case):
    got, wanted = evaluated(case["expr"], case["message"], case.get("at")), case["expected"]
    if "value" not in wanted:
        return got.keys() == wanted.keys()
    if case.get("any_order") and isinstance(got.get("value"), list):
        return same(sorted(got["value"], key=repr), sorted(wanted["value"], key=repr))
    return "value" in got and same(got["value"], wanted["value"])


def test_every_line_of_the_reference_is_answered_alike_or_listed():
    listed = {(difference["expr"], json.dumps(difference["message"])) for difference in DIFFERENCES}
    wrong = [case for case in REFERENCE if not right(case)]
    assert len(REFERENCE) == 780
    assert [case for case in wrong if (case["expr"], json.dumps(case["message"])) not in listed] == []
    assert len(wrong) <= ALLOWED * len(REFERENCE)


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case["expr"])
def test_a_listed_difference_is_one_and_has_its_reason(case):
    wanted = {"no_value": True} if case["ours"] is None else {"value": case["ours"]}
    assert evaluated(case["expr"], case["message"]) == wanted
    assert case["ours"] != case["reference"]
    assert case["why"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_does_what_its_examples_say(name):
    examples = FUNCTIONS[name].examples
    assert examples
    for expression, value in examples.items():
        wanted = {"no_value": True} if value is None else {"value": value}
        assert name in expression
        assert evaluated(expression, EXAMPLE_MESSAGE, EXAMPLE_TIME) == wanted, expression
    assert FUNCTIONS[name].of.__doc__, name


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) AppleWebKit/536.26 (KHTML, like Gecko) Version/6.0 "
    "Mobile/10A5376e Safari/8536.25 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
            {"browser": "Internet Explorer", "browser_version": "11.0", "engine": "Trident", "os": "Windows 7"},
        ),
        (
            "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.0; Trident/4.0)",
            {"browser": "Internet Explorer", "browser_version": "8.0", "platform": "Windows", "os": "Windows Vista"},
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            {"bot": "true", "browser": "Googlebot", "browser_version": "2.1", "engine": "", "mozilla": "5.0"},
        ),
        (IPHONE, {"bot": "true", "browser": "Googlebot", "mobile": "true", "os": ""}),
        ("okhttp/4.2.2", {"browser": "OkHttp", "browser_version": "4.2.2", "mobile": "true", "bot": "false"}),
        ("Opera/9.80 (X11; Linux x86_64; U; en) Presto/2.9 Version/11.0", {"browser": "Opera", "os": "Linux x86_64"}),
        ("Dalvik/2.1.0 (Linux; U; Android 9; Pixel 2)", {"mozilla": "5.0", "os": "Android 9", "mobile": "true"}),
        (
            "Mozilla/5.0 (Android 11; Mobile; rv:68.0) Gecko/68.0 Firefox/89.0",
            {"browser": "Firefox", "os": "Android 11", "platform": "Mobile", "mobile": "true"},
        ),
        ("curl/7.68.0", {"browser": "curl", "browser_version": "7.68.0", "bot": "false", "mozilla": ""}),
        ("mybot/1 (http://my.example)", {"browser": "mybot", "bot": "true"}),
        ("((((", {"bot": "false"}),
        ("Mozilla/5.0 (a(b)c; d", {"browser": "Mozilla", "mozilla": ""}),
    ],
)
def test_browsers_are_read_as_the_reference_reads_them(header, found):
    features = agent_features(header)
    assert {name: features[name] for name in found} == found


@pytest.mark.parametrize("piece", ["(", "a(", "[", "a/1 (", "(a;", " ", "%", "*a", "[a"])
def test_long_monotonous_values_end_quickly(piece):
    assert agent_features(piece * 20_000) is not None
    assert "error" not in evaluated("x LIKE y", {"x": "a" * 2_000, "y": piece * 40})
