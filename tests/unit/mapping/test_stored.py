"""Stored parts that neither twin wrote: both refuse them with one sentence, or both make the same of them."""

import copy
import os

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.mapping.catalog import load_catalog, read_catalog
from streams.mapping.dates import LAST
from streams.mapping.fields import reference
from streams.mapping.fields.layout import FieldsError, check_stored
from streams.mapping.kinds import INT_MAX, INT_MIN
from tests.unit.mapping.test_fields import LAYOUT, NUMBERS, STEPS, fields_of, parts
from tests.unit.mapping.twins import KINDS, MODULES

EXAMPLES = int(os.environ.get("STORED_EXAMPLES", "300"))
DAY = 86_400_000

STEPS_OF_EACH_KIND = [
    ("identify", "email", "a@x.com"),
    ("latest", "name", "Ann", 5, 6),
    ("latest", "whole", 7, 5, 6),
    ("latest", "number", 7.5, 5, 6),
    ("latest", "day", "1970-01-01T00:00:00.005Z", 5, 6),
    ("add", "n", 3),
    ("extreme", "first", 5),
    ("extreme", "at", 5),
    ("extreme", "least", -0.0),
    ("extreme", "most", 9),
    ("insert", "texts", "b", 5),
    ("insert", "texts", "a", 6),
    ("put", "states", "k", "on", 5, 6),
    ("put", "states", "j", "off", 6, 6),
    ("bump", "sums", "k", 5),
    ("bump", "sums", "j", 6),
    ("add_to_bucket", "hours", 3),
    ("add_to_bucket", "hours", 11),
]


def written():
    """Parts with a value in a field of each kind."""
    fields, _ = fields_of(reference, STEPS_OF_EACH_KIND)
    return fields.public(), fields.hidden()


def slot(name):
    return LAYOUT.fields[name].slot


def verdict(kind, public, hidden, steps=()):
    """The sentence of a refusal; or the parts as they were read, and as they are after some more steps."""
    try:
        read = kind.Fields(kind.Shape(LAYOUT), copy.deepcopy(public), copy.deepcopy(hidden))
    except FieldsError as refusal:
        return str(refusal)
    before = parts(read)
    went_on, answers = fields_of(kind, steps, copy.deepcopy(public), copy.deepcopy(hidden))
    return before, answers, parts(went_on)


def same_verdict(public, hidden, steps=()):
    verdicts = [verdict(kind, public, hidden, steps) for kind in MODULES]
    assert all(found == verdicts[0] for found in verdicts)
    return verdicts[0]


def put_at(parts_of, name, value):
    public, hidden = parts_of
    public[name] = value
    return public, hidden


def hide_at(parts_of, name, value):
    public, hidden = parts_of
    hidden[slot(name)] = value
    return public, hidden


