"""A custom field of a list: its key, its type, and which texts it takes as a value."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from connectors.simulator.countries import COUNTRIES, US_STATES

DATA_TYPES = ("Text", "Number", "MultiSelectOne", "MultiSelectMany", "Date", "Country", "USState")
SELECTS = ("MultiSelectOne", "MultiSelectMany")

_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T]\d{2}:\d{2}(?::\d{2})?)?\Z")
_FIRST_DATE, _LAST_DATE = date(1900, 1, 1), date(2076, 6, 6)
_SYSTEM_OPTIONS = {"Country": COUNTRIES, "USState": US_STATES}


@dataclass(slots=True)
class CustomField:
    """`number` stays when a rename gives another key: values are kept under it."""

    number: int
    name: str
    data_type: str
    options: list[str] = field(default_factory=list)
    visible: bool = True
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.rename(self.name)

    def rename(self, name: str) -> None:
        """Take another name, and with it another key."""
        self.name = name
        self.key = key_of(name)

    @property
    def many(self) -> bool:
        """Whether it holds several options at once."""
        return self.data_type == "MultiSelectMany"

    @property
    def choices(self) -> Iterable[str] | None:
        """The texts it takes, None when it takes any of its type."""
        return self.options if self.data_type in SELECTS else _SYSTEM_OPTIONS.get(self.data_type)

    def shown_options(self) -> list[str]:
        """Return what `FieldOptions` says."""
        return list(self.options)

    def accept(self, text: str) -> str | None:
        """Return the value that is stored for a text, None when it is silently ignored."""
        if self.data_type == "Text":
            return text
        if self.data_type == "Number":
            return text.strip() if is_number(text) else None
        if self.data_type == "Date":
            return as_date(text)
        choices = self.choices
        return text if choices is not None and text in choices else None


def key_of(name: str) -> str:
    """Return the key that a name gives: only ASCII letters, digits and underscores stay, in brackets."""
    return f"[{re.sub('[^A-Za-z0-9_]', '', name)}]"


def bare(key: str) -> str:
    """Return a key as it is compared: without brackets and blanks, case folded."""
    return key.strip().removeprefix("[").removesuffix("]").replace(" ", "").casefold()


def lookup(fields: Iterable[CustomField]) -> Mapping[str, CustomField]:
    """Return the fields by everything that names them in a subscriber's `Key`."""
    by_name: dict[str, CustomField] = {}
    for one in fields:
        by_name.setdefault(bare(one.name), one)
    for one in fields:
        by_name[bare(one.key)] = one
    return by_name


def is_number(text: str) -> bool:
    """Tell whether a Number field takes a text."""
    try:
        return float(text) not in (float("inf"), float("-inf")) and text.strip().lower() != "nan"
    except ValueError:
        return False


def as_date(text: str) -> str | None:
    """Return `YYYY-MM-DD` for a date in the accepted range, else None."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
    return day.isoformat() if _FIRST_DATE <= day <= _LAST_DATE else None
