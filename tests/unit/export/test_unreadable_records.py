"""Whatever is on a topic: reading it never raises, and what was read can be folded and stored."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suites.poison import MEMBERSHIP_POISON
from connectors.kafka.settings import KafkaSettings
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
from streams.batches import Batch, BatchSettings, StoredRecord, TopicIncarnation
from streams.batches.consume.attempt import Attempts
from streams.export.intake import reading
from streams.export.intake.decode import UnreadableEvent, decode
from streams.export.rules.membership import RowTooLargeError, fold
from streams.export.rules.row import MembershipRow, encode
from tests.odd_messages import ODD_HEADERS, odd, text_of
from tests.unit.export.export_world import SOURCE, World

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


async def given(world: World, tmp_path: Path) -> list[int]:
    """Give the agent a batch with poison of every kind; the sizes of the batches that it was called with."""
    worker = await world.start()
    good = [text_of({**CHANGE, "email": f"p{n}@example.com", "previous_email": None}) for n in range(9)]
    found = [(value, ()) for value in good] + [(poison.value, tuple(poison.headers)) for poison in MEMBERSHIP_POISON]
    records = [StoredRecord(n, b"k", value, 1, headers) for n, (value, headers) in enumerate(found)]
    calls: list[int] = []

    async def agent(batch: Batch) -> None:
        calls.append(len(batch.records))
        await worker.agent(batch)

    settings = BatchSettings(app_id="a", kafka=KafkaSettings(_env_file=None), data_dir=tmp_path, partitions=1)
    keep = worker.process.keep
    batch = Batch(TopicIncarnation(SOURCE, 7), 0, records, generation=1, partitions=1)
    await Attempts(batch, agent, keep, settings, publish_moved=keep, closing=asyncio.Event()).run()
    letters = [letter.value for letter in world.log.read(f"{SOURCE}.dlq")]
    assert letters == [poison.value for poison in MEMBERSHIP_POISON]
    return calls


async def test_a_batch_with_poison_of_every_kind_is_given_to_the_agent_once(world: World, tmp_path: Path) -> None:
    """Each that raises makes its batch be halved until it is alone: 1 % of them cost two thirds of the throughput."""
    assert await given(world, tmp_path) == [9 + len(MEMBERSHIP_POISON)]


async def test_it_turns_red_when_decoding_raises(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*record: Any) -> Any:
        event = decode(*record)
        if isinstance(event, UnreadableEvent):
            raise TypeError(event.reason)
        return event

    monkeypatch.setattr(reading, "decode", raising)
    assert len(await given(world, tmp_path)) > 2 * len(MEMBERSHIP_POISON)
