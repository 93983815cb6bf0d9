"""The fields of a profile in C are those in Python, byte for byte, whatever is done to them."""

import shutil
import sys

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.mapping.catalog import read_catalog
from streams.mapping.dates import FIRST, LAST
from streams.mapping.fields import COMPILED
from streams.mapping.kinds import INT_MAX, INT_MIN
from tests.unit.mapping.twins import KINDS, MODULES

LAYOUT = read_catalog(
    [
        (
            "all.lql",
            """SELECT email(email) AS email, emaildomain(email) AS domain, name AS name,
            whole AS whole KIND int, number AS number KIND number, when AS day KIND date,
            count(x) AS n, min(epochms()) AS first KIND date, max(epochms()) AS last KIND date,
            max(epochms()) AS at KIND number, min(x) AS least KIND number, max(x) AS most KIND int,
            set(x) AS texts, set(y) AS few CAPACITY 3, set(z) AS young KEEPDAYS 2,
            map(x, y) AS states, map(y, x) AS late CAPACITY 3, map(z, x) AS kept KEEPDAYS 2,
            valuect(x) AS sums, valuect(y) AS counts CAPACITY 3, valuect(z) AS recent KEEPDAYS 2,
            valuect(hourofday()) AS hours FROM s INTO user BY email(email)""",
        )
    ]
).layout
NUMBERS = {name: number for number, name in enumerate(LAYOUT.fields)}

USUAL = ["", "a", "b", "c", "k10", "k9", "é", "e\u0301", "日本語", '"', "\\", "\n\x00\x1f", "x" * 40]
TEXTS = st.sampled_from(USUAL) | st.text(max_size=12)
TIMES = st.integers(0, 6) | st.integers(0, 10).map(lambda day: day * 86_400_000) | st.integers(FIRST, LAST)
ARRIVALS = st.integers(-1, 3) | st.integers(0, 2**62)
INTS = st.integers(INT_MIN, INT_MAX) | st.integers(-3, 3)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def step(names, operation, *arguments):
    return st.tuples(st.just(operation), st.sampled_from(names.split()), *arguments)


STEPS = st.lists(
    step("email domain", "identify", TEXTS)
    | step("name day", "latest", TEXTS, TIMES, ARRIVALS)
    | step("whole number", "latest", INTS, TIMES, ARRIVALS)
    | step("number", "latest", FLOATS | INTS, TIMES, ARRIVALS)
    | step("name", "latest_text", TEXTS | st.none() | st.integers(), TIMES, ARRIVALS)
    | step("n", "add")
    | step("n", "add", INTS)
    | step("first last", "extreme", TIMES)
    | step("at least", "extreme", FLOATS | st.integers(-(2**63), 2**64 - 1))
    | step("most", "extreme", INTS)
    | step("texts few young", "insert", TEXTS | st.just(5), TIMES)
    | step("states late kept", "put", TEXTS, TEXTS, TIMES, ARRIVALS)
    | step("sums counts recent", "bump", TEXTS | st.just(None), TIMES)
    | step("sums counts recent", "bump", TEXTS, TIMES, INTS)
    | step("hours", "add_to_bucket", st.integers(0, 23), st.just(1) | INTS),
    max_size=60,
)


def fields_of(kind, steps, public=None, hidden=None):
    fields = kind.Fields(kind.Shape(LAYOUT), public, hidden)
    results = []
    for operation, name, *arguments in steps:
        fields.changed = False
        answer = getattr(fields, operation)(NUMBERS[name], *arguments)
        results.append((operation, answer, fields.changed))
    return fields, results


def parts(fields):
    return fields.public_json(), fields.hidden_json(), bool(fields), [fields.has(n) for n in NUMBERS.values()]


def test_it_is_compiled_where_it_can_be():
    assert COMPILED or shutil.which("cc") is None


