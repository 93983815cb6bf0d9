"""`cm_user`, `cm_activity`, added streams and moves -> `cm_profile`: effects in an order that a crash cannot hurt.

    1 what cannot be used is published as a dead letter, and what
      is another person's, or in another partition, in its own     \
    2 moves and changes are published                               | (by the table's write, in this order)
    3 changed rows are in the changelog, which is the profile topic |
    4 then in the store                                            /
    5 the range settles

A crash before 3 replays the records: what was published may be published again, the same bytes, and is known by its id.
From 3 on the rows know the records. Rows that did not change are not written: folding into them again changes nothing
either.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from schemas.dead_letter import Stage
from schemas.identity import key_of
from streams.batches import (
    Batch,
    BatchTable,
    Declared,
    EncodedRow,
    Metrics,
    Record,
    Row,
    RowTooLarge,
    encode_row,
)
from streams.profile.folding.events import ProfileEvent, UnusableRecord
from streams.profile.folding.fold import BatchEffects, ProfileFold, StreamFold
from streams.profile.folding.moves import Move, read_move
from streams.profile.folding.row import Profile
from streams.profile.folding.transfers import Transfers

log = structlog.get_logger(__name__)

ROWS_AT_ONCE = 500
"""Profiles folded before other tasks of the loop run. Each is read, folded and encoded in one go: its many
small objects and its messages are fetched into the processor's cache once."""
WRITTEN_AT_ONCE = 500
"""Profiles from which on they are written, though the batch is not done: each is kept encoded in memory until then, in
every partition that is worked on. Fewer, and the wait for the broker shows."""


PROFILE_METRICS = (
    Declared(
        "cm_streams_profiles_fold_seconds_total",
        "counter",
        "Time for reading events, folding them into profiles and encoding these, without waits for brokers and stores. "
        "Divided by the records it is an event's cost; near a second per second, the worker's core is what limits it.",
        ("topic",),
    ),
    Declared(
        "cm_streams_profiles_repeated_events_total",
        "counter",
        "Events that were counted before and came again, from a webhook and an import say; they change nothing.",
        ("topic",),
    ),
    Declared(
        "cm_streams_profiles_ids_forgotten_early_total",
        "counter",
        "Ids of recent events that a profile had no room to remember: a repeat of one would be counted twice. Rising: "
        "raise PROFILE_EVENT_IDS.",
        ("topic",),
    ),
    Declared(
        "cm_streams_profiles_forwarded_events_total",
        "counter",
        "Events of a former address that were forwarded to the profile that it became.",
        ("topic",),
    ),
    Declared(
        "cm_streams_profiles_dropped_erased_total",
        "counter",
        "Events of people who were erased, from before the erasure; they are dropped as they must be.",
        ("topic",),
    ),
    Declared(
        "cm_streams_profiles_conversion_errors_total",
        "counter",
        "Values that could not be converted to the type of their profile field and were left out, by field. Rising: "
        "the mapping or the source has changed.",
        ("field",),
    ),
)


