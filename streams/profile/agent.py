"""`cm_user`, `cm_activity`, added streams and moves -> `cm_profile`: effects in an order that a crash cannot hurt.

    1 what cannot be used is kept as a dead letter                 \
    2 records of other partitions' people, moves and changes go out | (by the table's write, in this order)
    3 changed rows are in the changelog, which is the profile topic |
    4 then in the store                                            /
    5 the range settles

A crash before 3 replays the records: what went out may go out again in the same words, and is known by its id. From 3
on the rows know the records. Rows that did not change are not written: folding into them again changes nothing either.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from schemas.dead_letter import Stage
from schemas.identity import key_of
from streams.batches import Batch, BatchTable, Metrics, Output, Record, Row, RowTooLarge
from streams.batches.folding import ReadyRow, seal
from streams.batches.partitioning import partition_of
from streams.profile.fold import ProfileFold, StreamFold
from streams.profile.messages import ORIGIN_HEADER, Event, Refused
from streams.profile.moves import Move, read_move
from streams.profile.row import Profile
from streams.profile.tally import Tally

log = structlog.get_logger(__name__)

Ready = dict[bytes, ReadyRow[Profile]]
"""Profiles that changed, sealed, by key."""
SHARE = 500
"""Profiles folded at a stretch, before others get their turn. Each is read, folded and encoded in one go: its many
small objects and its messages are fetched into the processor's cache once."""


@dataclass(slots=True)
class _Work:
    """One batch, and how far it is."""

    batch: Batch
    stream: StreamFold
    tally: Tally
    ready: Ready = field(default_factory=dict)
    strays: dict[bytes, list[Event]] = field(default_factory=dict)
    """Events under another key than their person's, by the person's."""
    suspect: set[bytes] = field(default_factory=set)
    """Profiles whose folding raised."""
    folded_in: dict[bytes, int] = field(default_factory=dict)
    """Of profiles that know records of this batch already: up to which offset."""


