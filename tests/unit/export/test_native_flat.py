"""The pass over people of the common kind is compiled, and its receipts in C are those in Python."""

import hashlib
import json
import shutil
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.batches.core.batch import StoredRecord
from streams.export.intake.decode import FUTURE_TOLERANCE_MS, decode
from streams.export.rules.dropped import ANY
from streams.export.rules.flat_import import FlatImport
from streams.export.rules.membership import MembershipEvent
from streams.export.rules.values import field_name
from streams.export.sending import flat_calls
from streams.export.sending.direct_queue import FlatAnswer
from streams.export.sending.flat_calls import receipts_of
from tests.odd_messages import odd
from tests.unit.export.rules.test_flat_import import CONTEXT, KEYS, NAMES, SOURCE, exports_of, plan_of

native_flat = flat_calls.native_flat
needs_compiler = pytest.mark.skipif(native_flat is None, reason="there is no C compiler here")
CHANGE = {
    "email": "ann@example.com",
    "change": "enter",
    "audience": {"id": "vip", "name": "VIP"},
    "at": "2026-01-01T00:00:00.123Z",
    "event_id": "e1",
    "schema_version": 1,
    "user": {"name": "Ann", "city": "Ghent", "x": 12},
}
SAMPLE = orjson.dumps(CHANGE)
KEPT = frozenset(
    [(name, ANY) for name in KEYS] + [(field_name("Lytics Audiences"), NAMES.option_of(name)) for name in NAMES]
)


def test_it_is_compiled_where_there_is_a_compiler() -> None:
    assert flat_calls.native_flat is not None or shutil.which("cc") is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 20_000)), max_size=5),
    st.integers(0, 6),
    st.sampled_from(["job-1", "j" * 120, "b\u00e9", 'a"b']),
    st.sampled_from(["audience-membership", "t" * 120]),
)
def test_receipts_in_c_are_those_in_python(people: list[Any], new: int, job: str, topic: str) -> None:
    plan = plan_of(exports_of({"id": job}), frozenset())
    context = replace(CONTEXT, source_topic=topic)
    made = [
        FlatImport(f"p{at}@example.com".encode(), b"", b"", known, had, [(at, appended, enters)], ["VIP"])
        for at, (known, had, enters, appended) in enumerate(people)
    ]
    with pytest.MonkeyPatch.context() as patch:
        native = receipts_of(context, plan, made, FlatAnswer(new=new), SOURCE, 9_999)
        patch.setattr(flat_calls, "native_receipts", None)
        assert receipts_of(context, plan, made, FlatAnswer(new=new), SOURCE, 9_999) == native


_users = st.dictionaries(
    st.sampled_from(["name", "city", "x", "email", "age", "\u00e9", 'a"b', ""]),
    st.one_of(
        st.text(max_size=5),
        st.sampled_from(["Ghent", "\u00e9" * 40, "x" * 62, "x" * 63, "x" * 70, 'a"b', "\x7f", 1.5, [1], 10**16]),
        st.integers(-20, 20),
        st.none(),
        st.booleans(),
    ),
    max_size=4,
)
_messages = st.builds(
    lambda parts: {**CHANGE, **parts},
    st.fixed_dictionaries(
        {},
        optional={
            "at": st.sampled_from(
                ["2026-01-01T00:00:00Z", "1970-01-01T00:00:00", "2026-01-01", "2026-02-30T00:00:00Z"]
            ),
            "user": _users,
            "email": st.sampled_from(["Ann@example.com", "bob@example.com", "ann@example.com\u00e9"]),
            "change": st.sampled_from(["exit", "enter"]),
            "audience": st.sampled_from(
                [
                    {"id": "b\u00e9", "name": "B\u00c9"},
                    {"id": "vip", "name": "Vip"},
                    {"id": "new", "name": "New"},
                    {},
                    "vip",
                ]
            ),
            "schema_version": st.sampled_from([1, 2, 1.0]),
            "event_id": st.sampled_from(["e" * 128, "e" * 129, None]),
            "more": st.none(),
        },
    ),
)
_values = st.one_of(
    _messages.map(orjson.dumps),
    _messages.map(lambda message: json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    _messages.map(lambda message: json.dumps(message, indent=1).encode()),
    odd(CHANGE),
    st.builds(
        lambda at, by: SAMPLE[:at] + by + SAMPLE[at + len(by) :],
        st.integers(0, len(SAMPLE)),
        st.sampled_from([b" ", b'"', b"{", b"}", b",", b"\xff", b"\\", b"1", b"-", b"\n", b",,", b'"x":1,']),
    ),
)


@needs_compiler
@settings(max_examples=1_500, deadline=None)
@given(_values, st.sampled_from([1_767_225_600_000, 1_000_000]), st.sampled_from([{}, {"existing_users": True}]))
@example(SAMPLE, 1_767_225_600_000, {})
@example(SAMPLE + b"}", 1_767_225_600_000, {})
@example(SAMPLE.replace(b'"city":"Ghent"', b'"city":"Ghent","city":"Graz"'), 1_767_225_600_000, {})
def test_what_is_read_as_bytes_is_what_is_decoded(value: bytes, appended: int, options: dict[str, Any]) -> None:
    record = StoredRecord(5, b"ann@example.com", value, appended)
    plain, others = flat_calls.native_flat.plain_records([record], NAMES, FUTURE_TOLERANCE_MS)
    assert ([known.record for known in plain.values()] or others) == [record]
    if value == SAMPLE:
        assert plain
    for key, known in plain.items():
        event = decode(value, (), 5, appended, key)
        assert isinstance(event, MembershipEvent)
        assert (key, known.audience, known.position) == (event.email.encode(), event.changes[0].audience, 5)
        assert not NAMES.changes((audience, name, event.at) for audience, name in event.names)
        plan = plan_of(exports_of(options), KEPT)
        found = native_flat.FlatPass(plan).newcomer(known, SOURCE)
        assert found is None or found == plan.person(key, [event], None, SOURCE)
        if value == SAMPLE:
            assert found is not None


@needs_compiler
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), st.integers(0, 3))
@example(b"", 0)
@example(b"x" * 128, 1)
def test_digests_in_c_are_those_of_hashlib(content: bytes, times: int) -> None:
    content *= times
    assert native_flat.short_digest(content) == hashlib.blake2b(content, digest_size=8).hexdigest()
