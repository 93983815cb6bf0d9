"""Each protection of the aggregator is taken out once, and the run must turn red: what never failed proves nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from schemas.identity import key_of
from streams.batches import (
    Batch,
    Metrics,
    Row,
    StoredRecord,
    TopicIncarnation,
)
from streams.mapping.catalog import Catalog, read_catalog
from streams.profile.agent import ProfileAgent
from streams.profile.folding import fold, transfers
from streams.profile.folding.fold import ProfileFold, ProfileTopics
from tests.unit.profile.in_memory_owners import ARRIVED, CATALOG, InMemoryOwners, activity
from tests.unit.profile.in_memory_table import LIMIT, InMemoryProfileTable, KilledError

A, B = "a@x.com", "b@x.com"
ADDED = read_catalog([("s.lql", "SELECT valuect(event) AS events FROM cm_activity INTO user BY email(email)")])


async def counted(catalog: Catalog, messages: Sequence[dict[str, Any]]) -> None:
    """Fold batches of ten; the process ends behind the third one's write, before its offsets are committed."""
    profiles = ProfileFold(catalog, ProfileTopics("moves", "erasures"))
    table = InMemoryProfileTable(profiles.codec, killed_after=3)
    agent = ProfileAgent(table, profiles, Metrics(), max_row_bytes=LIMIT)  # type: ignore[arg-type]
    stream = profiles.streams["cm_activity"]
    records = [
        StoredRecord(n, key_of(message["email"]), json.dumps(message).encode(), ARRIVED)
        for n, message in enumerate(messages)
    ]
    start = 0
    while start < len(records):
        batch = Batch(TopicIncarnation("cm_activity", 7), 0, records[start : start + 10], generation=1)
        try:
            await agent.events(batch, stream)
        except KilledError:
            continue  # started again: the batch was not committed
        start += 10
    wanted: dict[str, Counter[str]] = {}
    for message in {message.get("event_id", n): message for n, message in enumerate(messages)}.values():
        wanted.setdefault(message["email"], Counter())[message["event"]] += 1
    assert table.events() == wanted


async def published_twice() -> None:
    """Half of the events are published again, as webhooks and overlapping imports do."""
    messages = [activity(A if n % 3 else B, n, "open" if n % 2 else "sent") for n in range(40)]
    await counted(CATALOG, messages + messages[::2])


async def without_ids() -> None:
    """Events of a stream that has no ids: only the row knows that it holds them."""
    messages = [activity(A if n % 3 else B, n) for n in range(60)]
    for message in messages:
        del message["event_id"]
    await counted(ADDED, messages)


async def moved_and_killed() -> None:
    """A profile is handed over twice: its owner died between handing it over and writing that down."""
    world = InMemoryOwners()
    for event in (activity(A, 1), activity(A, 2), activity(B, 10, "update", old_email=A)):
        world.send(event)
    crashed = False
    for _ in range(20):
        for lane in world.waiting():
            _, topic = lane
            at_seal = topic == "moves" and b'"seal"' in world.queues[lane][world.done.get(lane, 0)].value
            world.step(lane, crash="outputs" if at_seal and not crashed else "")
            crashed = crashed or at_seal
    assert crashed
    assert not world.waiting()
    assert {who: it["cm_email_event"] for who, it in world.profiles().items()} == {B: {"open": 2, "update": 1}}


@pytest.mark.parametrize("run", [published_twice, without_ids, moved_and_killed])
async def test_it_is_exact_with_every_protection(run: Callable[[], Any]) -> None:
    await run()


def nothing_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "seen", lambda ids, mark: False)


def arrivals_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "seen", lambda ids, mark: False)


def ids_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "remember", lambda ids, entries, cap: (ids, 0))


def rows_know_no_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "position", lambda self, source: -1)


def rows_are_not_advanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "advance", lambda self, source, offset: None)


@pytest.mark.parametrize(
    ("sabotage", "run"),
    [
        (nothing_is_seen, published_twice),
        (ids_are_not_kept, published_twice),
        (rows_know_no_offsets, without_ids),
        (rows_are_not_advanced, without_ids),
        (arrivals_are_not_seen, moved_and_killed),
    ],
)
async def test_it_turns_red_without(
    sabotage: Callable[[pytest.MonkeyPatch], None], run: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(AssertionError):
        await run()
