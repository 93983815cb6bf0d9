"""A group of owners without a broker: topics as lists, rows as bytes, and crashes wherever they can happen."""

from __future__ import annotations

import json
from typing import Any

from schemas.identity import key_of
from streams.batches import StoredRecord
from streams.mapping.catalog import Catalog, load_catalog
from streams.profile.folding.fold import BatchEffects, ProfileFold, ProfileTopics
from streams.profile.folding.moves import read_move
from streams.profile.folding.transfers import Transfers

CATALOG: Catalog = load_catalog()
TOPICS = ProfileTopics("moves", "erasures")
ARRIVED = 1_738_368_000_000  # 2025-02-01


def activity(email: str, number: int, event: str = "open", second: int | None = None, **more: Any) -> dict[str, Any]:
    moment = number if second is None else second
    return {
        "event_id": f"{number:032x}",
        "at": f"2025-01-01T{moment // 3600:02d}:{moment // 60 % 60:02d}:{moment % 60:02d}Z",
        "event": event,
        "email": email,
        "source": "webhook",
        **more,
    }


class InMemoryOwners:
    """Every key has an owner that works through its topics in order; which topic goes on next is the test's choice."""

    def __init__(self, topics: ProfileTopics = TOPICS, catalog: Catalog = CATALOG) -> None:
        self.fold = ProfileFold(catalog, topics)
        self.transfers = Transfers(self.fold)
        self.rows: dict[bytes, tuple[bytes | None, bytes]] = {}
        self.positions: dict[tuple[bytes, str], int] = {}
        self.queues: dict[tuple[bytes, str], list[StoredRecord]] = {}
        self.done: dict[tuple[bytes, str], int] = {}
        self.outputs: list[Any] = []
        self._offsets = dict.fromkeys((*CATALOG.streams, "moves"), 0)

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        self._offsets[topic] += 1
        record = StoredRecord(self._offsets[topic], key, value, ARRIVED + self._offsets[topic])
        self.queues.setdefault((key, topic), []).append(record)

    def send(self, message: dict[str, Any], stream: str = "cm_activity") -> None:
        self.publish(stream, key_of(message["email"]), json.dumps(message).encode())

    def waiting(self) -> list[tuple[bytes, str]]:
        return sorted(lane for lane, queue in self.queues.items() if self.done.get(lane, 0) < len(queue))

    def step(self, lane: tuple[bytes, str], count: int = 1, *, crash: str = "") -> None:
        """Work on the next records of one key and topic. `crash`: "outputs" dies before the row is durable, "row"
        before the position is committed; either way the records come again."""
        key, topic = lane
        at = self.done.get(lane, 0)
        records = self.queues[lane][at : at + count]
        known = self.positions.get(lane, -1)
        value, state = self.rows.get(key, (None, b""))
        profile = self.fold.codec.decode(key, value, state)
        effects = BatchEffects(0)
        fresh = [record for record in records if record.offset > known]
        if topic == "moves":
            moved = [
                self.transfers.apply(profile, read_move(record.value), effects, record.timestamp) for record in fresh
            ]
            changed = any(moved)
        else:
            stream = self.fold.streams[topic]
            events = [stream.reader.read(record)[1] for record in fresh]
            changed = self.fold.events(profile, key.decode(), stream, events, effects)
        for output in effects.outputs:
            if output.topic == "moves":
                self.publish("moves", output.key, output.value)
            else:
                self.outputs.append(output)
        if crash == "outputs":
            return
        if changed:
            self.rows[key] = self.fold.codec.encode(profile)
            self.positions[lane] = records[-1].offset
        if crash == "row":
            return
        self.done[lane] = at + len(records)

    def drain(self, choose: Any = None) -> None:
        """Until nothing waits. `choose(lanes)` picks the next lane, how many records, and a crash."""
        for _ in range(10_000):
            lanes = self.waiting()
            if not lanes:
                return
            lane, count, crash = choose(lanes) if choose else (lanes[0], 1, "")
            self.step(lane, count, crash=crash)
        raise AssertionError("moves go round and round")

    def profiles(self) -> dict[str, dict[str, Any]]:
        return {key.decode(): json.loads(value) for key, (value, _) in self.rows.items() if value is not None}
