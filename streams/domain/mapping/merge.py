"""How a new value meets the old one. Each of these is a monoid: order, pieces and repetition do not matter.

A profile is two parts: `public`, what the profile topic shows, and `hidden`, a list of what folding needs besides (by
slot): for a latest value the stamp of the message it came from, for a set the latest time of each element in the order
of the shown list, for a map the latest time or stamp of each key.

A stamp is [message time, arrival]: on equal times the later arrival wins, and arrival is the record's place in its
topic, so folding again in any order decides the same. Maps are kept in the order of their keys' times, oldest first:
that is the order in which a full map gives them up, and it does not depend on the order of folding either.
"""

from bisect import bisect_left
from typing import Any

from streams.domain.mapping.kinds import INT_MAX, INT_MIN, to_int, to_text

Public = dict[str, Any]
Hidden = list[Any]
Stamp = list[int]
"""[message time in milliseconds, arrival]."""


_SHARED: dict[str, str] = {}
_MOST_SHARED = 50_000


def shared(text: str) -> str:
    """Return an equal text that other profiles hold too: many people get the same campaigns.

    A text that many rows share stays in the processor's cache; one of each row's own has to be fetched for each look.
    """
    if len(_SHARED) >= _MOST_SHARED:
        _SHARED.clear()
    return _SHARED.setdefault(text, text)


def latest(public: Public, hidden: Hidden, slot: int, field: str, value: Any, stamp: Stamp) -> bool:
    """Keep the value of the latest message."""
    known = hidden[slot]
    if known is not None and stamp <= known:
        return False
    hidden[slot] = stamp
    public[field] = value
    return True


def include(
    public: Public, hidden: Hidden, slot: int, field: str, text: str, ms: int, capacity: int, keep: int
) -> bool:
    """Add a text to a set; the one not seen for longest leaves a full set, and those older than `keep` ms leave any."""
    texts = public.get(field)
    if texts is None:
        public[field], hidden[slot] = [shared(text)], [ms]
        return True
    times = hidden[slot]
    at = bisect_left(texts, text)
    if at < len(texts) and texts[at] == text:
        if ms <= times[at]:
            return False
        times[at] = ms
    else:
        texts.insert(at, shared(text))
        times.insert(at, ms)
    if len(texts) > capacity or keep:
        _trim_set(texts, times, capacity, keep)
    return True


def include_all(
    public: Public, hidden: Hidden, slot: int, field: str, texts: list[str], ms: int, capacity: int, keep: int
) -> bool:
    """Add several texts to a set."""
    changed = False
    for text in texts:
        changed = include(public, hidden, slot, field, text, ms, capacity, keep) or changed
    return changed


def put(
    public: Public, hidden: Hidden, slot: int, field: str, key: str, text: str, stamp: Stamp, capacity: int, keep: int
) -> bool:
    """Set a key of a map, unless a later message has set it."""
    shown = public.get(field)
    if shown is None:
        public[field], hidden[slot] = {key: text}, {key: stamp}
        return True
    stamps = hidden[slot]
    known = stamps.get(key)
    if known is not None and stamp <= known:
        return False
    _place(shown, stamps, key, text, stamp)
    if len(shown) > capacity or keep:
        _trim_map(shown, stamps, capacity, [stamps[next(reversed(stamps))][0] - keep] if keep else None)
    return True


def bump(
    public: Public, hidden: Hidden, slot: int, field: str, key: str, ms: int, capacity: int, keep: int, by: int = 1
) -> bool:
    """Add to a key of a map of sums. A key that was given up starts anew when it comes again."""
    sums = public.get(field)
    if sums is None:
        key = shared(key)
        public[field], hidden[slot] = {key: by}, {key: ms}
        return True
    times = hidden[slot]
    known = times.get(key)
    if known is None:
        _place(sums, times, shared(key), by, ms)
        if len(sums) > capacity or keep:
            _trim_map(sums, times, capacity, times[next(reversed(times))] - keep if keep else None)
    elif ms <= known:
        sums[key] = bounded(sums[key] + by)
    else:
        total, newest = bounded(sums[key] + by), next(reversed(times))
        if newest != key and ms <= times[newest]:
            _place(sums, times, key, total, ms)
        else:  # nearly always: to the end
            if newest != key:
                del sums[key], times[key]
            sums[key], times[key] = total, ms
        if keep:
            _trim_map(sums, times, capacity, times[next(reversed(times))] - keep)
    return True


def tally(public: Public, field: str, key: int) -> bool:
    """Add 1 to a key of a map that has few possible keys: no times are needed, it stands in the order of its keys."""
    sums = public.get(field)
    text = str(key)
    if sums is None:
        public[field] = {text: 1}
    elif text in sums:
        sums[text] = bounded(sums[text] + 1)
    else:
        behind = key > int(next(reversed(sums)))
        sums[text] = 1
        if not behind:
            public[field] = {known: sums[known] for known in sorted(sums, key=int)}
    return True


def put_all(
    public: Public, hidden: Hidden, slot: int, field: str, entries: Any, stamp: Stamp, capacity: int, keep: int
) -> tuple[bool, int]:
    """Set every key of an object that has a text; whether anything changed, and how many entries had none."""
    changed, refused = False, 0
    for key, value in entries.items() if isinstance(entries, dict) else ():
        text = to_text(value)
        if text is None and value is not None:
            refused += 1
        if key and text:
            changed = put(public, hidden, slot, field, key, text, stamp, capacity, keep) or changed
    return changed, refused if isinstance(entries, dict) else 1


def bump_all(
    public: Public, hidden: Hidden, slot: int, field: str, entries: Any, ms: int, capacity: int, keep: int
) -> tuple[bool, int]:
    """Add each whole number of an object to the sum under its key; whether anything changed, how many were none."""
    changed, refused = False, 0
    for key, value in entries.items() if isinstance(entries, dict) else ():
        number = to_int(value)
        if number is None and value is not None:
            refused += 1
        if key and number is not None:
            changed = bump(public, hidden, slot, field, key, ms, capacity, keep, number) or changed
    return changed, refused if isinstance(entries, dict) else 1


def bounded(total: int) -> int:
    """Return a sum, held at the ends of 64 bits."""
    return total if INT_MIN <= total <= INT_MAX else INT_MIN if total < 0 else INT_MAX


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
