"""Custom fields of a list: find leniently, create strictly, and report before sending what would be dropped silently.

Campaign Monitor reports success and drops the value when a key or an option is unknown, or a date is out of range.
So keys are read back and never computed, options are made before values use them, and a value is checked first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from connectors.campaign_monitor.client.entities import CustomField, Subscriber
from connectors.campaign_monitor.client.requests import FieldWrite
from connectors.campaign_monitor.errors.exceptions import FieldRejected

VALUE_LIMIT = 250
"""Characters that a value may have; what happens to longer ones is not documented."""

FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2076, 6, 6)
"""Dates outside are dropped in silence."""

SELECTS = frozenset({"MultiSelectOne", "MultiSelectMany"})


class FieldConflict(ValueError):  # noqa: N818 - named after what happened
    """The list's fields are not what a job needs; the message names what to change."""


class FieldApi(Protocol):
    """The part of `client.lists` that is used here."""

    async def custom_fields(self, list_id: str) -> list[CustomField]: ...

    async def create_custom_field(
        self, list_id: str, name: str, data_type: str, options: Sequence[str] = (), *, visible: bool = False
    ) -> str: ...

    async def update_custom_field_options(
        self, list_id: str, key: str, options: Sequence[str], *, keep_existing: bool = True
    ) -> None: ...


def plain(key_or_name: str) -> str:
    """Return a key or name as it is compared: `[Shoe Size]`, `[ShoeSize]` and `shoe size` are the same field."""
    text = key_or_name.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return "".join(text.split()).casefold()


def find(fields: Iterable[CustomField], key_or_name: str) -> CustomField | None:
    """Return the field of this key or name: an exact match first, then a lenient one."""
    known = list(fields)
    for field in known:
        if key_or_name and key_or_name in (field.key, field.name):
            return field
    wanted = plain(key_or_name)
    return next((field for field in known if wanted and wanted in (plain(field.key), plain(field.name))), None)


async def ensure_field(
    api: FieldApi, list_id: str, name: str, data_type: str, options: Sequence[str] = (), *, visible: bool = False
) -> CustomField:
    """Return the list's field of this name and type, with at least these options; create what is missing.

    Whoever creates it at the same time is fine (255). The result is what the list shows afterwards, never what we
    asked for. Raises FieldConflict when a field of this name has another type, or is not there after all.
    """
    field = find(await api.custom_fields(list_id), name)
    if field is None:
        try:
            await api.create_custom_field(list_id, name, data_type, options, visible=visible)
        except FieldRejected as rejected:
            if rejected.code != 255:
                raise
        field = find(await api.custom_fields(list_id), name)
        if field is None:
            raise FieldConflict(f"the custom field {name!r} was created, but the list does not show it")
    if field.data_type.casefold() != data_type.casefold():
        raise FieldConflict(
            f"the custom field {field.name!r} is of type {field.data_type}, and {data_type} is needed: "
            "rename one of them, or change the type in the job"
        )
    return await ensure_options(api, list_id, field, options)


async def ensure_options(api: FieldApi, list_id: str, field: CustomField, options: Sequence[str]) -> CustomField:
    """Return the field with at least these options, existing ones kept. One read back whenever something was written.

    Raises FieldConflict when an option is still missing afterwards, or cannot be one.
    """
    for option in options:
        if (problem := problem_with_option(option)) is not None:
            raise FieldConflict(f"option {option!r} of the custom field {field.name!r}: {problem}")
    missing = missing_options(field, options)
    if not missing:
        return field
    await api.update_custom_field_options(list_id, field.key, missing, keep_existing=True)
    after = find(await api.custom_fields(list_id), field.key)
    if after is None or (lost := missing_options(after, options)):
        shown = "the field itself" if after is None else ", ".join(repr(option) for option in lost)
        raise FieldConflict(f"after adding options to the custom field {field.name!r}, the list does not show {shown}")
    return after


def missing_options(field: CustomField, options: Iterable[str]) -> list[str]:
    """Return the options that the field lacks, each once, in order. Options match exactly, case included."""
    return [option for option in dict.fromkeys(options) if option not in field.options]


def problem_with_option(option: str) -> str | None:
    """Return why a text cannot be an option, or None."""
    if not option.strip():
        return "it is empty"
    if option != option.strip():
        return "it begins or ends with a blank"
    if len(option) > VALUE_LIMIT:
        return f"it has {len(option)} characters, {VALUE_LIMIT} are allowed"
    return "it holds `||`, which separates options" if "||" in option else None


def problem_with_value(field: CustomField, value: str) -> str | None:
    """Return why Campaign Monitor would drop or spoil this value, as a sentence's end; None when it is fine.

    Dates are `YYYY-MM-DD`; `0000-00-00` clears one. The empty text is always fine.
    """
    if not value:
        return None
    if len(value) > VALUE_LIMIT:
        return f"has {len(value)} characters, {VALUE_LIMIT} are allowed"
    match field.data_type:
        case "Number":
            return None if _is_number(value) else "is no number"
        case "Date":
            return _problem_with_date(value)
        case "MultiSelectOne" | "MultiSelectMany":
            return None if value in field.options else "is none of the field's options"
        case _:
            return None


def _is_number(value: str) -> bool:
    whole, _, fraction = value.removeprefix("-").partition(".")
    return (whole + fraction).isdecimal() and (whole + fraction).isascii()


def _problem_with_date(value: str) -> str | None:
    if value == "0000-00-00":
        return None
    try:
        day = date.fromisoformat(value.replace("/", "-"))
    except ValueError:
        return "is no date of the form YYYY-MM-DD"
    return None if FIRST_DATE <= day <= LAST_DATE else f"is not between {FIRST_DATE} and {LAST_DATE}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that does not read back as it was written."""

    key: str
    sent: tuple[str, ...]
    held: tuple[str, ...]


def differences(sent: Iterable[FieldWrite], held: Subscriber, fields: Sequence[CustomField]) -> list[Difference]:
    """Compare what was written with what one subscriber shows: what was dropped in silence comes to light here.

    Select-many values compare as sets. Numbers and dates compare as Campaign Monitor may write them: `7` and `7.0`,
    `2026/01/02` and `2026-01-02` are equal.
    """
    wanted: dict[str, list[str]] = {}
    for write in sent:
        values = wanted.setdefault(write.key, [])
        if write.value and not write.clear and write.value != "0000-00-00":
            values.append(write.value)
    found: list[Difference] = []
    for key, values in wanted.items():
        field = find(fields, key)
        names = {plain(key)} if field is None else {plain(field.key), plain(field.name)}
        shown = [value for name, value in held.custom_fields if plain(name) in names and value]
        kind = field.data_type if field else "Text"
        if {_canonical(kind, value) for value in values} != {_canonical(kind, value) for value in shown}:
            found.append(Difference(key, tuple(values), tuple(shown)))
    return found


def _canonical(kind: str, value: str) -> str:
    if kind == "Number" and _is_number(value):
        return f"{float(value):.10g}"
    return value.replace("/", "-")[:10] if kind == "Date" else value.strip()
