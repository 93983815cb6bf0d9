"""Whatever is on a topic: reading it never raises, and what was read can be folded and stored."""

import contextlib
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.membership_command import (
    AnswerClaim,
    BeginTransfer,
    ClaimAddress,
    Erase,
    Readdress,
    ReceiveTransfer,
    Renamed,
    Resend,
    command_bytes,
    read_command,
)
from streams.export.intake.decode import UnreadableEvent, decode
from streams.export.rules.membership import RowTooLargeError, fold
from streams.export.rules.row import MembershipRow, encode
from tests.odd_messages import ODD_HEADERS, odd, text_of

CHANGE = {
    "email": "ann@example.com",
    "change": "enter",
    "audience": {"id": "vip", "name": "VIP"},
    "at": "2026-01-01T00:00:00Z",
    "event_id": "e1",
    "previous_email": "old@example.com",
    "user": {"city": "Graz", "tags": ["a"], "more": {"x": 1}},
}
SNAPSHOT = {**CHANGE, "change": "snapshot", "audiences": [{"id": "vip", "name": "VIP"}]}
SNAPSHOT.pop("audience")
TRIGGER = {
    "id": "7",
    "data": {
        "email": "ann@example.com",
        "segment_events": [{"id": "4", "slug": "vip", "event": "enter", "enter": "2026-10-14T13:27:33Z"}],
    },
    "meta": {"object": "user", "timestamp": "2026-10-14T13:27:34Z"},
}
CLOUD = {"specversion": "1.0", "id": "1", "time": "2026-01-01T00:00:00Z", "data": CHANGE}
APPENDED = st.sampled_from([1_790_000_000_000, -1, 0, 2**62])


@settings(max_examples=600)
@given(odd(CHANGE, SNAPSHOT, TRIGGER, CLOUD), ODD_HEADERS, APPENDED, st.sampled_from([None, b"k", b"\xff"]))
def test_reading_a_membership_event_never_raises(value: bytes, headers: Any, appended: int, key: bytes | None) -> None:
    event = decode(value, headers, 0, appended, key)
    if isinstance(event, UnreadableEvent):
        assert event.reason
        return
    row = MembershipRow()
    with contextlib.suppress(RowTooLargeError):
        fold(row, event)
    encode(row)


@pytest.mark.parametrize("depth", [101, 253, 254, 255, 900])
@pytest.mark.parametrize("ends", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("message", [CHANGE, SNAPSHOT, {**CHANGE, "more": 1}])
def test_a_field_that_is_nested_too_deep_is_named(depth: int, ends: tuple[bytes, bytes], message: Any) -> None:
    field = ends[0] * depth + b"1" + ends[1] * depth
    event = decode(text_of({**message, "user": {"city": "?"}}).replace(b'"?"', field), (), 0, 1_790_000_000_000)
    assert isinstance(event, UnreadableEvent)
    assert event.reason.startswith("user.city: nested deeper than")


COMMANDS = [
    orjson.loads(command_bytes(command))
    for command in (
        BeginTransfer("b@example.com", 1),
        ReceiveTransfer("a@example.com", 1, b'{"a":{"vip":[1,2,3]}}'),
        Renamed("list-1", 1),
        Resend("list-1", 3),
        Readdress("list-1", "a@example.com", "b@example.com", 1),
        Erase(1),
        ClaimAddress("list-1", "a@example.com", 1, successor="c@example.com", removed=1),
        AnswerClaim("list-1", "a@example.com", 1, 1, 1),
    )
]


@settings(max_examples=400)
@given(odd(*COMMANDS))
def test_a_command_is_read_or_refused(value: bytes) -> None:
    with contextlib.suppress(ValueError):
        read_command(value)


POISON = [
    (b"{", ()),
    (None, ()),
    (text_of({**CHANGE, "change": []}), ()),
    (text_of({**CHANGE, "audience": [1]}), ()),
    (text_of(CHANGE), [("ce_specversion", None)]),
    (text_of({**CHANGE, "user": {"city": "?"}}).replace(b'"?"', b"[" * 300 + b"]" * 300), ()),
    (b"[" * 10_000, ()),
]


@pytest.mark.parametrize("poison", POISON)
def test_one_percent_of_poison_leaves_four_fifths_of_the_throughput(poison: Any) -> None:
    """The same measure as of the bench, of reading alone: CPU time, the best of some turns, both in turns."""
    simple = {name: CHANGE[name] for name in ("email", "change", "audience", "at", "user")}
    clean = [(text_of(simple), ())] * 4000
    poisoned = [poison if number % 100 == 0 else record for number, record in enumerate(clean)]

    def seconds(records: Any) -> float:
        began = time.process_time()
        for value, headers in records:
            decode(value, headers, 0, 1_790_000_000_000)
        return time.process_time() - began

    turns = [(seconds(clean), seconds(poisoned)) for _ in range(5)]
    assert min(clean for clean, _ in turns) >= 0.8 * min(poisoned for _, poisoned in turns)
