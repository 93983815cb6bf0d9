"""Events and moves into one profile: pure, and the same whatever is repeated, late or comes twice.

An event that was counted before is folded once more without counting: sets, maps and times do not mind, and when the
same unsubscribe is told by webhook and by report, the profile keeps what either of them knows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.cm_profile_change import ProfileChange
from schemas.identity import digest_of, key_of, normalise_email
from streams.batches import Output
from streams.domain.mapping.catalog import Catalog
from streams.domain.mapping.compile import FoldMessage
from streams.domain.mapping.dates import Millis, rfc3339
from streams.profile.counted_ids import DEFAULT_CAP, ENTRY_BYTES, entry, fingerprint, prints_of, remember, seen
from streams.profile.messages import Event, Reader
from streams.profile.move_fold import MoveFold
from streams.profile.moves import Move, output
from streams.profile.row import Profile, ProfileCodec, Ways
from streams.profile.tally import MINUTE_MS, Tally, Topics

_RANK = 1 << 48
"""A stream's rank stands above its offsets in an arrival: within a stream the later record wins a tie."""
_BEFORE_ALL = -1
"""Arrival of an event that was counted already: whatever is there keeps its place on equal times."""
_MANY_EVENTS, _LONG_IDS = 8, 100 * ENTRY_BYTES
"""From here on, all of a row's ids are looked up in a set that is made for the run."""


@dataclass(frozen=True, slots=True)
class StreamFold:
    """How one stream's events are folded."""

    name: str
    rank: int
    fold: FoldMessage
    reader: Reader


