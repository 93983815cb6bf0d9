"""The two parts of a profile's fields as they are stored, and what no fields of this layout have written.

`public` is what the profile topic shows. `hidden` is a list of what folding needs besides, by slot: for a latest value
the stamp of the message it came from, for a set the latest time of each element in the order of the shown list, for a
map the latest time or stamp of each key.

A stored part is foreign until it has been checked: another version may have written it, or a disk may have damaged it.
The native fields check the same in C, and call this for the sentence; a property test compares both verdicts.
"""

import math
from collections.abc import Sequence
from typing import Any

from streams.mapping.dates import FIRST, LAST, rfc3339
from streams.mapping.fields.layout import FoldMode, ProfileField
from streams.mapping.kinds import INT_MAX, INT_MIN, FieldKind

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
