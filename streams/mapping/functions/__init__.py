"""The functions of the mapping language: one dict from name to function, and those that fold values over time."""

from enum import Enum

from streams.mapping.functions.addresses import ADDRESSES
from streams.mapping.functions.agents import AGENTS
from streams.mapping.functions.declared import EXAMPLE_MESSAGE, EXAMPLE_TIME, Function, Yields
from streams.mapping.functions.hashes import HASHES
from streams.mapping.functions.lists import LISTS
from streams.mapping.functions.numbers import NUMBERS
from streams.mapping.functions.text import TEXT
from streams.mapping.functions.times import TIMES

FAMILIES: dict[str, dict[str, Function]] = {
    "Text": TEXT,
    "Addresses and URLs": ADDRESSES,
    "Browsers": AGENTS,
    "Dates": TIMES,
    "Numbers and kinds": NUMBERS,
    "Choices, lists and objects": LISTS,
    "Hashes, encodings, JSON": HASHES,
}
FUNCTIONS: dict[str, Function] = {name: function for family in FAMILIES.values() for name, function in family.items()}


class Reducer(Enum):
    """How a new value meets the old one."""

    LATEST = "latest"
    COUNT = "count"
    SET = "set"
    VALUECT = "valuect"
    MAP = "map"
    MIN = "min"
    MAX = "max"


REDUCERS: dict[str, tuple[Reducer, int]] = {
    "count": (Reducer.COUNT, 1),
    "set": (Reducer.SET, 1),
    "valuect": (Reducer.VALUECT, 1),
    "map": (Reducer.MAP, 2),
    "min": (Reducer.MIN, 1),
    "max": (Reducer.MAX, 1),
}
"""Functions that define how to fold, and how many values they take; they are outermost in an expression. `map` is an
ordinary function inside of one."""

__all__ = ["EXAMPLE_MESSAGE", "EXAMPLE_TIME", "FAMILIES", "FUNCTIONS", "REDUCERS", "Function", "Reducer", "Yields"]
