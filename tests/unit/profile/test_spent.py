"""A profile of which only the bytes are left is worth as much as a whole one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.identity import key_of
from streams.batches import MOVED_FROM, Batch, Metrics, Row, StoredRecord, TopicIncarnation, encode_row
from streams.batches.table.rows import decode_hidden
from streams.mapping.fields import Fields
from streams.profile.agent import ProfileAgent
from streams.profile.folding.fold import ProfileFold, ProfileTopics
from streams.profile.folding.row import AddressHistory, Profile
from tests.unit.profile.in_memory_owners import ARRIVED, CATALOG, activity
from tests.unit.profile.in_memory_table import LIMIT, InMemoryProfileTable
from tests.unit.profile.test_row import CODEC, SHAPE, counted

A, B = "a@x.com", "b@x.com"


@pytest.mark.parametrize("profile", [Profile(counted(1), b"i" * 12), Profile(Fields(SHAPE), b"", AddressHistory())])
def test_what_was_sealed_stays_when_its_row_is_spent(profile: Profile) -> None:
    row = Row(b"k", profile, {5: (6, 7)}, exists=True)
    sealed = encode_row(row, CODEC, LIMIT)
    row.drop_data()
    assert (row.data, row.data_dropped) == (None, True)
    positions, state = decode_hidden(sealed.hidden)
    assert (CODEC.decode(b"k", sealed.value, state), positions) == (profile, {5: (6, 7)})


async def folded(
    messages: Sequence[tuple[str | None, dict[str, Any]]], *, keeps: bool, limit: int = LIMIT
) -> tuple[InMemoryProfileTable, Batch]:
    """What was written, and the batch, with what was refused and moved, after one batch of (key, message)."""
    profiles = ProfileFold(CATALOG, ProfileTopics("moves", "erasures"))
    table = InMemoryProfileTable(profiles.codec, limit=limit, keeps=keeps)
    agent = ProfileAgent(table, profiles, Metrics(), max_row_bytes=limit)  # type: ignore[arg-type]
    records = [
        StoredRecord(n, key and key_of(key), json.dumps(message).encode(), ARRIVED)  # type: ignore[arg-type]
        for n, (key, message) in enumerate(messages)
    ]
    batch = Batch(TopicIncarnation("cm_activity", 7), 0, records, generation=1)
    await agent.events(batch, profiles.streams["cm_activity"])
    return table, batch


@pytest.mark.parametrize("keeps", [True, False])
async def test_events_under_another_key_are_published_again_under_their_person_s(keeps: bool) -> None:
    messages = [
        (B, activity(B, 1)),
        (A, activity(A, 2)),
        (A, activity(B, 3)),
        (A, activity(B, 4)),
        (None, activity(B, 5)),
    ]
    table, batch = await folded(messages, keeps=keeps)
    assert batch.refused == []
    assert {key: json.loads(value)["cm_openct"] for key, (value, _) in table.rows.items()} == {
        b"a@x.com": 1,
        b"b@x.com": 1,
    }
    again = [(output.topic, output.key, output.value, dict(output.headers)[MOVED_FROM]) for output in batch.moved]
    assert again == [
        ("cm_activity", b"b@x.com", json.dumps(messages[n][1]).encode(), b"cm_activity/0/%d" % n) for n in (2, 3, 4)
    ]


async def test_a_profile_that_is_spent_and_then_too_large_loses_only_what_is_too_much() -> None:
    messages = [(B, activity(B, 1)), (A, activity(A, 2)), (B, activity(B, 3, url="http://x/" + "u" * 3000))]
    table, batch = await folded(messages, keeps=False, limit=2500)
    assert [letter.record.offset for letter in batch.refused] == [2]
    assert {json.loads(value)["cm_email_event"]["open"] for value, _ in table.rows.values()} == {1}
    kept, batch = await folded(messages, keeps=True, limit=2500)
    assert (kept.rows, [letter.record.offset for letter in batch.refused]) == (table.rows, [2])
