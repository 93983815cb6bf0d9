"""Whatever is on a topic: reading it refuses the record or returns an event, and the event can be folded."""

import base64
import contextlib
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suites.poison import ACTIVITY_POISON
from schemas.identity import key_of
from streams.batches import Batch, Metrics, StoredRecord, TopicIncarnation
from streams.profile.agent import ProfileAgent
from streams.profile.folding.events import UnusableRecord
from streams.profile.folding.fold import BatchEffects, ProfileFold, ProfileTopics
from streams.profile.folding.moves import Move, move_output, read_move
from tests.odd_messages import ODD_HEADERS, odd
from tests.unit.profile.in_memory_table import LIMIT, InMemoryProfileTable
from tests.unit.profile.test_messages import CATALOG

ACTIVITY = {
    "at": "2026-01-01T00:00:00Z",
    "event": "open",
    "email": "a@x.com",
    "source": "campaign",
    "campaign_id": "c",
    "event_id": "e1",
    "latitude": 1.5,
}
USER = {
    "at": "2026-01-01T00:00:00Z",
    "email": "a@x.com",
    "client_id": "c1",
    "status": "Active",
    "list_id": "l",
    "custom_fields": [{"key": "[A]", "name": "A", "value": "1"}],
    "old_email": "b@x.com",
}
STREAMS = {"cm_activity": ACTIVITY, "cm_user": USER}
FOLD = ProfileFold(CATALOG, ProfileTopics("moves", "erasures", None, None))


@settings(max_examples=800)
@given(
    st.sampled_from(sorted(STREAMS)).flatmap(lambda stream: st.tuples(st.just(stream), odd(STREAMS[stream]))),
    ODD_HEADERS,
    st.sampled_from([1_790_000_000_000, -1, 0, 2**62]),
)
def test_reading_a_message_never_raises_anything_else(message: tuple[str, bytes], headers: Any, at: int) -> None:
    name, value = message
    stream = FOLD.streams[name]
    try:
        key, event = stream.reader.read(StoredRecord(0, b"a@x.com", value, at, headers))
    except UnusableRecord:
        return
    profile = FOLD.codec.decode(key, None, b"")
    FOLD.events(profile, key.decode(), stream, [event], BatchEffects(0))
    FOLD.codec.encode(profile)


PACKED = {"public": {}, "hidden": [], "ids": base64.b64encode(b"x" * 12).decode(), "came_from": ["c@x.com"]}
MOVES = [
    orjson.loads(move_output("moves", move).value or b"")
    for move in (
        Move("leave", "1", "a@x.com", 1, to="b@x.com"),
        Move("arrive", "1", "a@x.com", 1, profile=PACKED, mapping="m"),
        Move("follow", "1", "a@x.com", 1, stream="cm_activity", value="{}", timestamp=1, arrival=1),
        Move("erase", "1", "a@x.com", 1, visited=("c@x.com",)),
    )
]


@settings(max_examples=400)
@given(odd(*MOVES))
def test_a_move_is_read_or_refused(value: bytes) -> None:
    with contextlib.suppress(ValueError):
        key_of(read_move(value).email)


async def test_a_batch_with_poison_of_every_kind_is_folded_in_one_go() -> None:
    """None of them is a defect, for which profiles are read again and folded a record at a time."""
    table = InMemoryProfileTable(FOLD.codec)
    agent = ProfileAgent(table, FOLD, Metrics(), max_row_bytes=LIMIT)  # type: ignore[arg-type]
    values = [orjson.dumps(ACTIVITY), *(poison.value for poison in ACTIVITY_POISON)]
    records = [StoredRecord(n, b"a@x.com", value, 1_790_000_000_000) for n, value in enumerate(values)]
    batch = Batch(TopicIncarnation("cm_activity", 7), 0, records, generation=1)
    await agent.events(batch, FOLD.streams["cm_activity"])
    assert [letter.record.value for letter in batch.refused] == values[1:]
    assert table.events() == {"a@x.com": {"open": 1}}
    assert table.reads == 1