class ProfileAgent:
    """Folds batches of records into profiles."""

    def __init__(
        self, table: BatchTable[Profile], fold: ProfileFold, metrics: Metrics, *, partitions: int, max_row_bytes: int
    ) -> None:
        self._table = table
        self._fold = fold
        self._metrics = metrics
        self._partitions = partitions
        self._max_row_bytes = max_row_bytes

    async def events(self, batch: Batch, stream: StreamFold) -> None:
        """Fold a batch of one stream."""
        work = _Work(batch, stream, Tally(batch.partition))
        ready, strays = work.ready, work.strays
        by_key = _by_key(batch.records)
        wants = self._table.wants(batch.partition)
        keys = list(by_key)
        for start in range(0, len(keys), SHARE):
            rows = await self._table.read(batch.partition, keys[start : start + SHARE])
            for key, row in rows.items():
                events = self._read(work, key, by_key[key])
                if events:
                    self._fold_group(work, row, events)
                    if not wants(key) and key in ready:
                        row.spend()
            await asyncio.sleep(0)
        if strays:
            rows = await self._table.read(batch.partition, [key for key in strays if key not in ready])
            for key, events in strays.items():
                self._fold_group(work, self._table.unseal(ready[key]) if key in ready else rows[key], events)
        batch.refused.sort(key=lambda letter: letter.record.offset)
        if work.suspect:
            await self._one_by_one(work)
        await self._table.write_sealed(batch, list(ready.values()), work.tally.outputs)
        self._count(work.tally, batch)

    async def moves(self, batch: Batch) -> None:
        """Apply a batch of moves."""
        tally = Tally(batch.partition)
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
            last = row.position(batch.source)
            applied = [
                self._move_row(row, batch, record, move, tally) for record, move in moves if record.offset > last
            ]
            if any(applied):
                changed.append(row)
        await self._table.write(batch, changed, tally.outputs)
        self._count(tally, batch)

    def _read(self, work: _Work, key: bytes, records: Sequence[Record]) -> list[Event]:
        """Events of the profile under this key, in offset order; what is somebody else's is a stray, and what cannot
        be used is refused."""
        events: list[Event] = []
        read = work.stream.reader.read
        for record in records:
            try:
                owner, event = read(record)
            except Refused as refused:
                work.batch.refuse(record, refused.reason, stage=refused.stage)
                continue
            if owner == key:
                events.append(event)
            else:
                work.strays.setdefault(owner, []).append(event)
        return events

    def _fold_group(self, work: _Work, row: Row[Profile], events: Sequence[Event]) -> None:
        """Fold one profile's events and seal it; when that raises, it is judged later, record by record."""
        key, batch = row.key, work.batch
        try:
            if not row.exists and partition_of(key, self._partitions) != batch.partition:  # judged when it was made
                self._send_home(batch, key, events, work.tally)
                return
            if key in work.suspect:
                return
            if key not in work.ready:
                position = row.position(batch.source)
                if position >= batch.first:
                    work.folded_in[key] = position
            if key in work.folded_in:
                events = [event for event in events if event.record.offset > work.folded_in[key]]
            if self._fold.events(row.data, key.decode(), work.stream, events, work.tally):
                work.ready[key] = self._table.seal(batch, row)
        except Exception as error:
            if not isinstance(error, RowTooLarge):
                log.warning("fold failed", topic=batch.topic, partition=batch.partition, exc_info=True)
            work.suspect.add(key)
            work.ready.pop(key, None)

    def _move_row(self, row: Row[Profile], batch: Batch, record: Record, move: Move, tally: Tally) -> bool:
        value, state = self._fold.codec.encode(row.data)
        outputs = len(tally.outputs)
        try:
            changed = self._fold.move(row.data, move, tally, record.timestamp)
            seal(row, self._fold.codec, self._max_row_bytes)
        except (ValueError, KeyError, TypeError, Refused, RowTooLarge) as error:
            row.data = self._fold.codec.decode(row.key, value, state)
            del tally.outputs[outputs:]
            batch.refuse(record, str(error), stage=Stage.FOLD)
            return False
        return changed

    def _send_home(self, batch: Batch, key: bytes, events: Sequence[Event], tally: Tally) -> None:
        """Publish records again whose person lives in another partition, under that person's key."""
        for record in (event.record for event in events):
            origin = f"{batch.topic}/{batch.partition}/{record.offset}".encode()
            tally.outputs.append(Output(batch.topic, key, record.value, [*record.headers, (ORIGIN_HEADER, origin)]))
        self._metrics.count("profiles_rekeyed_total", len(events), topic=batch.topic)

    async def _one_by_one(self, work: _Work) -> None:
        """Fold the suspects again from the store, a record at a time, so that only what fails is refused."""
        batch, codec, outputs = work.batch, self._fold.codec, work.tally.outputs
        unread = {letter.record.offset for letter in batch.refused}
        again = _Work(batch, work.stream, work.tally)
        self._read(again, b"", [record for record in batch.records if record.offset not in unread])
        for key, row in (await self._table.read(batch.partition, work.suspect)).items():
            position = row.position(batch.source)
            for event in again.strays[key]:
                if event.record.offset <= position:
                    continue
                value, state = codec.encode(row.data)
                told = len(outputs)
                try:
                    if self._fold.events(row.data, key.decode(), work.stream, [event], work.tally):
                        work.ready[key] = self._table.seal(batch, row)
                except Exception as error:
                    row.data = codec.decode(key, value, state)
                    del outputs[told:]
                    batch.refuse(event.record, f"{type(error).__name__}: {error}", stage=Stage.FOLD)

    def _count(self, tally: Tally, batch: Batch) -> None:
        count = self._metrics.count
        for name, amount in (
            ("profiles_repeated_events_total", tally.repeated),
            ("profiles_ids_forgotten_early_total", tally.forgotten_early),
            ("profiles_forwarded_events_total", tally.forwarded),
            ("profiles_dropped_erased_total", tally.dropped_erased),
        ):
            if amount:
                count(name, amount, topic=batch.topic)
        for name in tally.unconvertible:
            count("profiles_conversion_errors_total", field=name)


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
