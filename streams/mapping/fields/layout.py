"""The fields of a profile: what every stream's mappings together make of it, and in which order they are shown.

A stored part is foreign until it has been checked: another version may have written it, or a disk may have damaged it.
`public` is what the profile topic shows. `hidden` is a list of what folding needs besides, by slot: for a latest value
the stamp of the message it came from, for a set the latest time of each element in the order of the shown list, for a
map the latest time or stamp of each key. The native fields check the same in C, and call `check_stored` for the
sentence; a property test compares both verdicts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from streams.mapping.dates import DAY_MS, FIRST, LAST, rfc3339
from streams.mapping.functions import FUNCTIONS, Reducer
from streams.mapping.kinds import INT_MAX, INT_MIN, FieldKind
from streams.mapping.syntax.check import kind_of, reducer_of
from streams.mapping.syntax.expressions import Expression, FunctionCall, Mapping, MappingError, StreamMapping

DEFAULT_CAPACITY = 1000
"""Entries of a set or map; an unbounded one would outgrow the broker's message limit one day."""


class FoldMode(Enum):
    """How a field is folded: its reducer and kind together.

    The values are part of the mapping version that every stored row carries: another text would refuse all of them.
    """

    IDENTITY = "IDENTITY"
    """The profile's key itself: nothing to fold."""
    DOMAIN = "DOMAIN"
    """The key's domain."""
    LATEST = "LATEST"
    ADD = "ADD"
    MIN = "MIN"
    MAX = "MAX"
    SET = "SET"
    MAP = "MAP"
    SUMS = "SUMS"
    BUCKETS = "TALLY"
    """SUMS with few possible keys, as a histogram's: they need no times, and none is ever evicted."""


_LATEST = {FoldMode.IDENTITY, FoldMode.DOMAIN, FoldMode.LATEST}
_WITHOUT_SLOT = (FoldMode.IDENTITY, FoldMode.DOMAIN, FoldMode.ADD, FoldMode.BUCKETS)


@dataclass(frozen=True, slots=True)
class ProfileField:
    """One field of the profile. `slot` is its place in a row's hidden part; -1 when it needs none."""

    name: str
    kind: FieldKind
    fold: FoldMode
    slot: int
    capacity: int
    keep_ms: int
    description: str


@dataclass(frozen=True, slots=True)
class Layout:
    """All fields by name, in the order in which a profile shows them."""

    fields: dict[str, ProfileField]
    slots: int


def layout_of(streams: Sequence[StreamMapping], order: Iterable[str] = (), capacity: int = DEFAULT_CAPACITY) -> Layout:
    """Return the layout; `order` names fields that come first. Raises MappingError where streams disagree."""
    first_of: dict[str, tuple[StreamMapping, Mapping]] = {}
    folds: dict[str, FoldMode] = {}
    for stream in streams:
        for mapping in stream.mappings:
            fold = fold_of(mapping, stream.key, capacity)
            if mapping.field not in first_of:
                first_of[mapping.field], folds[mapping.field] = (stream, mapping), fold
                continue
            folds[mapping.field] = _agreed(first_of[mapping.field], folds[mapping.field], (stream, mapping), fold)
    fields: dict[str, ProfileField] = {}
    slots = 0
    for name in [*(name for name in order if name in first_of), *(name for name in first_of if name not in set(order))]:
        mapping, fold = first_of[name][1], folds[name]
        needs_slot = fold not in _WITHOUT_SLOT
        fields[name] = ProfileField(
            name,
            kind_of(mapping),
            fold,
            slots if needs_slot else -1,
            mapping.capacity or capacity,
            (mapping.keep_days or 0) * DAY_MS,
            mapping.description,
        )
        slots += needs_slot
    return Layout(fields, slots)


