"""No message makes a function fail: whatever its values are, there is an answer, and it is one that JSON can hold."""

import math

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.mapping.compile.compiler import compile_condition, compile_value
from streams.mapping.dates import DateValue
from streams.mapping.functions import FUNCTIONS
from streams.mapping.functions.declared import MANY
from streams.mapping.functions.text import spelled
from streams.mapping.kinds import to_text
from streams.mapping.syntax.check import check_mapping
from streams.mapping.syntax.parse import parse_mapping

AT = 1731663000000

TELLING = [
    *("", " ", "0", "-1", "2.5", "1e400", "-.5", "€ 5", "true", "a,b", "%", "%zz", "(", "[", "[a", "**", "\\", "a/b"),
    *("https://u:p@a.b.co.uk:80/p%20q?id=1&id=%41;x#f", "mailto:a@b.c", "//x", "http://[::1]:1/", "http://", ":"),
    *('"A, B" <a@b.example>', "a@b (c (d))", "=?utf-8?q?J=C3=B6?= <a@b.c>", "=?x?q?=?= <a@b.c>", "a@b ("),
    *(
        "2020-02-30",
        "2020-06-05 07:08",
        "0001-01-01",
        "9999-12-31T23:59:59+00:00",
        "1288002480000000000",
        "M1:2",
        "1:2:3",
    ),
    *("%Y %Q %", "02.01.2006 03:04PM .000", "YQ==", "YQ", '{"a": [1]}', "[1, 2]", "NaN", "İß\u0345"),
    *("Mozilla/5.0 (X11; a(b; c) AppleWebKit/1 (x) A/1 B/2 Mobile/3", "Opera/9 (", "Dalvik (Linux)", "a/b/c ((", "()"),
]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALAR = PLAIN | st.sampled_from(TELLING) | st.text(max_size=8)
VALUE = SCALAR | st.lists(SCALAR, max_size=3) | st.dictionaries(st.text(max_size=3), SCALAR, max_size=3)
VALUE |= st.lists(VALUE, max_size=2)
MESSAGE = st.fixed_dictionaries({}, optional={"a": VALUE, "b": VALUE, "c": VALUE})
LITERALS = {"todatein": '"Europe/Berlin"', "json.jmespath": '"a[*] | [0]"', "url.matchqs": '"^i"'}


def calls(name):
    """The function with each number of fields that it takes, few of them where it takes many."""
    function = FUNCTIONS[name]
    most = 3 if function.max_arguments == MANY else function.max_arguments
    for count in range(function.min_arguments, most + 1):
        fields = [LITERALS[name] if index in function.literals else "abc"[index] for index in range(count)]
        yield f"{name}({', '.join(fields)})"


def jsonable(value):
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(jsonable, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and jsonable(element) for key, element in value.items())
    return value is None or isinstance(value, str | bool | int | DateValue)


def compiled(call):
    mapping = parse_mapping(f"{call} AS f")
    check_mapping(mapping, "test")
    return compile_value(mapping.expression)


CALLS = {call: compiled(call) for name in FUNCTIONS for call in calls(name)}


@settings(max_examples=60, deadline=None)
@given(message=MESSAGE)
def test_every_value_has_an_answer(message):
    for call, function in CALLS.items():
        value = function(message, AT)
        assert jsonable(value), (call, value)
        assert isinstance(to_text(value), str | None), call


CONDITIONS = [f"a {operator} b" for operator in ("==", "!=", "<", ">=", "LIKE", "CONTAINS", "IN", "INTERSECTS")]
CONDITIONS += ["a BETWEEN b AND c", "NOT a", "a AND b OR c", "todate(a) < b", "todate(a) == c", "(a + b) * c > 1"]
CONDITIONS += ["a / b % c == -a", "a - b IN (c, 1)", "a == (b == c)", "tolower(a) != b", "EXISTS a", "a LIKE 'x*[y?'"]


DECIDE = {text: compile_condition(parse_mapping(text).expression) for text in CONDITIONS}


@settings(max_examples=80, deadline=None)
@given(message=MESSAGE)
def test_every_condition_is_true_false_or_undecided(message):
    for text, decide in DECIDE.items():
        assert decide(message, AT) in (True, False, None), text


@given(st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3), max_leaves=9))
def test_a_text_of_any_value_is_text(value):
    assert isinstance(spelled(value), str)
    assert orjson.dumps(to_text(value)) is not None
