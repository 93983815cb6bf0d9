"""How a new value meets the old one. Each of these is a monoid: order, pieces and repetition do not matter.

The mapped fields of a profile are two parts, `public` and `hidden` (see `stored`).

A stamp is [message time, arrival]: on equal times the later arrival wins, and arrival is the record's place in its
topic, so folding again in any order decides the same. Maps are kept in the order of their keys' times, oldest first:
that is the order in which a full map evicts them, and it does not depend on the order of folding either.

This is the reference, to be read; `native` holds the same fields in a third of the memory, where it could be compiled,
and tests prove that both give the same bytes and refuse the same parts.
"""

from bisect import bisect_left
from typing import Any

import orjson

from schemas.envelope import EpochMillis
from schemas.identity import domain_of
from streams.mapping.dates import rfc3339
from streams.mapping.fields.layout import FoldMode, Hidden, Layout, ProfileField, Public, check_stored
from streams.mapping.kinds import INT_MAX, INT_MIN, FieldKind

Arrival = int
"""A record's place in its topic, below its stream's rank."""


class Shape:
    """What all profiles of one layout have in common. Fields are named by their number in the layout."""

    def __init__(self, layout: Layout) -> None:
        self.fields: list[ProfileField] = list(layout.fields.values())
        self.slots = layout.slots


class Fields:
    """The mapped fields of one profile."""

    __slots__ = ("_fields", "_hidden", "_in_order", "_public", "changed")

    def __init__(self, shape: Shape, public: Public | None = None, hidden: Hidden | None = None) -> None:
        """`public` and `hidden`: as `public()` and `hidden()` returned them once. Raises FieldsError for others."""
        if public is not None or hidden is not None:
            check_stored(shape.fields, shape.slots, public, hidden)
        self._fields = shape.fields
        self._public = public or {}
        self._hidden = hidden or [None] * shape.slots
        self._in_order = len(self._public)
        self.changed = False
        """Set by whatever changes a field; reset by the caller who wants to know of the next change."""

    def __bool__(self) -> bool:
        return bool(self._public)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fields):
            return NotImplemented
        return (self.public_json(), self.hidden_json()) == (other.public_json(), other.hidden_json())

    __hash__ = None  # type: ignore[assignment]

    def public(self) -> Public:
        """Return what readers see, fields in the layout's order. A copy."""
        shown: Public = orjson.loads(self.public_json() or b"{}")
        return shown

    def hidden(self) -> Hidden:
        """Return what folding needs besides. A copy."""
        known: Hidden = orjson.loads(self.hidden_json())
        return known

    def public_json(self) -> bytes | None:
        """Return what readers see as JSON; None where there is nothing."""
        if len(self._public) != self._in_order:
            self._public = {
                field.name: self._public[field.name] for field in self._fields if field.name in self._public
            }
            self._in_order = len(self._public)
        # A copy, because orjson returns its whole work buffer: thousands of them wait to be written.
        return bytes(memoryview(orjson.dumps(self._public))) if self._public else None

    def hidden_json(self) -> bytes:
        """Return what folding needs besides as JSON."""
        return orjson.dumps(self._hidden)

    def has(self, number: int) -> bool:
        """Whether the field has a value."""
        return self._fields[number].name in self._public

    def identify(self, number: int, text: str) -> None:
        """Set a field that follows from the profile's key."""
        name = self._fields[number].name
        if self._public.get(name) != text:
            self._public[name] = text
            self.changed = True

    def latest(self, number: int, value: Any, ms: EpochMillis, arrival: Arrival) -> None:
        """Keep the value of the latest message."""
        field, stamp = self._fields[number], [ms, arrival]
        known = self._hidden[field.slot]
        if known is None or stamp > known:
            self._hidden[field.slot] = stamp
            self._public[field.name] = value
            self.changed = True

    def latest_text(self, number: int, value: Any, ms: EpochMillis, arrival: Arrival) -> bool:
        """As `latest`, for a text that is not empty; False when it is no text at all."""
        if value.__class__ is not str:
            return False
        if value:
            self.latest(number, value, ms, arrival)
        return True

    def add(self, number: int, by: int = 1) -> None:
        """Add to a count."""
        name = self._fields[number].name
        self._public[name] = bounded(self._public.get(name, 0) + by)
        self.changed = True

    def extreme(self, number: int, value: Any) -> None:
        """Keep the smallest or the largest value; a date's is in milliseconds."""
        field = self._fields[number]
        known = self._hidden[field.slot]
        if known is None or (value < known if field.fold is FoldMode.MIN else value > known):
            self._hidden[field.slot] = value
            self._public[field.name] = rfc3339(value) if field.kind is FieldKind.DATE else value
            self.changed = True

    def insert(self, number: int, text: Any, ms: EpochMillis) -> bool:
        """Add a text that is not empty to a set; False when it is no text at all.

        A full set evicts the text that was not seen for longest, and any set those older than its field keeps.
        """
        if text.__class__ is not str:
            return False
        if not text:
            return True
        field = self._fields[number]
        texts = self._public.get(field.name)
        if texts is None:
            self._public[field.name], self._hidden[field.slot] = [shared(text)], [ms]
            self.changed = True
            return True
        times = self._hidden[field.slot]
        at = bisect_left(texts, text)
        if at < len(texts) and texts[at] == text:
            if ms <= times[at]:
                return True
            times[at] = ms
        else:
            texts.insert(at, shared(text))
            times.insert(at, ms)
        self.changed = True
        if len(texts) > field.capacity or field.keep_ms:
            _trim_set(texts, times, field.capacity, field.keep_ms)
        return True

    def put(self, number: int, key: str, text: str, ms: EpochMillis, arrival: Arrival) -> None:
        """Set a key of a map, unless a later message has set it; a full map evicts its oldest key."""
        field, stamp = self._fields[number], [ms, arrival]
        shown = self._public.setdefault(field.name, {})
        stamps = self._hidden[field.slot] = self._hidden[field.slot] or {}
        known = stamps.get(key)
        if known is not None and stamp <= known:
            return
        _place(shown, stamps, shared(key), shared(text), stamp)
        self.changed = True
        keep = field.keep_ms
        _trim_map(shown, stamps, field.capacity, [stamps[next(reversed(stamps))][0] - keep] if keep else None)

    def bump(self, number: int, key: Any, ms: EpochMillis, by: int = 1) -> bool:
        """Add to a key, not empty, of a map of sums; False when it is no text at all.

        A key that was evicted starts from zero when it is seen again.
        """
        if key.__class__ is not str:
            return False
        if not key:
            return True
        field = self._fields[number]
        sums = self._public.setdefault(field.name, {})
        times = self._hidden[field.slot] = self._hidden[field.slot] or {}
        known = times.get(key)
        total = bounded(sums.get(key, 0) + by)
        self.changed = True
        if known is not None and ms <= known:
            sums[key] = total
            return True
        _place(sums, times, shared(key), total, ms)
        keep = field.keep_ms
        _trim_map(sums, times, field.capacity, times[next(reversed(times))] - keep if keep else None)
        return True

    def add_to_bucket(self, number: int, key: int, by: int = 1) -> None:
        """Add to a key of a map that has few possible keys: it needs no times, and is kept in the order of its keys."""
        name, text = self._fields[number].name, str(key)
        sums = self._public.setdefault(name, {})
        is_last = text in sums or not sums or key > int(next(reversed(sums)))
        sums[text] = bounded(sums.get(text, 0) + by)
        if not is_last:
            self._public[name] = {known: sums[known] for known in sorted(sums, key=int)}
        self.changed = True


