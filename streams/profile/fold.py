"""Events and moves into one profile: pure, and the same whatever is repeated, late or comes twice.

An event that was counted before is folded once more without counting: sets, maps and times do not mind, and when the
same unsubscribe is told by webhook and by report, the profile keeps what either of them knows.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from schemas.cm_profile_change import ErasureReceipt, ProfileChange
from schemas.identity import key_of, normalise_email
from streams.batches import Output, StoredRecord
from streams.domain.counting import DEFAULT_CAP, both, fingerprint, remember, seen
from streams.domain.mapping.catalog import Catalog
from streams.domain.mapping.compile import FoldMessage
from streams.domain.mapping.dates import Millis, rfc3339
from streams.domain.mapping.join import join
from streams.profile.messages import Event, Reader
from streams.profile.moves import Move, output, packed, unpacked
from streams.profile.row import Moving, Profile, ProfileCodec, Ways

MINUTE_MS = 60_000
_RANK = 1 << 48
"""A stream's rank stands above its offsets in an arrival: within a stream the later record wins a tie."""
_MOST_WAYS = 32
"""Changes of address that a profile remembers."""
_BEFORE_ALL = -1
"""Arrival of an event that was counted already: whatever is there keeps its place on equal times."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Where outputs go, by their names in use; `changes` None: they are not told."""

    moves: str
    erasures: str
    changes: str | None = None


