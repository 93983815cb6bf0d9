"""How the value of a custom field is judged where Campaign Monitor's ways are not established: its length, its case."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

MAX_VALUE = 250


class ValueRules(NamedTuple):
    """The switches of `SimulatorSettings`: what happens to a long value, what its length counts, case of options."""

    limit: Literal["cut", "drop", "keep", "reject"] = "cut"
    units: Literal["utf-16", "characters", "bytes"] = "utf-16"
    option_case: Literal["exact", "ignore"] = "exact"


USUAL_RULES = ValueRules()


class TooLongError(Exception):
    """A value is over the limit, and its whole row is refused; the text is the field's key."""


def is_too_long(value: str, rules: ValueRules) -> bool:
    """Return True for a value over the limit, unless long ones are kept."""
    # Four bytes a character is the most in every unit: short texts, nearly all, are not encoded.
    return 4 * len(value) > MAX_VALUE and rules.limit != "keep" and _length(value, rules.units) > MAX_VALUE


def shortened(value: str, rules: ValueRules) -> str:
    """Return the longest beginning of whole characters that is within the limit."""
    value = value[:MAX_VALUE]
    while _length(value, rules.units) > MAX_VALUE:
        value = value[:-1]
    return value


def meant_option(options: Iterable[str], value: str, rules: ValueRules) -> str | None:
    """Return the option that a value which is none means when case does not matter, else None."""
    if rules.option_case == "exact":
        return None
    folded = value.casefold()
    return next((option for option in options if option.casefold() == folded), None)


def _length(value: str, units: str) -> int:
    if units == "characters":
        return len(value)
    return len(value.encode("utf-16-le", "surrogatepass")) // 2 if units == "utf-16" else len(value.encode())