@settings(max_examples=600, deadline=None)
@given(STEPS, STEPS)
def test_both_kinds_do_the_same_also_after_they_were_written_and_read(before, behind):
    outcomes = []
    for kind in MODULES:
        fields, results = fields_of(kind, before)
        again = kind.Fields(kind.Shape(LAYOUT), fields.public(), fields.hidden())
        assert again == fields
        assert not again.changed
        continued, later_results = fields_of(kind, behind, fields.public(), fields.hidden())
        outcomes.append((results, parts(fields), later_results, parts(continued)))
    assert all(outcome == outcomes[0] for outcome in outcomes)


@KINDS
def test_what_nobody_wrote_is_nothing(kind):
    fields = kind.Fields(kind.Shape(LAYOUT))
    assert (fields.public_json(), bool(fields), fields.public()) == (None, False, {})
    assert fields.hidden() == [None] * LAYOUT.slots
    assert fields != 5


@KINDS
def test_long_sets_and_maps_stay_in_order(kind):
    fields = kind.Fields(kind.Shape(LAYOUT))
    texts = [f"t{n * 7919 % 997:03d}" for n in range(997)]
    for ms, text in enumerate(texts):
        fields.insert(NUMBERS["texts"], text, ms)
        fields.bump(NUMBERS["sums"], text, ms)
        fields.put(NUMBERS["states"], text, "on", -ms, 0)
    public = fields.public()
    assert public["texts"] == sorted(texts)
    assert list(public["sums"]) == texts
    assert list(public["states"]) == texts[::-1]
    assert orjson.loads(fields.hidden_json())[LAYOUT.fields["texts"].slot] == [texts.index(t) for t in sorted(texts)]


@pytest.mark.skipif(not COMPILED, reason="only what is compiled could do harm")
def test_a_field_is_folded_its_own_way_only():
    kind = MODULES[-1]
    fields = kind.Fields(kind.Shape(LAYOUT))
    for number in (-1, len(NUMBERS), NUMBERS["n"]):
        for call in (
            lambda: fields.insert(number, "a", 1),  # noqa: B023
            lambda: fields.put(number, "a", "b", 1, 1),  # noqa: B023
            lambda: fields.bump(number, "a", 1),  # noqa: B023
            lambda: fields.add_to_bucket(number, 1),  # noqa: B023
            lambda: fields.extreme(number, 1),  # noqa: B023
            lambda: fields.latest(number, "a", 1, 1),  # noqa: B023
            lambda: fields.latest_text(number, "a", 1, 1),  # noqa: B023
            lambda: fields.identify(number, "a"),  # noqa: B023
        ):
            with pytest.raises(IndexError, match="not folded like that"):
                call()
    with pytest.raises(IndexError):
        fields.add(NUMBERS["texts"])
    with pytest.raises(IndexError):
        fields.has(len(NUMBERS))
    assert not fields


@pytest.mark.skipif(not COMPILED, reason="Python counts its own references")
def test_texts_are_given_back():
    kind = MODULES[-1]
    shape, key = kind.Shape(LAYOUT), "a text of this test's own"
    held = sys.getrefcount(key)
    fields = [kind.Fields(shape) for _ in range(10)]
    for record_fields in fields:
        for ms in range(3):
            for other in ("u", "v", "w", "x"):
                record_fields.insert(NUMBERS["few"], other, ms)
                record_fields.put(NUMBERS["late"], other, key, ms, 0)
                record_fields.bump(NUMBERS["counts"], other, ms)
            record_fields.insert(NUMBERS["texts"], key, ms)
            record_fields.insert(NUMBERS["few"], key, ms)
            record_fields.put(NUMBERS["states"], key, key, ms, 0)
            record_fields.bump(NUMBERS["sums"], key, ms)
            record_fields.latest(NUMBERS["name"], key, ms, 0)
            record_fields.identify(NUMBERS["email"], key)
    assert sys.getrefcount(key) > held + 60
    del fields, record_fields
    assert sys.getrefcount(key) <= held + 2  # the shared texts' own