@dataclass(slots=True)
class Tally:
    """What folding a batch came to, beside the rows."""

    partition: int
    outputs: list[Output] = field(default_factory=list)
    unconvertible: list[str] = field(default_factory=list)
    """Fields whose values could not become their kind."""
    repeated: int = 0
    forgotten_early: int = 0
    forwarded: int = 0
    dropped_erased: int = 0


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
        self, catalog: Catalog, topics: Topics, *, id_cap: int = DEFAULT_CAP, future_tolerance_ms: Millis = 86_400_000
    ) -> None:
        self._layout = catalog.layout
        self._topics = topics
        self._cap = id_cap
        self.codec = ProfileCodec(catalog.version, tuple(catalog.layout.fields), catalog.layout.slots)
        self.streams = {
            name: StreamFold(name, rank, compiled.fold, Reader(compiled, future_tolerance_ms))
            for rank, (name, compiled) in enumerate(catalog.streams.items())
        }

    def events(self, profile: Profile, address: str, stream: StreamFold, events: Sequence[Event], tally: Tally) -> bool:
        """Fold new events of one stream, in offset order; True when the row must be written."""
        if profile.ways is not None or self._topics.changes is not None:
            changed = [self._event(profile, address, stream, event, tally) for event in events]
            return any(changed)
        changed_any = False
        public, hidden, fold, refused = profile.public, profile.hidden, stream.fold, tally.unconvertible
        base = stream.rank * _RANK
        for message, ms, shown, event_id, counted, record in events:
            mark = None
            if event_id is not None:
                mark = fingerprint(event_id)
                if seen(profile.ids, mark):
                    tally.repeated += 1
                    if fold(public, hidden, message, ms, shown, [ms, _BEFORE_ALL], False, address, refused):
                        changed_any = True
                    continue
            stamp = [ms, base + record.offset]
            if fold(public, hidden, message, ms, shown, stamp, counted, address, refused):
                changed_any = True
                if mark is not None:
                    profile.ids, early = remember(profile.ids, mark, record.timestamp // MINUTE_MS, self._cap)
                    tally.forgotten_early += early
            if "old_email" in message:
                self._leave(
                    address,
                    message["old_email"],
                    ms,
                    event_id or f"{stream.name}:{tally.partition}:{record.offset}",
                    tally,
                )
        return changed_any

    def move(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        """Apply one record of the moves topic; True when the row must be written. Raises ValueError for a bad one.

        `now_ms` is the record's timestamp, so that a replay decides as the first run did.
        """
        match move.kind:
            case "leave":
                return self._take_leave(profile, move, tally)
            case "seal":
                return self._hand_over(profile, move, tally)
            case "arrive":
                return self._arrive(profile, move, tally, now_ms)
            case "follow":
                return self._follow(profile, move, tally)
        return self._erase(profile, move, tally, now_ms)

    def _event(self, profile: Profile, address: str, stream: StreamFold, event: Event, tally: Tally) -> bool:
        """One event, with everything that is rare: former addresses, erasure, changes told."""
        record, ways = event.record, profile.ways
        event_id = event.event_id or f"{stream.name}:{tally.partition}:{record.offset}"
        arrival = stream.rank * _RANK + record.offset
        if ways is not None:
            if ways.erased_at is not None and event.ms <= ways.erased_at:
                tally.dropped_erased += 1
                return False
            hop = ways.next_hop(event.ms - 1)
            if hop is not None or ways.moving is not None:
                at, to = hop or (event.ms - 1, address)
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
        return self._fold_told(profile, address, stream, event, event.event_id, arrival, tally)

    def _fold_told(
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
        before = orjson.dumps(profile.public) if self._topics.changes else b""
        mark = None if event_id is None else fingerprint(event_id)
        again = mark is not None and seen(profile.ids, mark)
        stamp = [event.ms, _BEFORE_ALL if again else arrival]
        counted = event.counted and not again
        changed = stream.fold(
            profile.public,
            profile.hidden,
            event.message,
            event.ms,
            event.shown,
            stamp,
            counted,
            address,
            tally.unconvertible,
        )
        if again:
            tally.repeated += 1
        else:
            if changed and mark is not None:
                minute = event.record.timestamp // MINUTE_MS
                profile.ids, early = remember(profile.ids, mark, minute, self._cap)
                tally.forgotten_early += early
            old = event.message.get("old_email")
            self._leave(
                address, old, event.ms, event_id or f"{stream.name}:{tally.partition}:{event.record.offset}", tally
            )
        if changed and self._topics.changes:
            tally.outputs += self._told_changes(self._topics.changes, profile, before, address, stream, event, tally)
        return changed

    def _told_changes(
        self,
        topic: str,
        profile: Profile,
        before: bytes,
        address: str,
        stream: StreamFold,
        event: Event,
        tally: Tally,
    ) -> Iterable[Output]:
        old, new = orjson.loads(before), profile.public
        for name in self._layout.fields:
            if old.get(name) != new.get(name):
                change = ProfileChange(
                    event_id=event.event_id,
                    at=datetime.fromisoformat(event.shown),
                    email=address,
                    field=name,
                    old=old.get(name),
                    new=new.get(name),
                    stream=stream.name,
                    partition=tally.partition,
                    offset=event.record.offset,
                )
                yield Output(topic, key_of(address), change.to_bytes())

    # -- changes of address

    def _leave(self, address: str, old: object, ms: Millis, event_id: str, tally: Tally) -> None:
        """Ask the owner of a former address for the profile."""
        former = normalise_email(old) if isinstance(old, str) else None
        if former is not None and former != address:
            tally.outputs.append(output(self._topics.moves, Move("leave", f"move:{event_id}", former, ms, to=address)))

    def _take_leave(self, profile: Profile, move: Move, tally: Tally) -> bool:
        if not move.to or move.to == move.email:
            return False
        ways = profile.ways or Ways()
        newest = max([at for at, _ in ways.to] + ([ways.moving.at] if ways.moving else []), default=None)
        if (move.at, move.to) in ways.to or (ways.moving is not None and ways.moving.id == move.id):
            return False
        if ways.moving is not None and ways.moving.at < move.at:
            tally.outputs.append(output(self._topics.moves, move))  # after the move that is under way
            return False
        profile.ways = ways
        if not profile.public or (newest is not None and newest >= move.at):
            _add_way(ways, move.at, move.to)
            return True
        ways.moving = Moving(move.id, move.to, move.at)
        tally.outputs.append(output(self._topics.moves, Move("seal", move.id, move.email, move.at)))
        return True

    def _hand_over(self, profile: Profile, move: Move, tally: Tally) -> bool:
        ways = profile.ways
        if ways is None or ways.moving is None or ways.moving.id != move.id:
            return False
        moving = ways.moving
        arrive = Move("arrive", moving.id, moving.to, moving.at, profile=packed(profile, move.email))
        tally.outputs.append(output(self._topics.moves, arrive))
        self._forget(profile)
        profile.ways = Ways(ways.to, [], None, ways.erased_at)
        _add_way(profile.ways, moving.at, moving.to)
        return True

    def _arrive(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        mark = fingerprint(move.id)
        if seen(profile.ids, mark):
            return False
        if self._passed_on(profile, move, tally):
            return False
        if profile.ways is not None and profile.ways.erased_at is not None and move.at <= profile.ways.erased_at:
            tally.dropped_erased += 1
            return False
        public, hidden, ids, came_from = unpacked(move.profile or {})
        join(self._layout, profile.public, profile.hidden, public, hidden, move.email)
        joined = both(profile.ids, ids, self._cap)
        profile.ids, early = remember(joined.ids, mark, now_ms // MINUTE_MS, self._cap)
        tally.forgotten_early += early + joined.forgotten_early
        profile.ways = profile.ways or Ways()
        known = dict.fromkeys([*profile.ways.came_from, *came_from])
        known.pop(move.email, None)
        profile.ways.came_from = list(known)[-_MOST_WAYS:]
        return True

    def _follow(self, profile: Profile, move: Move, tally: Tally) -> bool:
        stream = self.streams.get(move.stream)
        if stream is None:
            raise ValueError(f"an event of stream {move.stream}, which is not mapped")
        _, event = stream.reader.read(StoredRecord(move.arrival % _RANK, None, move.value.encode(), move.timestamp))
        ways = profile.ways
        if ways is not None and ways.erased_at is not None and event.ms <= ways.erased_at:
            tally.dropped_erased += 1
            return False
        if self._passed_on(profile, move, tally):
            return False
        return self._fold_told(profile, move.email, stream, event, move.id, move.arrival, tally)

    def _passed_on(self, profile: Profile, move: Move, tally: Tally) -> bool:
        """Send what travels to the next address, or once round while this row is being handed over."""
        if profile.ways is None:
            return False
        hop = profile.ways.next_hop(move.at)
        if hop is None and profile.ways.moving is None:
            return False
        at, to = hop or (move.at, move.email)
        said = {name: getattr(move, name) for name in Move.__slots__}
        tally.outputs.append(output(self._topics.moves, Move(**{**said, "at": at, "email": to})))
        tally.forwarded += 1
        return True

    # -- erasure

    def _erase(self, profile: Profile, move: Move, tally: Tally, now_ms: Millis) -> bool:
        ways = profile.ways or Ways()
        known = bool(profile.public or ways.to or ways.came_from or ways.moving)
        others = [*ways.came_from, *(to for _, to in ways.to), *([ways.moving.to] if ways.moving else [])]
        visited = {*move.visited, move.email}
        for other in dict.fromkeys(others):
            if other not in visited:
                further = Move("erase", move.id, other, move.at, visited=(*sorted(visited), *others))
                tally.outputs.append(output(self._topics.moves, further))
        if not move.visited:
            receipt = ErasureReceipt(
                request_id=move.id,
                email_sha256=hashlib.sha256(move.email.encode()).hexdigest(),
                outcome="erased" if known else "unknown",
                requested_at=rfc3339(move.at),
                erased_at=rfc3339(now_ms),
            )
            tally.outputs.append(Output(self._topics.erasures, move.id.encode(), receipt.to_bytes()))
        self._forget(profile)
        profile.ways = Ways(erased_at=max(move.at, ways.erased_at or move.at))
        return True

    def _forget(self, profile: Profile) -> None:
        empty = self.codec.empty()
        profile.public, profile.hidden, profile.ids, profile.in_order = empty.public, empty.hidden, b"", 0


def _add_way(ways: Ways, at: Millis, to: str) -> None:
    ways.to = sorted({*ways.to, (at, to)})[-_MOST_WAYS:]
