"""The fields of a profile: what every stream's mappings together make of it, and in which order they are shown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from streams.mapping.dates import DAY_MS
from streams.mapping.functions import FUNCTIONS, Reducer
from streams.mapping.kinds import FieldKind
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
