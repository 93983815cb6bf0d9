"""What a write does to the custom field values of a subscriber.

Values are a tuple of (field number, text) pairs, in the order of the field numbers; a MultiSelectMany has one pair for
each chosen option. Equal tuples are shared between subscribers: a million members of the same audiences cost eight
bytes each.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from connectors.simulator.custom_field import CustomField, bare

Values = tuple[tuple[int, str], ...]
Drop = Callable[[str, str, str], None]
"""Called with key, value and reason for everything that the API ignores without an error."""

MAX_VALUE = 250


class Entry(NamedTuple):
    """One element of `CustomFields` in a request."""

    key: str
    value: str
    clear: bool


Entries = tuple[Entry, ...]


def read_entries(raw: Any) -> Entries:
    """Return the entries of a `CustomFields` array. Raises ValueError for a shape that cannot be deserialised."""
    if raw is None:
        return ()
    if type(raw) is not list:
        raise ValueError("CustomFields")
    return tuple([_entry(item) for item in raw])


@lru_cache(maxsize=4_096)
def _shared_entry(key: str, value: str) -> Entry:
    """Imports name the same few keys and options a thousand times: looking one up is cheaper than making it."""
    return Entry(key, value, False)


def _entry(item: Any) -> Entry:
    if type(item) is not dict:
        raise ValueError("CustomFields")
    key, value = item.get("Key"), item.get("Value")
    if len(item) == 2 and type(key) is str and type(value) is str:
        return _shared_entry(key, value)
    folded = {name.lower(): content for name, content in item.items()}
    key, value, clear = folded.get("key"), folded.get("value"), folded.get("clear", False)
    if not isinstance(key, str) or isinstance(value, (bool, list, dict)):
        raise ValueError("CustomFields")
    return Entry(key, "" if value is None else str(value), clear in (True, "true", "True"))


def written(
    fields: Mapping[str, CustomField],
    old: Values,
    entries: Sequence[Entry],
    drop: Drop,
    limit: Literal["cut", "refuse", "keep"] = "cut",
) -> Values:
    """Return the values after a write.

    A field that is not named stays. A MultiSelectMany that is named holds exactly the options sent with it. `Clear`
    erases a field, or on a MultiSelectMany with a value that option only.
    """
    if not entries:
        return old
    single: dict[int, str] = {}
    chosen: dict[int, list[str]] = {}
    cleared: dict[int, set[str]] = {}
    for key, value, clear in entries:
        field = fields.get(key) or fields.get(bare(key))
        if field is None:
            drop(key, value, "unknown key")
        elif clear:
            if field.many and value:
                cleared.setdefault(field.number, set()).add(value)
            elif field.many:
                chosen.setdefault(field.number, [])
            else:
                single[field.number] = ""
        elif field.many:
            if value in field.options:
                options = chosen.setdefault(field.number, [])
                if value not in options:
                    options.append(value)
            else:
                drop(key, value, "unknown option")
        elif (accepted := _accepted(field, value, limit, drop)) is not None:
            single[field.number] = accepted
    if not (single or chosen or cleared):
        return old
    for number, gone in cleared.items():
        current = chosen.get(number)
        if current is None:
            current = [text for owner, text in old if owner == number]
        chosen[number] = [text for text in current if text not in gone]
    kept = [pair for pair in old if pair[0] not in single and pair[0] not in chosen]
    kept += [(number, text) for number, text in single.items() if text]
    kept += [(number, text) for number, texts in chosen.items() for text in texts]
    kept.sort(key=_number)
    return tuple(kept)


def _number(pair: tuple[int, str]) -> int:
    return pair[0]


def _accepted(field: CustomField, value: str, limit: str, drop: Drop) -> str | None:
    """Return the text to store, "" for nothing, None to leave the field as it is."""
    if value == "" or (field.data_type == "Date" and value.startswith("0000-00-00")):
        return ""
    if len(value) > MAX_VALUE and limit != "keep":
        drop(field.key, value, f"longer than {MAX_VALUE} characters, {'cut' if limit == 'cut' else 'ignored'}")
        if limit == "refuse":
            return None
        value = value[:MAX_VALUE]
    accepted = field.accept(value)
    if accepted is None:
        drop(field.key, value, f"no {field.data_type} value")
    return accepted
