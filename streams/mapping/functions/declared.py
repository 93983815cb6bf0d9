"""How a function of the mapping language is declared: its arguments, what it yields, and examples.

A function sees values as messages hold them (None where there is none) and returns a value, or None for no value. What
it yields is known beforehand, so that the compiler converts only where something has to be converted.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from schemas.envelope import EpochMillis


class Yields(Enum):
    """What kind of value an expression gives."""

    ANYTHING = auto()
    """A message field, as it came."""
    TEXT = auto()
    INT = auto()
    NUMBER = auto()
    BOOL = auto()
    LIST = auto()
    MAP = auto()
    INSTANT = auto()
    """UTC milliseconds that mean a date."""
    MESSAGE_TIME = auto()
    """The same, of the message itself."""


MANY = 20
"""No function takes more arguments; who writes more made a mistake."""

EXAMPLE_MESSAGE: Mapping[str, Any] = MappingProxyType(
    {
        "utm_source": "mail",
        "utm_medium": "web",
        "tags": ["red", "blue"],
        "page": "https://shop.example.co.uk/sale/new?utm_source=mail&id=7",
        "agent": "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:89.0) Gecko/20100101 Firefox/89.0",
        "basket": '{"items": [{"sku": "a1"}, {"sku": "b2"}]}',
    }
)
"""The message of the examples; its time is 2024-11-15T09:30:00Z."""
EXAMPLE_TIME = "2024-11-15T09:30:00Z"


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its arguments, what it yields, the Python function that computes it, and examples."""

    arguments: str
    """As the documentation shows them: what may be left out in brackets, `...` for more of the last one."""
    yields: Yields
    of: Callable[..., Any]
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Expression -> value, None for no value: shown in the documentation, and tested."""
    of_time: Callable[[EpochMillis], Any] | None = None
    """Called with the message time when no argument is given."""
    of_two: Callable[..., Any] | None = None
    """Called instead when two arguments are given."""
    takes_date: bool = False
    """The first argument is an instant; the compiler converts texts and numbers. (Not of `of_two`.)"""
    takes_message: bool = False
    """The message comes before the arguments: a dict."""
    takes_time: bool = False
    """The message time comes before the arguments. (Not of `of_two`.)"""
    distinct: int | None = None
    """How many different values it can yield, when that is few."""
    literals: Mapping[int, Callable[[str], Any]] = field(default_factory=dict)
    """Arguments that have to be texts in quotes, and what refuses a wrong one: ValueError says why."""

    @property
    def min_arguments(self) -> int:
        """How many arguments it needs."""
        return len(_NAME.findall(re.sub(r"\[.*?\]", "", self.arguments)))

    @property
    def max_arguments(self) -> int:
        """How many arguments it takes."""
        return MANY if "..." in self.arguments else len(_NAME.findall(self.arguments))

    def needs_time(self, arguments: int) -> bool:
        """Whether a call with so many arguments asks for the message time."""
        return (not arguments and self.of_time is not None) or (self.takes_time and not self.second_form(arguments))

    def second_form(self, arguments: int) -> bool:
        """Whether a call with so many arguments is one of `of_two`."""
        return arguments == 2 and self.of_two is not None


_NAME = re.compile(r"\w+")