def fold_of(mapping: Mapping, key: Expression | None = None, capacity: int = DEFAULT_CAPACITY) -> FoldMode:
    """Return how one mapping fills its field; `key` is what the stream's profiles are keyed by."""
    reducer, arguments = reducer_of(mapping.expression)
    kind = kind_of(mapping)
    match reducer, kind:
        case Reducer.COUNT, _:
            return FoldMode.ADD
        case Reducer.MIN, _:
            return FoldMode.MIN
        case Reducer.MAX, _:
            return FoldMode.MAX
        case _, FieldKind.SET:
            return FoldMode.SET
        case _, FieldKind.MAP:
            return FoldMode.MAP
        case Reducer.VALUECT, FieldKind.SUMS if _few_values(arguments[0], mapping, capacity):
            return FoldMode.BUCKETS
        case _, FieldKind.SUMS:
            return FoldMode.SUMS
    if kind is FieldKind.STRING and mapping.condition is None and key is not None:
        return _of_key(mapping.expression, key)
    return FoldMode.LATEST


def _of_key(expression: Expression, key: Expression) -> FoldMode:
    if expression == key:
        return FoldMode.IDENTITY
    of_same = (
        isinstance(expression, FunctionCall) and isinstance(key, FunctionCall) and expression.arguments == key.arguments
    )
    return (
        FoldMode.DOMAIN
        if of_same and isinstance(expression, FunctionCall) and expression.name == "emaildomain"
        else FoldMode.LATEST
    )


def _few_values(argument: Expression, mapping: Mapping, capacity: int) -> bool:
    if (
        mapping.capacity
        or mapping.keep_days
        or not isinstance(argument, FunctionCall)
        or argument.name not in FUNCTIONS
    ):
        return False
    distinct = FUNCTIONS[argument.name].distinct
    return distinct is not None and distinct <= capacity


def _agreed(
    one: tuple[StreamMapping, Mapping], fold: FoldMode, other: tuple[StreamMapping, Mapping], other_fold: FoldMode
) -> FoldMode:
    """The fold of a field that is mapped twice; an identity is a latest value wherever somebody else writes it too."""
    (stream, mapping), (other_stream, other_mapping) = one, other
    pair = {fold, other_fold}
    same = len(pair) == 1 or pair <= _LATEST or pair == {FoldMode.BUCKETS, FoldMode.SUMS}
    settings = ("kind", "capacity", "keep_days")
    if kind_of(mapping) is not kind_of(other_mapping) or not same:
        differ = f"{_spelt(mapping, fold)}, and {_spelt(other_mapping, other_fold)} here"
    elif wrong := [name for name in settings[1:] if getattr(mapping, name) != getattr(other_mapping, name)]:
        differ = f"two values of {wrong[0].replace('_', '')}"
    else:
        return fold if len(pair) == 1 else FoldMode.LATEST if pair <= _LATEST else FoldMode.SUMS
    place = f"{stream.file}:{mapping.at.line}"
    problem = f"{other_mapping.field} is mapped in {place} too, with {differ}"
    raise MappingError(problem, file=other_stream.file, at=other_mapping.at)


def _spelt(mapping: Mapping, fold: FoldMode) -> str:
    return f"kind {kind_of(mapping)} ({'latest' if fold in _LATEST else fold.name.lower()})"


Public = dict[str, Any]
Hidden = list[Any]

_UINT_END = 2**64
"""Integers from here on are none that JSON carries to every reader."""


class FieldsError(ValueError):
    """Stored parts that fields of this layout have not written; the text has field and reason, never a value."""


