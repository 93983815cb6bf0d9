"""A batch that is written in pieces: whatever was written when the process dies is not counted again."""

from __future__ import annotations

import json

import pytest

from schemas.identity import key_of
from streams.batches import MOVED_FROM, Batch, Metrics, Output, Row, StoredRecord, TopicIncarnation, partition_of
from streams.profile import agent as under_test
from streams.profile.agent import ProfileAgent
from streams.profile.folding.fold import ProfileFold, ProfileTopics
from streams.profile.folding.moves import Move, move_output
from tests.unit.profile.in_memory_owners import ARRIVED, activity
from tests.unit.profile.in_memory_table import LIMIT, InMemoryProfileTable, KilledError
from tests.unit.profile.test_sabotage import ADDED

PEOPLE, EVENTS = 10, 40


def records() -> list[StoredRecord]:
    """Events without ids: only a row's offsets show that they were counted."""
    messages = [activity(f"p{n % PEOPLE}@x.com", n) | {"event_id": None} for n in range(EVENTS)]
    return [
        StoredRecord(n, key_of(message["email"]), json.dumps(message).encode(), ARRIVED)
        for n, message in enumerate(messages)
    ]


async def killed_and_run_again(killed_after: int) -> tuple[InMemoryProfileTable, int]:
    """What is written in the end, and how many people were at the time of death."""
    profiles = ProfileFold(ADDED, ProfileTopics("moves", "erasures"))
    table = InMemoryProfileTable(profiles.codec, killed_after=killed_after)
    agent = ProfileAgent(table, profiles, Metrics(), max_row_bytes=LIMIT)  # type: ignore[arg-type]
    stream = profiles.streams["cm_activity"]
    with pytest.raises(KilledError):
        await agent.events(Batch(TopicIncarnation("cm_activity", 7), 0, records(), generation=1), stream)
    before = len(table.rows)
    await agent.events(Batch(TopicIncarnation("cm_activity", 7), 0, records(), generation=1), stream)
    return table, before


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(under_test, "WRITTEN_AT_ONCE", 3)


@pytest.mark.usefixtures("small_pieces")
async def test_a_death_between_two_pieces_counts_nothing_twice_and_loses_nothing() -> None:
    whole = {f"p{n}@x.com": {"open": EVENTS // PEOPLE} for n in range(PEOPLE)}
    seen = []
    for killed_after in (1, 2, 3):
        table, before = await killed_and_run_again(killed_after)
        assert table.events() == whole
        seen.append(before)
    assert seen == [4, 8, 10]


@pytest.mark.usefixtures("small_pieces")
async def test_it_turns_red_when_rows_know_no_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "position", lambda self, source: -1)
    table, _ = await killed_and_run_again(1)
    assert {events["open"] for events in table.events().values()} == {4, 8}


async def test_moves_and_events_in_the_wrong_partition_are_moved_not_applied() -> None:
    profiles = ProfileFold(ADDED, ProfileTopics("moves", "erasures"))
    table = InMemoryProfileTable(profiles.codec)
    agent = ProfileAgent(table, profiles, Metrics(), max_row_bytes=LIMIT)  # type: ignore[arg-type]
    wrong = 1 - partition_of(b"p1@x.com", 2)
    event = next(record for record in records() if record.key == b"p1@x.com")
    move = move_output("moves", Move("leave", "m1", "p1@x.com", 9, to="new@x.com"))
    for topic, key, value in (("cm_activity", event.key, event.value), ("moves", move.key, move.value)):
        record = StoredRecord(3, key, value, ARRIVED)
        batch = Batch(TopicIncarnation(topic, 7), wrong, [record], generation=1, partitions=2)
        if topic == "moves":
            await agent.moves(batch)
        else:
            await agent.events(batch, profiles.streams[topic])
        assert table.rows == {}
        assert table.outputs == []
        origin = [(MOVED_FROM, f"{topic}/{wrong}/3".encode())]
        assert batch.moved == [Output(topic, key, value, origin, partition_of(key, batch.partitions))]


async def test_a_move_of_other_mappings_is_a_dead_letter_and_the_others_of_its_batch_are_applied() -> None:
    profiles = ProfileFold(ADDED, ProfileTopics("moves", "erasures"))
    packed = {"public": {"events": {"open": 2}}, "hidden": [{"open": 5}], "ids": "", "came_from": ["old@x.com"]}
    moves = [
        Move("arrive", "m1", "a@x.com", 9, profile=packed, mapping="fedcba9876543210"),
        Move("arrive", "m2", "a@x.com", 9, profile=packed, mapping=ADDED.version),
        Move("arrive", "m3", "b@x.com", 9, profile=packed | {"hidden": []}, mapping=ADDED.version),
    ]
    records = [
        StoredRecord(n, key_of(move.email), move_output("moves", move).value, ARRIVED) for n, move in enumerate(moves)
    ]
    table = InMemoryProfileTable(profiles.codec)
    agent = ProfileAgent(table, profiles, Metrics(), max_row_bytes=LIMIT)  # type: ignore[arg-type]
    batch = Batch(TopicIncarnation("moves", 7), 0, records, generation=1)
    await agent.moves(batch)
    assert [(letter.record.offset, letter.stage) for letter in batch.refused] == [(0, "fold"), (2, "fold")]
    assert batch.refused[0].reason == (
        f"a profile of mapping version fedcba9876543210; version {ADDED.version} runs, and does not fold it"
    )
    assert batch.refused[1].reason == "the hidden part has 0 entries, and the layout 1 slots"
    assert table.events() == {"a@x.com": {"open": 2}}