class ProfileFold:
    """Folds whatever concerns one profile."""

    def __init__(
        self,
        catalog: Catalog,
        topics: Topics,
        *,
        id_cap: int = DEFAULT_CAP,
        future_tolerance_ms: Millis = 86_400_000,
        erased: Mapping[str, Millis] | None = None,
    ) -> None:
        """`erased`: digests of erased addresses (see `erasures`) and when; live, so it may grow."""
        self._layout = catalog.layout
        self._topics = topics
        self._cap = id_cap
        self._erased = {} if erased is None else erased
        self.codec = ProfileCodec(catalog.version, catalog.layout)
        self.streams = {
            name: StreamFold(name, rank, compiled.fold, Reader(compiled, future_tolerance_ms))
            for rank, (name, compiled) in enumerate(catalog.streams.items())
        }
        self._moves = MoveFold(self, catalog.layout, topics, id_cap)

    def events(self, profile: Profile, address: str, stream: StreamFold, events: Sequence[Event], tally: Tally) -> bool:
        """Fold new events of one stream, in offset order; True when the row must be written."""
        if self._erased and not profile.fields:
            self._recall_erasure(profile, address)
        if profile.ways is not None or self._topics.changes is not None:
            changed = [self._event(profile, address, stream, event, tally) for event in events]
            return any(changed)
        changed_any = False
        fields, fold, refused = profile.fields, stream.fold, tally.unconvertible
        base, ids = stream.rank * _RANK, profile.ids
        prints = prints_of(ids) if len(events) >= _MANY_EVENTS and len(ids) >= _LONG_IDS else None
        fresh: dict[bytes, bytes] = {}
        for event in events:
            message, ms, event_id, record = event.message, event.ms, event.event_id, event.record
            mark = None
            if event_id is not None:
                mark = fingerprint(event_id)
                if mark in fresh or (mark in ids and seen(ids, mark) if prints is None else mark in prints):
                    tally.repeated += 1
                    if fold(fields, message, ms, _BEFORE_ALL, False, address, refused):
                        changed_any = True
                    continue
            if fold(fields, message, ms, base + record.offset, event.counted, address, refused):
                changed_any = True
                if mark is not None:
                    fresh[mark] = entry(mark, record.timestamp // MINUTE_MS)
            if event.old_email is not None:
                known_as = event_id or f"{stream.name}:{tally.partition}:{record.offset}"
                self._leave(address, event.old_email, ms, known_as, tally)
        if fresh:
            profile.ids, early = remember(ids, b"".join(fresh.values()), self._cap)
            tally.forgotten_early += early
        return changed_any

    def _recall_erasure(self, profile: Profile, address: str) -> None:
        """An address without a profile may be an erased person's, whose row is long gone."""
        erased_at = self._erased.get(digest_of(address))
        if erased_at is not None:
            profile.ways = profile.ways or Ways()
            profile.ways.erased_at = max(erased_at, profile.ways.erased_at or erased_at)

    def move(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        """Apply one record of the moves topic; True when the row must be written. Raises ValueError for a bad one.

        `now_ms` is the record's timestamp, so that a replay decides as the first run did.
        """
        return self._moves.apply(profile, move, tally, now_ms)

    def _event(self, profile: Profile, address: str, stream: StreamFold, event: Event, tally: Tally) -> bool:
        """One event, with everything that is rare: former addresses, erasure, changes told."""
        record, ways = event.record, profile.ways
        event_id = event.event_id or f"{stream.name}:{tally.partition}:{record.offset}"
        arrival = stream.rank * _RANK + record.offset
        if ways is not None:
            if ways.erased_at is not None and event.ms <= ways.erased_at:
                tally.dropped_erased += 1
                return False
            here = (event.ms - 1, address)
            at, to = here if ways.moving is not None else ways.next_hop(event.ms - 1) or here
            if to != address or ways.moving is not None:
                value = (record.value or b"").decode()
                follow = Move(
                    "follow",
                    event_id,
                    to,
                    at,
                    stream=stream.name,
                    value=value,
                    timestamp=record.timestamp,
                    arrival=arrival,
                )
                tally.outputs.append(output(self._topics.moves, follow))
                tally.forwarded += 1
                return False
        return self.fold_told(profile, address, stream, event, event.event_id, arrival, tally)

    def fold_told(
        self,
        profile: Profile,
        address: str,
        stream: StreamFold,
        event: Event,
        event_id: str | None,
        arrival: int,
        tally: Tally,
    ) -> bool:
        """Fold one event, and tell the changes when somebody wants to know them."""
        before = profile.fields.public() if self._topics.changes else {}
        mark = None if event_id is None else fingerprint(event_id)
        again = mark is not None and seen(profile.ids, mark)
        if again and profile.ways is not None and profile.ways.to:
            tally.repeated += 1  # it may belong to the profile that left
            return False
        counted = event.counted and not again
        stood = _BEFORE_ALL if again else arrival
        changed = stream.fold(profile.fields, event.message, event.ms, stood, counted, address, tally.unconvertible)
        if again:
            tally.repeated += 1
        else:
            if changed and mark is not None:
                minute = event.record.timestamp // MINUTE_MS
                profile.ids, early = remember(profile.ids, entry(mark, minute), self._cap)
                tally.forgotten_early += early
            known_as = event_id or f"{stream.name}:{tally.partition}:{event.record.offset}"
            self._leave(address, event.old_email, event.ms, known_as, tally)
        if changed and self._topics.changes:
            tally.outputs += self._told_changes(self._topics.changes, profile, before, address, stream, event, tally)
        return changed

    def _told_changes(
        self,
        topic: str,
        profile: Profile,
        before: dict[str, Any],
        address: str,
        stream: StreamFold,
        event: Event,
        tally: Tally,
    ) -> Iterable[Output]:
        old, new = before, profile.fields.public()
        for name in self._layout.fields:
            if old.get(name) != new.get(name):
                change = ProfileChange(
                    event_id=event.event_id,
                    at=datetime.fromisoformat(rfc3339(event.ms)),
                    email=address,
                    field=name,
                    old=old.get(name),
                    new=new.get(name),
                    stream=stream.name,
                    partition=tally.partition,
                    offset=event.record.offset,
                )
                yield Output(topic, key_of(address), change.to_bytes())

    def _leave(self, address: str, old: object, ms: Millis, event_id: str, tally: Tally) -> None:
        """Ask the owner of a former address for the profile."""
        former = normalise_email(old) if isinstance(old, str) else None
        if former is not None and former != address:
            tally.outputs.append(output(self._topics.moves, Move("leave", f"move:{event_id}", former, ms, to=address)))
