"""What a list's custom fields were when they were last looked at, and what a later look shows to be lost. Pure.

Whoever deletes a field or an option at Campaign Monitor deletes everybody's values with it, also while no worker runs,
and also when the field or option is created again afterwards. A field that was created again differs in something:
its options come in another order, its name is spelt in another way, or it is shown in the preference center. Options
are kept as hashes, so that the history of a list with thousands of audiences is one small record.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from connectors.campaign_monitor.client.entities import CustomField
from streams.export.rules.values import field_name


class FieldMark(NamedTuple):
    """One custom field, as it was."""

    name: str
    data_type: str
    visible: bool
    options: tuple[str, ...]
    """Hashes, in the list's order."""


FieldMarks = Mapping[str, FieldMark]
"""By the field's plain name."""

NeededOptions = Mapping[str, Collection[str] | None]
"""By the field's plain name: the options that are in use; None: any may be."""


@dataclass(frozen=True, slots=True)
class FieldHistory:
    """What is stored about a list: how often values were lost, and its fields after that."""

    epoch: int = 0
    fields: FieldMarks = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"epoch": self.epoch, "fields": {plain: tuple(mark) for plain, mark in self.fields.items()}}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "FieldHistory":
        """Read what `to_json` returned."""
        fields = {
            plain: FieldMark(name, data_type, visible, tuple(options))
            for plain, (name, data_type, visible, options) in body["fields"].items()
        }
        return cls(body["epoch"], fields)


def marks_of(fields: Iterable[CustomField], used: Collection[str]) -> dict[str, FieldMark]:
    """Return the marks of those of a list's fields whose plain names are `used`."""
    return {
        plain: FieldMark(custom.name, custom.data_type, custom.visible, tuple(map(hash_of, custom.options)))
        for custom in fields
        if (plain := field_name(custom.name)) in used
    }


def hash_of(option: str) -> str:
    """Return the short hash under which an option is remembered."""
    return hashlib.blake2b(option.encode(), digest_size=5).hexdigest()


def losses(before: FieldMarks, now: FieldMarks, needed: NeededOptions) -> dict[str, str]:
    """Return what became of each field whose values were lost, by its plain name.

    Fields that no job uses any more do not count, nor options that are not in use. A new option is no loss.
    """
    return {
        plain: why
        for plain, mark in before.items()
        if plain in needed and (why := _loss(mark, now.get(plain), needed[plain])) is not None
    }


def _loss(before: FieldMark, now: FieldMark | None, needed: Collection[str] | None) -> str | None:
    if now is None:
        return "deleted"
    if before[:3] != now[:3]:
        return "recreated, or edited"
    counted = None if needed is None else set(map(hash_of, needed))
    known = [option for option in before.options if counted is None or option in counted]
    there = set(now.options)
    if missing := sum(option not in there for option in known):
        return f"{missing} options removed"
    known_set = set(known)
    return None if known == [option for option in now.options if option in known_set] else "options recreated, or moved"


def merged(known: FieldHistory, stored: FieldHistory) -> FieldHistory:
    """Return what two workers know together. The same loss has the same epoch, whoever noticed it."""
    if stored.epoch != known.epoch:
        return max(known, stored, key=lambda history: history.epoch)
    fields = dict(known.fields)
    for plain, mark in stored.fields.items():
        fields[plain] = mark if plain not in fields else _with_all_options(fields[plain], mark)
    return FieldHistory(known.epoch, fields)


def _with_all_options(known: FieldMark, stored: FieldMark) -> FieldMark:
    if set(stored.options) <= set(known.options):
        return known
    added = tuple(option for option in known.options if option not in set(stored.options))
    return stored._replace(options=stored.options + added)