class ProfileAgent:
    """Folds batches of records into profiles."""

    def __init__(self, table: BatchTable[Profile], fold: ProfileFold, metrics: Metrics, *, max_row_bytes: int) -> None:
        self._table = table
        self._fold = fold
        self._transfers = Transfers(fold)
        self._metrics = metrics
        metrics.declare(PROFILE_METRICS)
        self._max_row_bytes = max_row_bytes

    async def events(self, batch: Batch, stream: StreamFold) -> None:
        """Fold a batch of one stream."""
        effects = BatchEffects(batch.partition)
        by_key = _by_key(batch.records)
        ready: list[EncodedRow[Profile]] = []
        suspects: list[bytes] = []
        folding = 0.0
        keys, wants = list(by_key), self._table.will_cache(batch.partition)
        for start in range(0, len(keys), ROWS_AT_ONCE):
            rows = await self._table.read(batch.partition, keys[start : start + ROWS_AT_ONCE])
            began = time.monotonic()
            for key, row in rows.items():
                events = self._read(batch, stream, key, by_key[key])
                outputs = len(effects.outputs)
                try:
                    if self._fold_row(row, batch, stream, events, effects):
                        ready.append(self._table.encode(batch, row))
                        if not wants(key):
                            row.drop_data()
                except Exception as error:
                    if not isinstance(error, RowTooLarge):
                        log.warning("fold failed", topic=batch.topic, partition=batch.partition, exc_info=True)
                    del effects.outputs[outputs:]
                    suspects.append(key)
            folding += time.monotonic() - began
            if len(ready) >= WRITTEN_AT_ONCE:
                await self._write(batch, ready, effects)
                ready = []
            await asyncio.sleep(0)
        if suspects:
            ready += await self._fold_singly(batch, stream, by_key, suspects, effects)
        await self._write(batch, ready, effects)
        self._metrics.count("cm_streams_profiles_fold_seconds_total", folding, topic=batch.topic)
        self._count(effects, batch)

    async def moves(self, batch: Batch) -> None:
        """Apply a batch of moves."""
        effects = BatchEffects(batch.partition)
        groups: dict[bytes, list[tuple[Record, Move]]] = {}
        for record in batch.records:
            try:
                move = read_move(record.value)
            except ValueError as error:
                batch.refuse(record, str(error), stage=Stage.SCHEMA)
            else:
                groups.setdefault(key_of(move.email), []).append((record, move))
        rows = await self._table.read(batch.partition, groups)
        changed: list[Row[Profile]] = []
        for key, moves in groups.items():
            row = rows[key]
            if not row.exists and not batch.holds(key):
                for record, _ in moves:
                    batch.move(record, key)
                continue
            last = row.position(batch.source)
            applied = [
                self._move_row(row, batch, record, move, effects) for record, move in moves if record.offset > last
            ]
            if any(applied):
                changed.append(row)
        await self._table.write(batch, changed, effects.outputs)
        self._count(effects, batch)

    def _read(self, batch: Batch, stream: StreamFold, key: bytes, records: Sequence[Record]) -> list[ProfileEvent]:
        """Events of the profile under this key, in offset order. What is another person's is published again under
        that person's key, and what cannot be used is refused."""
        events: list[ProfileEvent] = []
        read = stream.reader.read
        for record in records:
            try:
                owner, event = read(record)
            except UnusableRecord as refused:
                batch.refuse(record, refused.reason, stage=refused.stage)
                continue
            if owner == key:
                events.append(event)
            else:
                batch.move(record, owner)
        return events

    def _fold_row(
        self, row: Row[Profile], batch: Batch, stream: StreamFold, events: Sequence[ProfileEvent], effects: BatchEffects
    ) -> bool:
        """Fold one profile's events; True when it changed."""
        key = row.key
        if not row.exists and not batch.holds(key):  # else checked when it was made
            for event in events:
                batch.move(event.record, key)
            return False
        position = row.position(batch.source)
        if position >= batch.first:
            events = [event for event in events if event.record.offset > position]
        return bool(events) and self._fold.events(row.data, key.decode(), stream, events, effects)

    async def _write(self, batch: Batch, ready: Sequence[EncodedRow[Profile]], effects: BatchEffects) -> None:
        """Write what was folded so far; after a crash only the records of the others are replayed."""
        batch.refused.sort(key=lambda letter: letter.record.offset)
        await self._table.write_encoded(batch, ready, effects.outputs)
        effects.outputs.clear()

    def _move_row(self, row: Row[Profile], batch: Batch, record: Record, move: Move, effects: BatchEffects) -> bool:
        value, state = self._fold.codec.encode(row.data)
        outputs = len(effects.outputs)
        try:
            changed = self._transfers.apply(row.data, move, effects, record.timestamp)
            encode_row(row, self._fold.codec, self._max_row_bytes)
        except Exception as error:
            row.data = self._fold.codec.decode(row.key, value, state)
            del effects.outputs[outputs:]
            batch.refuse(record, str(error), stage=Stage.FOLD)
            return False
        return changed

    async def _fold_singly(
        self,
        batch: Batch,
        stream: StreamFold,
        by_key: Mapping[bytes, Sequence[Record]],
        suspects: Sequence[bytes],
        effects: BatchEffects,
    ) -> list[EncodedRow[Profile]]:
        """Fold some profiles again from the store, a record at a time, so that only what fails is refused."""
        codec = self._fold.codec
        ready: dict[bytes, EncodedRow[Profile]] = {}
        for key, row in (await self._table.read(batch.partition, suspects)).items():
            position = row.position(batch.source)
            for record in by_key[key]:
                event = _readable(stream, key, record)
                if event is None or record.offset <= position:
                    continue
                value, state = codec.encode(row.data)
                outputs = len(effects.outputs)
                try:
                    if self._fold.events(row.data, key.decode(), stream, [event], effects):
                        ready[key] = self._table.encode(batch, row)
                except Exception as error:
                    row.data = codec.decode(key, value, state)
                    del effects.outputs[outputs:]
                    batch.refuse(record, f"{type(error).__name__}: {error}", stage=Stage.FOLD)
        return list(ready.values())

    def _count(self, effects: BatchEffects, batch: Batch) -> None:
        count = self._metrics.count
        for name, amount in (
            ("cm_streams_profiles_repeated_events_total", effects.repeated),
            ("cm_streams_profiles_ids_forgotten_early_total", effects.forgotten_early),
            ("cm_streams_profiles_forwarded_events_total", effects.forwarded),
            ("cm_streams_profiles_dropped_erased_total", effects.dropped_erased),
        ):
            if amount:
                count(name, amount, topic=batch.topic)
        for name in effects.unconvertible:
            count("cm_streams_profiles_conversion_errors_total", field=name)


def _readable(stream: StreamFold, key: bytes, record: Record) -> ProfileEvent | None:
    """A record's event, when it is of the profile under this key."""
    try:
        owner, event = stream.reader.read(record)
    except UnusableRecord:
        return None
    return event if owner == key else None


def _by_key(records: Sequence[Record]) -> dict[bytes, list[Record]]:
    """Records by their own key, which nearly always is their person's."""
    groups: dict[bytes, list[Record]] = {}
    find = groups.get
    for record in records:
        key = record.key or b""
        group = find(key)
        if group is None:
            groups[key] = [record]
        else:
            group.append(record)
    return groups
