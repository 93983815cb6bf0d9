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

import structlog

from schemas.dead_letter import Stage
from schemas.identity import key_of
from streams.batches import Batch, BatchTable, Metrics, Output, Record, Row, RowTooLarge
from streams.batches.folding import seal
from streams.batches.partitioning import partition_of
from streams.profile.fold import ProfileFold, StreamFold
from streams.profile.messages import ORIGIN_HEADER, Event, Refused
from streams.profile.moves import Move, read_move
from streams.profile.row import Profile
from streams.profile.tally import Tally

log = structlog.get_logger(__name__)

Rows = dict[bytes, Row[Profile]]
SHARE = 500
"""Profiles folded at a stretch, before others get their turn. Each is read, folded and encoded in one go: its many
small objects and its messages are fetched into the processor's cache once."""


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
        tally = Tally(batch.partition)
        rows: Rows = {}
        changed: Rows = {}
        suspect: set[bytes] = set()
        strays: dict[bytes, list[Event]] = {}  # under another key than their person's
        by_key = _by_key(batch.records)
        keys = list(by_key)
        wants = self._table.wants(batch.partition)
        for start in range(0, len(keys), SHARE):
            part = keys[start : start + SHARE]
            rows |= await self._table.read(batch.partition, part)
            for key in part:
                for owner, events in self._read(batch, stream, by_key[key]).items():
                    if owner == key:
                        self._fold_group(rows[key], batch, stream, events, tally, changed, suspect)
                    else:
                        strays.setdefault(owner, []).extend(events)
                if not wants(key) and key in changed:
                    self._spend(changed[key])
            await asyncio.sleep(0)
        if strays:
            rows |= await self._table.read(batch.partition, [key for key in strays if key not in rows])
            for key, events in strays.items():
                self._unspend(rows[key])
                self._fold_group(rows[key], batch, stream, events, tally, changed, suspect)
        batch.refused.sort(key=lambda letter: letter.record.offset)
        if suspect:
            changed |= await self._one_by_one(batch, stream, suspect, tally)
        try:
            await self._table.write(batch, changed.values(), tally.outputs)
        except RowTooLarge:
            large = {key for key, row in changed.items() if self._is_too_large(row)}
            changed = {key: row for key, row in changed.items() if key not in large}
            changed |= await self._one_by_one(batch, stream, large, tally)
            await self._table.write(batch, changed.values(), tally.outputs)
        self._count(tally, batch)

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

    def _read(self, batch: Batch, stream: StreamFold, records: Sequence[Record]) -> dict[bytes, list[Event]]:
        """Events by profile, in offset order; what cannot be used is refused."""
        groups: dict[bytes, list[Event]] = {}
        read, find = stream.reader.read, groups.get
        for record in records:
            try:
                key, event = read(record)
            except Refused as refused:
                batch.refuse(record, refused.reason, stage=refused.stage)
                continue
            known = find(key)
            if known is None:
                groups[key] = [event]
            else:
                known.append(event)
        return groups

    def _fold_group(
        self,
        row: Row[Profile],
        batch: Batch,
        stream: StreamFold,
        events: Sequence[Event],
        tally: Tally,
        changed: Rows,
        suspect: set[bytes],
    ) -> None:
        """Fold one profile's events; when that raises, it is judged later, record by record."""
        key = row.key
        try:
            if not self._is_here(row, batch):
                self._send_home(batch, key, events, tally)
            elif key not in suspect and self._fold_row(row, batch, stream, events, tally):
                self._fold.codec.encode_ahead(row.data)
                changed[key] = row
        except Exception:
            log.warning("fold failed", topic=batch.topic, partition=batch.partition, exc_info=True)
            suspect.add(key)
            changed.pop(key, None)

    def _spend(self, row: Row[Profile]) -> None:
        self._fold.codec.spend(row.data)
        row.spent = row.data.spent

    def _unspend(self, row: Row[Profile]) -> None:
        if row.spent:
            row.data, row.spent = self._fold.codec.restored(row.key, row.data), False

    def _fold_row(
        self, row: Row[Profile], batch: Batch, stream: StreamFold, events: Sequence[Event], tally: Tally
    ) -> bool:
        position = row.position(batch.source)
        if position >= batch.first:
            events = [event for event in events if event.record.offset > position]
        return self._fold.events(row.data, row.key.decode(), stream, events, tally)

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

    def _is_here(self, row: Row[Profile], batch: Batch) -> bool:
        """Whether the profile lives in this partition; one that exists has been judged before."""
        return row.exists or partition_of(row.key, self._partitions) == batch.partition

    def _send_home(self, batch: Batch, key: bytes, events: Sequence[Event], tally: Tally) -> None:
        """Publish records again whose person lives in another partition, under that person's key."""
        for record in (event.record for event in events):
            origin = f"{batch.topic}/{batch.partition}/{record.offset}".encode()
            tally.outputs.append(Output(batch.topic, key, record.value, [*record.headers, (ORIGIN_HEADER, origin)]))
        self._metrics.count("profiles_rekeyed_total", len(events), topic=batch.topic)

    async def _one_by_one(self, batch: Batch, stream: StreamFold, keys: set[bytes], tally: Tally) -> Rows:
        """Fold some profiles again from the store, a record at a time, so that only what fails is refused."""
        codec = self._fold.codec
        changed: Rows = {}
        stored = await self._table.read(batch.partition, keys)
        unread = {(letter.record.offset) for letter in batch.refused}
        records = [record for record in batch.records if record.offset not in unread]
        for key, events in self._read(batch, stream, records).items():
            if key not in keys:
                continue
            row = stored[key]
            for event in events:
                value, state = codec.encode(row.data)
                outputs = len(tally.outputs)
                try:
                    if self._fold_row(row, batch, stream, [event], tally):
                        changed[key] = row
                    seal(row, codec, self._max_row_bytes)
                except Exception as error:
                    row.data = codec.decode(key, value, state)
                    del tally.outputs[outputs:]
                    batch.refuse(event.record, f"{type(error).__name__}: {error}", stage=Stage.FOLD)
        return changed

    def _is_too_large(self, row: Row[Profile]) -> bool:
        try:
            seal(row, self._fold.codec, self._max_row_bytes)
        except RowTooLarge:
            return True
        return False

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
        for field in tally.unconvertible:
            count("profiles_conversion_errors_total", field=field)


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