DAMAGES = {
    "hidden cut short": lambda parts: (parts[0], parts[1][:3]),
    "hidden of no entry": lambda parts: (parts[0], []),
    "hidden too long": lambda parts: (parts[0], [*parts[1], None]),
    "hidden absent": lambda parts: (parts[0], None),
    "hidden no list": lambda parts: (parts[0], {"0": parts[1]}),
    "public no object": lambda parts: ([parts[0]], parts[1]),
    "public absent": lambda parts: (None, parts[1]),
    "public empty": lambda parts: ({}, parts[1]),
    "an unknown field": lambda parts: ({**parts[0], "other": 1}, parts[1]),
    "a name that is no text": lambda parts: ({**parts[0], 5: 1}, parts[1]),
    "another order": lambda parts: (dict(reversed(parts[0].items())), parts[1]),
    "a field missing": lambda parts: ({key: value for key, value in parts[0].items() if key != "texts"}, parts[1]),
    "slots in another order": lambda parts: (parts[0], parts[1][::-1]),
    "no stamp": lambda parts: hide_at(parts, "name", None),
    "a stamp of one": lambda parts: hide_at(parts, "name", [5]),
    "a stamp of texts": lambda parts: hide_at(parts, "name", ["5", "6"]),
    "a stamp beyond time": lambda parts: hide_at(parts, "name", [LAST + 1, 6]),
    "an arrival beyond 64 bits": lambda parts: hide_at(parts, "name", [5, 2**63]),
    "a text for a number": lambda parts: put_at(parts, "number", "7"),
    "a boolean for an int": lambda parts: put_at(parts, "whole", True),
    "a double for an int": lambda parts: put_at(parts, "whole", 7.0),
    "an int of 65 bits": lambda parts: put_at(parts, "n", 2**64),
    "null for a text": lambda parts: put_at(parts, "name", None),
    "a number for the key": lambda parts: put_at(parts, "email", 5),
    "a date of another time": lambda parts: put_at(parts, "first", "1970-01-01T00:00:00.006Z"),
    "a date that is none": lambda parts: put_at(parts, "first", "1970-01-01T00:00:00.00\u00e9"),
    "an extreme of another number": lambda parts: hide_at(parts, "at", 6),
    "an extreme of another type": lambda parts: hide_at(parts, "at", 5.0),
    "an extreme of another sign": lambda parts: hide_at(parts, "least", 0.0),
    "a set that is empty": lambda parts: hide_at(put_at(parts, "texts", []), "texts", []),
    "a set with too few times": lambda parts: hide_at(parts, "texts", [5]),
    "a set out of order": lambda parts: put_at(parts, "texts", ["b", "a"]),
    "a set with a text twice": lambda parts: put_at(parts, "texts", ["a", "a"]),
    "a set with an empty text": lambda parts: put_at(parts, "texts", ["", "a"]),
    "a set beyond its capacity": lambda parts: hide_at(put_at(parts, "few", list("abcd")), "few", [1, 2, 3, 4]),
    "a map with other keys": lambda parts: hide_at(parts, "states", {"k": [5, 6], "i": [6, 6]}),
    "a map out of order": lambda parts: hide_at(parts, "states", {"k": [7, 6], "j": [6, 6]}),
    "a map of numbers": lambda parts: put_at(parts, "states", {"k": 1, "j": 2}),
    "sums out of order": lambda parts: hide_at(parts, "sums", {"k": 7, "j": 6}),
    "sums of texts": lambda parts: put_at(parts, "sums", {"k": "1", "j": "1"}),
    "sums with too few times": lambda parts: hide_at(parts, "sums", {"k": 5}),
    "buckets out of order": lambda parts: put_at(parts, "hours", {"11": 1, "3": 1}),
    "a bucket with a zero before": lambda parts: put_at(parts, "hours", {"03": 1}),
    "a bucket of 65 bits": lambda parts: put_at(parts, "hours", {"9223372036854775808": 1}),
    "no buckets": lambda parts: put_at(parts, "hours", {}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_part_is_refused_by_both_with_one_sentence(damage):
    public, hidden = damage(written())
    assert isinstance(same_verdict(public, hidden), str)


def test_what_was_written_is_read():
    public, hidden = written()
    assert same_verdict(public, hidden)[0][:2] == (orjson.dumps(public), orjson.dumps(hidden))
    check_stored(list(LAYOUT.fields.values()), LAYOUT.slots, public, hidden)


@KINDS
def test_the_sentence_names_the_field_and_no_value(kind):
    public, hidden = hide_at(written(), "name", ["secret"])
    with pytest.raises(FieldsError, match=r"^field name: the hidden entry does not belong to the value$"):
        kind.Fields(kind.Shape(LAYOUT), public, hidden)


@KINDS
def test_the_ends_of_what_can_be_stored_are_read(kind):
    public = {"whole": INT_MIN, "number": 2**64 - 1, "n": INT_MAX, "hours": {str(INT_MIN): 1, "-1": 2, str(INT_MAX): 3}}
    hidden = [None] * LAYOUT.slots
    hidden[slot("whole")] = hidden[slot("number")] = [LAST, INT_MAX]
    read = kind.Fields(kind.Shape(LAYOUT), public, hidden)
    assert read.public_json() == orjson.dumps(public)
    assert read.hidden_json() == orjson.dumps(hidden)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-3, 12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "b", "k", "3", "03", "-0", "1970-01-01T00:00:00.005Z", "\u00e9", "\U0001f600"])
    | st.text(max_size=4)
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*NUMBERS, "a", "3", "11"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def as_json(value):
    return orjson.loads(orjson.dumps(value))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANY_JSON, ANY_JSON | st.lists(SCALARS, min_size=LAYOUT.slots, max_size=LAYOUT.slots))
def test_any_json_gets_one_verdict(public, hidden):
    same_verdict(as_json(public), as_json(hidden))


def damaged(data, value):
    """A JSON value with one thing in it changed, removed, doubled or put elsewhere."""
    if isinstance(value, list | dict) and value and data.draw(st.integers(0, 4)):
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        at = data.draw(st.integers(0, len(items) - 1))
        what = data.draw(st.sampled_from(["deeper", "deeper", "drop", "swap", "cut", "repeat"]))
        if what == "deeper":
            items[at] = (items[at][0], damaged(data, items[at][1]))
        elif what == "drop":
            del items[at]
        elif what == "swap":
            other = data.draw(st.integers(0, len(items) - 1))
            items[at], items[other] = items[other], items[at]
        elif what == "cut":
            items = items[:at]
        else:
            items.append(items[at])
        return dict(items) if isinstance(value, dict) else [element for _, element in items]
    return data.draw(ANY_JSON)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, STEPS, st.data())
def test_what_was_written_and_then_damaged_gets_one_verdict(before, behind, data):
    fields, _ = fields_of(reference, [*STEPS_OF_EACH_KIND, *before])
    both = [fields.public(), fields.hidden()]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 1))
        both[at] = damaged(data, both[at])
    same_verdict(as_json(both[0]), as_json(both[1]), behind)


def test_parts_of_another_layout_are_refused():
    """The row of a layout with one field more, or with the slots of two fields exchanged, is not read by position."""
    layouts = [
        read_catalog([("s.lql", f"SELECT {rows} FROM s INTO user BY email(email)")]).layout
        for rows in ("x AS a, set(x) AS b", "x AS a, set(x) AS b, y AS c", "set(x) AS b, x AS a", "set(x) AS a, x AS b")
    ]
    for kind in MODULES:
        wrote = kind.Fields(kind.Shape(layouts[0]))
        wrote.latest(0, "t", 1, 2)
        wrote.insert(1, "t", 1)
        for other in layouts[1:]:
            with pytest.raises(FieldsError):
                kind.Fields(kind.Shape(other), wrote.public(), wrote.hidden())


def test_the_default_mappings_keep_their_version():
    """Stored rows carry it: another one refuses them all."""
    assert load_catalog().version == "31eade2f9c5660e7"
