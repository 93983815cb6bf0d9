"""Events into one profile, and what a batch comes to beside the rows. Pure, and the same whatever is late or repeated.

An event that was counted before is folded again without counting: sets, maps and times do not change by it, and when
the same unsubscribe is reported by webhook and by report, the profile keeps what either of them has. An echo, our own
write coming back, says nothing about what the person did: it changes no field. It is marked, or is a removal that the
export published before (`removals`). A repeat, which an import has read again on request, is folded without counting,
and its id is not kept: if it is new, it comes unmarked as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.cm_profile import ProfileChange
from schemas.envelope import EpochMillis
from schemas.identity import digest_of, key_of, normalise_email
from streams.batches import Output
from streams.mapping.catalog import Catalog
from streams.mapping.compile.compiler import FoldMessage
from streams.mapping.dates import rfc3339
from streams.profile.folding.events import ProfileEvent, Reader
from streams.profile.folding.moves import Move, move_output
from streams.profile.folding.removals import is_removal, removal_of, with_removals
from streams.profile.folding.row import (
    DEFAULT_CAP,
    ENTRY_BYTES,
    AddressHistory,
    Profile,
    ProfileCodec,
    entry,
    fingerprint,
    prints_of,
    remember,
    seen,
)

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ProfileTopics:
    """Where outputs go, by the topics' names in use; None: they are not published.

    `memberships` has the commands for the export's table, which learns of erasures from there.
    """

    moves: str
    erasures: str
    changes: str | None = None
    memberships: str | None = None


@dataclass(slots=True)
class BatchEffects:
    """What folding a batch came to, beside the rows."""

    partition: int
    outputs: list[Output] = field(default_factory=list)
    unconvertible: list[str] = field(default_factory=list)
    """Fields whose values could not become their kind."""
    repeated: int = 0
    forgotten_early: int = 0
    forwarded: int = 0
    dropped_erased: int = 0
    frozen: set[str] = field(default_factory=set)
    """Moves whose rows were frozen in this batch: that is not durable yet."""


STREAM_RANK = 1 << 48
"""An arrival is a stream's rank times this plus the offset: within a stream the later record wins a tie."""
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
    """Folds the events of one profile; transfers and erasures are folded by `transfers`."""

    def __init__(
        self,
        catalog: Catalog,
        topics: ProfileTopics,
        *,
        id_cap: int = DEFAULT_CAP,
        future_tolerance_ms: EpochMillis = 86_400_000,
        erased: Mapping[str, EpochMillis] | None = None,
    ) -> None:
        """`erased`: digests of erased addresses (see `erasures`) and when; live, so it may grow."""
        self.layout = catalog.layout
        self.topics = topics
        self.id_cap = id_cap
        self._erased = {} if erased is None else erased
        self.codec = ProfileCodec(catalog.version, catalog.layout)
        self.streams = {
            name: StreamFold(name, rank, compiled.fold, Reader(compiled, future_tolerance_ms))
            for rank, (name, compiled) in enumerate(catalog.streams.items())
        }

    def events(
        self, profile: Profile, address: str, stream: StreamFold, events: Sequence[ProfileEvent], effects: BatchEffects
    ) -> bool:
        """Fold new events of one stream, in offset order; True when the row must be written."""
        if self._erased and not profile.fields:
            self._recall_erasure(profile, address)
        if profile.history is not None or self.topics.changes is not None:
            changed = [self._event(profile, address, stream, event, effects) for event in events]
            return any(changed)
        changed_any = False
        fields, fold, refused = profile.fields, stream.fold, effects.unconvertible
        base, ids = stream.rank * STREAM_RANK, profile.ids
        prints = prints_of(ids) if len(events) >= _MANY_EVENTS and len(ids) >= _LONG_IDS else None
        fresh: dict[bytes, bytes] = {}
        for event in events:
            message, ms, event_id, record = event.message, event.ms, event.event_id, event.record
            mark = None
            if event.echo:
                changed_any |= self._echo(profile, address, stream, event, effects)
                continue
            if profile.removals and is_removal(profile.removals, stream.name, event):
                continue
            if event_id is not None:
                mark = fingerprint(event_id)
                if mark in fresh or (mark in ids and seen(ids, mark) if prints is None else mark in prints):
                    effects.repeated += 1
                    if fold(fields, message, ms, _BEFORE_ALL, False, address, refused):
                        changed_any = True
                    continue
            if fold(fields, message, ms, base + record.offset, not event.repeat, address, refused):
                changed_any = True
                if mark is not None and not event.repeat:
                    fresh[mark] = entry(mark, record.timestamp // MINUTE_MS)
            if event.old_email is not None:
                self._request_transfer(address, stream, event, effects)
        if fresh:
            profile.ids, early = remember(ids, b"".join(fresh.values()), self.id_cap)
            effects.forgotten_early += early
        return changed_any

    def _echo(
        self, profile: Profile, address: str, stream: StreamFold, event: ProfileEvent, effects: BatchEffects
    ) -> bool:
        """Keep a removal, or what the echo reports of an address that we changed; True when the row must be written."""
        self._request_transfer(address, stream, event, effects)
        removal = removal_of(stream.name, event)
        if removal is None or removal in profile.removals:
            return False
        profile.removals = with_removals(profile.removals, (removal,))
        return True

    def _recall_erasure(self, profile: Profile, address: str) -> None:
        """An address without a profile may be an erased person's, whose tombstone has been compacted away."""
        erased_at = self._erased.get(digest_of(address))
        if erased_at is not None:
            profile.history = profile.history or AddressHistory()
            profile.history.erased_at = max(erased_at, profile.history.erased_at or erased_at)

    def _event(
        self, profile: Profile, address: str, stream: StreamFold, event: ProfileEvent, effects: BatchEffects
    ) -> bool:
        """One event, with everything that is rare: former addresses, erasure, published changes."""
        record, history = event.record, profile.history
        event_id = event.event_id or f"{stream.name}:{effects.partition}:{record.offset}"
        arrival = stream.rank * STREAM_RANK + record.offset
        if history is not None:
            if history.erased_at is not None and event.ms <= history.erased_at:
                effects.dropped_erased += 1
                return False
            here = (event.ms - 1, address)
            at, to = here if history.transfer is not None else history.next_hop(event.ms - 1) or here
            if to != address or history.transfer is not None:
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
                effects.outputs.append(move_output(self.topics.moves, follow))
                effects.forwarded += 1
                return False
        return self.fold_event(profile, address, stream, event, event.event_id, arrival, effects)

    def fold_event(
        self,
        profile: Profile,
        address: str,
        stream: StreamFold,
        event: ProfileEvent,
        event_id: str | None,
        arrival: int,
        effects: BatchEffects,
    ) -> bool:
        """Fold one event, and publish the changes where a topic for them is set; True when the row must be written."""
        if event.echo:
            return self._echo(profile, address, stream, event, effects)
        if profile.removals and is_removal(profile.removals, stream.name, event):
            return False
        before = profile.fields.public() if self.topics.changes else {}
        mark = None if event_id is None else fingerprint(event_id)
        again = mark is not None and seen(profile.ids, mark)
        if again and profile.history is not None and profile.history.moved_to:
            effects.repeated += 1  # it may belong to the profile that was moved to another address
            return False
        stamp = _BEFORE_ALL if again else arrival
        counts = not again and not event.repeat
        changed = stream.fold(profile.fields, event.message, event.ms, stamp, counts, address, effects.unconvertible)
        if again:
            effects.repeated += 1
        else:
            if changed and mark is not None and not event.repeat:
                minute = event.record.timestamp // MINUTE_MS
                profile.ids, early = remember(profile.ids, entry(mark, minute), self.id_cap)
                effects.forgotten_early += early
            self._request_transfer(address, stream, event, effects)
        if changed and self.topics.changes:
            effects.outputs += self._change_records(
                self.topics.changes, profile, before, address, stream, event, effects
            )
        return changed

    def _change_records(
        self,
        topic: str,
        profile: Profile,
        before: dict[str, Any],
        address: str,
        stream: StreamFold,
        event: ProfileEvent,
        effects: BatchEffects,
    ) -> Iterable[Output]:
        old, new = before, profile.fields.public()
        for name in self.layout.fields:
            if old.get(name) != new.get(name):
                change = ProfileChange(
                    event_id=event.event_id,
                    at=datetime.fromisoformat(rfc3339(event.ms)),
                    email=address,
                    field=name,
                    old=old.get(name),
                    new=new.get(name),
                    stream=stream.name,
                    partition=effects.partition,
                    offset=event.record.offset,
                )
                yield Output(topic, key_of(address), change.to_bytes())

    def _request_transfer(self, address: str, stream: StreamFold, event: ProfileEvent, effects: BatchEffects) -> None:
        """Ask the owner of a former address for the profile."""
        former = normalise_email(event.old_email) if isinstance(event.old_email, str) else None
        if former is not None and former != address:
            known_as = event.event_id or f"{stream.name}:{effects.partition}:{event.record.offset}"
            leave = Move("leave", f"move:{known_as}", former, event.ms, to=address)
            effects.outputs.append(move_output(self.topics.moves, leave))
