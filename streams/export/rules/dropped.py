"""What a list holds against what it should hold, and what Campaign Monitor dropped of what was written. Pure.

It reports success whatever becomes of a value. What was dropped shows only when a subscriber is read, so one is read
for each field and option that is new; what is found counts for everybody: an option that the list does not take, a
field that does not keep its values, or only its long ones.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from streams.export.rules.desired import DesiredSubscriber, DesiredValue
from streams.export.rules.settlement import WrittenState
from streams.export.rules.values import VALUE_LIMIT, field_name, kept

ANY, LONG = "", f"values of more than {VALUE_LIMIT} bytes"
_SELECTS = frozenset({"MultiSelectOne", "MultiSelectMany"})


class ValueKind(NamedTuple):
    """Values that are kept or dropped together."""

    field: str
    """The field's plain name."""
    what: str
    """Of a select field the option; else ANY, or LONG for what some way of counting may find too long."""


Dropped = frozenset[ValueKind]
HeldTexts = Mapping[str, Collection[str]]
"""A subscriber's texts by plain field name."""


def kinds_of(desired: DesiredSubscriber) -> set[ValueKind]:
    """Return the kinds of values that are written for a person; clearing a field is none."""
    options = {ValueKind(field_name(name), option) for name, texts in desired.options for option in texts}
    return options | {kind for value in desired.values for kind in _kinds(value)}


def not_kept(desired: DesiredSubscriber, found: HeldTexts) -> set[ValueKind]:
    """Return the kinds of values that a subscriber was written and does not hold."""
    lost = {
        ValueKind(field_name(name), option)
        for name, texts in desired.options
        for option in set(texts).difference(found.get(field_name(name), ()))
    }
    for value in desired.values:
        texts = found.get(field_name(value.field), ())
        if value.data_type in _SELECTS:
            lost |= {kind for kind in _kinds(value) if kind.what not in texts}
        elif not kept(value.data_type, value.texts, texts):
            lost |= set(_kinds(value))
    return lost


def differs(desired: DesiredSubscriber, found: HeldTexts, dropped: Dropped) -> bool:
    """Whether a subscriber holds other options or values than desired, apart from what is dropped anyway."""
    for name, texts in desired.options:
        if _but(texts, field_name(name), dropped) != _but(found.get(field_name(name), ()), field_name(name), dropped):
            return True
    return any(_value_differs(value, found.get(field_name(value.field), ()), dropped) for value in desired.values)


def noted(state: WrittenState, dropped: Dropped) -> WrittenState:
    """Return what was written, with a note for its receipts on each kind of value that is dropped."""
    lost = kinds_of(state.desired) & dropped
    if not lost:
        return state
    texts = (f"{kind.field}{f' ({kind.what})' if kind.what else ''} was dropped by Campaign Monitor" for kind in lost)
    notes = dict.fromkeys((*state.desired.notes, *sorted(texts)))
    return replace(state, desired=replace(state.desired, notes=tuple(notes)))


def _value_differs(value: DesiredValue, found: Collection[str], dropped: Dropped) -> bool:
    plain = field_name(value.field)
    if value.data_type in _SELECTS:
        return _but(value.texts, plain, dropped) != _but(found, plain, dropped)
    return not kept(value.data_type, value.texts, found) and dropped.isdisjoint(_kinds(value))


def _but(texts: Iterable[str], plain: str, dropped: Dropped) -> set[str]:
    return {text for text in texts if ValueKind(plain, text) not in dropped}


def _kinds(value: DesiredValue) -> Iterable[ValueKind]:
    plain = field_name(value.field)
    if value.data_type in _SELECTS:
        return [ValueKind(plain, text) for text in value.texts]
    return [ValueKind(plain, LONG if len(text.encode()) > VALUE_LIMIT else ANY) for text in value.texts]
