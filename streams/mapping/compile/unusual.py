"""Values that are not what a field usually gets: lists, numbers where a text is kept, whole objects.

Each folds what it can, and adds the field's name to `refused` for each value that is not of the field's kind.
"""

from collections.abc import MutableSequence
from typing import Any

from schemas.envelope import EpochMillis
from streams.mapping.conditions import has_value
from streams.mapping.fields import Fields
from streams.mapping.fields.reference import Arrival
from streams.mapping.kinds import texts_of, to_int, to_text

Unconvertible = MutableSequence[str]


def latest_of_any(
    fields: Fields, number: int, value: Any, ms: EpochMillis, arrival: Arrival, name: str, refused: Unconvertible
) -> None:
    """Keep the text of the latest message's value."""
    if has_value(value):
        text = to_text(value)
        if text is None:
            refused.append(name)
        else:
            fields.latest(number, text, ms, arrival)


def insert_any(fields: Fields, number: int, value: Any, ms: EpochMillis, name: str, refused: Unconvertible) -> None:
    """Add a value's texts to a set."""
    texts, failed = texts_of(value)
    refused.extend([name] * failed)
    for text in texts:
        fields.insert(number, text, ms)


def bump_any(fields: Fields, number: int, value: Any, ms: EpochMillis, name: str, refused: Unconvertible) -> None:
    """Add 1 to the sum under a value's text."""
    if has_value(value):
        text = to_text(value)
        if text is None:
            refused.append(name)
        else:
            fields.bump(number, text, ms)


def put_all(
    fields: Fields, number: int, entries: Any, ms: EpochMillis, arrival: Arrival, name: str, refused: Unconvertible
) -> None:
    """Set every key of an object that has a text."""
    if not isinstance(entries, dict):
        refused.append(name)
        return
    for key, value in entries.items():
        text = to_text(value)
        if text is None and value is not None:
            refused.append(name)
        if key and text:
            fields.put(number, key, text, ms, arrival)


def bump_all(fields: Fields, number: int, entries: Any, ms: EpochMillis, name: str, refused: Unconvertible) -> None:
    """Add each whole number of an object to the sum under its key."""
    if not isinstance(entries, dict):
        refused.append(name)
        return
    for key, value in entries.items():
        amount = to_int(value)
        if amount is None and value is not None:
            refused.append(name)
        if key and amount is not None:
            fields.bump(number, key, ms, amount)
