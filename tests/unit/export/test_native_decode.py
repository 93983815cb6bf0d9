"""The common shape of a membership record is read in C as in Python."""

import shutil
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.export.intake.decode import FUTURE_TOLERANCE_MS, fast, fault_of_field, millis_of, native_decode
from tests.odd_messages import odd

needs_compiler = pytest.mark.skipif(native_decode is None, reason="there is no C compiler here")
CHANGE = {
    "email": "ann@example.com",
    "change": "enter",
    "audience": {"id": "vip", "name": "VIP"},
    "at": "2026-01-01T00:00:00Z",
    "event_id": "e1",
    "schema_version": 1,
    "user": {"city": "Graz", "tags": ["a"]},
}
_zones = st.sampled_from(["", "Z", "z", "+00:00", "-00:00", "+02:00", "+0000"])
_dates = st.builds(lambda at, zone: at.isoformat() + zone, st.datetimes(), _zones)
_mended = st.builds(lambda at, zone: at.isoformat(timespec="milliseconds") + zone, st.datetimes(), _zones)
_spoilt = st.builds(lambda at, n, by: at[:n] + by + at[n + 1 :], _dates, st.integers(0, 28), st.sampled_from(" .9T:-a"))
_users = st.dictionaries(
    st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=70), st.none(), st.just("x" * 20_000), st.just([{}]))
)
_emails = st.sampled_from(["Ann@Example.com", "<a@b.c>", "a@b", "no", "é@b.c", "a" * 64 + "@b.c", "a+b_c.d@b-c.d"])
_changes = st.builds(
    lambda parts: {**CHANGE, **parts},
    st.fixed_dictionaries(
        {},
        optional={
            "at": st.one_of(_dates, _mended, _spoilt),
            "user": _users,
            "email": _emails,
            "change": st.sampled_from(["exit", "snapshot"]),
            "schema_version": st.sampled_from([1, 2, None, True, 1.0]),
            "event_id": st.sampled_from(["e" * 128, "e" * 129, None]),
        },
    ),
)


def _both(message: dict[str, Any], appended: int) -> tuple[object, object]:
    ours = native_decode.event_of(message, 7, appended, FUTURE_TOLERANCE_MS, millis_of, fault_of_field)
    return ours, fast(message, 7, appended)


def test_it_is_compiled_where_there_is_a_compiler() -> None:
    assert native_decode is not None or shutil.which("cc") is None


@needs_compiler
@settings(max_examples=600, deadline=None)
@given(_changes, st.sampled_from([1_790_000_000_000, -1, 0, 2**62]))
@example({**CHANGE, "at": "2024-02-29T23:59:59.999999Z"}, 2**62)
@example({**CHANGE, "at": "2100-02-29T00:00:00Z"}, 2**62)
@example({**CHANGE, "at": "1969-12-31T23:59:59Z"}, 2**62)
def test_both_read_the_same(message: dict[str, Any], appended: int) -> None:
    ours, reference = _both(message, appended)
    assert ours == reference
    assert type(ours) is type(reference)


@needs_compiler
@settings(max_examples=400, deadline=None)
@given(odd(CHANGE))
def test_both_read_the_same_of_what_is_odd(message: bytes) -> None:
    try:
        body = orjson.loads(message)
    except ValueError:
        return
    if isinstance(body, dict):
        ours, reference = _both(body, 0)
        assert ours == reference