def bounded(total: int) -> int:
    """Return a sum, held at the ends of 64 bits."""
    return total if INT_MIN <= total <= INT_MAX else INT_MIN if total < 0 else INT_MAX


_SHARED: dict[str, str] = {}
_MAX_SHARED = 50_000


def shared(text: str) -> str:
    """Return an equal text that other profiles hold too: many people get the same campaigns.

    A text that many rows share stays in the processor's cache; one of each row's own has to be fetched for each look.
    """
    if len(_SHARED) >= _MAX_SHARED:
        _SHARED.clear()
    return _SHARED.setdefault(text, text)


def _place(shown: dict[str, Any], times: dict[str, Any], key: str, value: Any, time: Any) -> None:
    """Write an entry where its time puts it: nearly always at the end."""
    newest = next(reversed(times), None)
    if key != newest:
        shown.pop(key, None)
        times.pop(key, None)
    shown[key], times[key] = value, time
    if newest is not None and key != newest and (time, key) < (times[newest], newest):
        entries = [(at, name, shown[name]) for name, at in times.items()]
        shown.clear()
        times.clear()
        for at, name, held in sorted(entries, key=lambda entry: entry[:2]):
            shown[name], times[name] = held, at


def _trim_set(texts: list[str], times: list[int], capacity: int, keep: int) -> None:
    while len(texts) > capacity:
        at = min(range(len(texts)), key=lambda index: (times[index], texts[index]))
        del texts[at], times[at]
    if keep and min(times) < (oldest := max(times) - keep):
        kept = [at for at, ms in enumerate(times) if ms >= oldest]
        texts[:], times[:] = [texts[at] for at in kept], [times[at] for at in kept]


def _trim_map(shown: dict[str, Any], times: dict[str, Any], capacity: int, oldest: Any) -> None:
    while len(shown) > capacity or (oldest is not None and times[next(iter(times))] < oldest):
        first = next(iter(times))
        del shown[first], times[first]


def merge_stored(layout: Layout, fields: Fields, public: Public | None, hidden: Hidden | None, address: str) -> None:
    """Fold another profile's two parts into `fields`, whose key is `address`: both are one person's.

    Field by field the result is what folding the events of both would have given. Raises FieldsError, before anything
    is folded, for parts that fields of this layout have not written.
    """
    check_stored(list(layout.fields.values()), layout.slots, public, hidden)
    for number, field in enumerate(layout.fields.values()):
        if public is None or field.name not in public:
            continue
        shown = public[field.name]
        known: Any = hidden[field.slot] if hidden is not None and field.slot >= 0 else None
        match field.fold:
            case FoldMode.IDENTITY:
                fields.identify(number, address)
            case FoldMode.DOMAIN:
                fields.identify(number, domain_of(address))
            case FoldMode.LATEST:
                fields.latest(number, shown, *known)
            case FoldMode.ADD:
                fields.add(number, shown)
            case FoldMode.MIN | FoldMode.MAX:
                fields.extreme(number, known)
            case FoldMode.SET:
                for text, ms in zip(shown, known, strict=True):
                    fields.insert(number, text, ms)
            case FoldMode.MAP:
                for key, text in shown.items():
                    fields.put(number, key, text, *known[key])
            case FoldMode.SUMS:
                for key, total in shown.items():
                    fields.bump(number, key, known[key], total)
            case FoldMode.BUCKETS:
                for key, total in shown.items():
                    fields.add_to_bucket(number, int(key), total)