def check_stored(fields: Sequence[ProfileField], slots: int, public: Any, hidden: Any) -> None:
    """Refuse parts that fields of this layout cannot have written. Raises FieldsError.

    None for both parts, or an empty public part beside empty slots, is a profile without any field.
    """
    if public is None or public == {}:
        if hidden is not None and hidden != [None] * slots:
            raise FieldsError("there is a hidden part, and no field that it belongs to")
        return
    if type(public) is not dict:
        raise FieldsError("the public part is no object")
    if type(hidden) is not list:
        raise FieldsError("the hidden part is no list")
    if len(hidden) != slots:
        raise FieldsError(f"the hidden part has {len(hidden)} entries, and the layout {slots} slots")
    shown = [field for field in fields if field.name in public]
    if [field.name for field in shown] != list(public):
        raise FieldsError("the public part has fields that are not the layout's, or not in its order")
    for field in fields:
        known = hidden[field.slot] if field.slot >= 0 else None
        if field.name not in public:
            if known is not None:
                raise FieldsError(f"field {field.name}: a hidden entry without a value")
        elif not _is_value(field, public[field.name]):
            raise FieldsError(f"field {field.name}: not a value of kind {field.kind}, folded as {field.fold.value}")
        elif field.slot >= 0 and not _fits(field, public[field.name], known):
            raise FieldsError(f"field {field.name}: the hidden entry does not belong to the value")


def _is_value(field: ProfileField, shown: Any) -> bool:
    """Whether the public part of one field is one; the hidden part is checked by `_fits`."""
    match field.fold:
        case FoldMode.IDENTITY | FoldMode.DOMAIN:
            return type(shown) is str
        case FoldMode.ADD:
            return _is_int(shown)
        case FoldMode.LATEST | FoldMode.MIN | FoldMode.MAX:
            if field.kind is FieldKind.NUMBER:
                return _is_number(shown)
            return _is_int(shown) if field.kind is FieldKind.INT else type(shown) is str
        case FoldMode.SET:
            return type(shown) is list and _has_room(field, shown) and _is_sorted_set(shown)
        case FoldMode.BUCKETS:
            return type(shown) is dict and bool(shown) and _are_buckets(shown)
        case FoldMode.MAP:
            return type(shown) is dict and _has_room(field, shown) and all(type(text) is str for text in shown.values())
    return type(shown) is dict and _has_room(field, shown) and "" not in shown and all(map(_is_int, shown.values()))


def _fits(field: ProfileField, shown: Any, known: Any) -> bool:
    match field.fold:
        case FoldMode.LATEST:
            return _is_stamp(known)
        case FoldMode.MIN | FoldMode.MAX:
            if field.kind is FieldKind.DATE:
                return _is_instant(known) and shown == rfc3339(known)
            return type(known) is type(shown) and repr(known) == repr(shown)
        case FoldMode.SET:
            return type(known) is list and len(known) == len(shown) and all(map(_is_instant, known))
    if type(known) is not dict or list(known) != list(shown):
        return False
    if field.fold is FoldMode.MAP:
        return all(map(_is_stamp, known.values())) and _is_ascending([(*known[key], key) for key in known])
    return all(map(_is_instant, known.values())) and _is_ascending([(known[key], key) for key in known])


def _has_room(field: ProfileField, entries: Any) -> bool:
    return 0 < len(entries) <= field.capacity


def _is_sorted_set(texts: list[Any]) -> bool:
    return all(type(text) is str for text in texts) and texts[0] != "" and _is_ascending(texts)


def _are_buckets(sums: dict[Any, Any]) -> bool:
    if not all(_is_bucket(key) for key in sums) or not all(map(_is_int, sums.values())):
        return False
    return _is_ascending([int(key) for key in sums])


def _is_bucket(key: Any) -> bool:
    digits = key[1:] if type(key) is str and key.startswith("-") else key
    if type(digits) is not str or not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        return False
    return str(int(key)) == key and _is_int(int(key))


def _is_ascending(values: Sequence[Any]) -> bool:
    return all(values[at - 1] < values[at] for at in range(1, len(values)))


def _is_int(value: Any) -> bool:
    return type(value) is int and INT_MIN <= value <= INT_MAX


def _is_number(value: Any) -> bool:
    return (type(value) is int and INT_MIN <= value < _UINT_END) or (type(value) is float and math.isfinite(value))


def _is_instant(value: Any) -> bool:
    return type(value) is int and FIRST <= value <= LAST


def _is_stamp(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and _is_instant(value[0]) and _is_int(value[1])
