"""A set of row ids in 2 KB, however many they are, from which a small difference to another set can be read (pure).

An invertible Bloom lookup table: each id is in one cell of each of three rows, and a cell holds the sum of its ids and
their number. Taken from one another, two tables hold what only one set has; a cell with one id alone yields it, and
taking it out leaves others alone. So a report's mark needs no list of its ids for late rows to be found.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection
from dataclasses import dataclass
from struct import Struct, unpack
from zlib import compress, decompress

from connectors.campaign_monitor.events import SHORT_BYTES

CELLS = 64
"""In each of three rows. Up to about 130 ids of difference are read in nearly every case; twice as many take twice the
space in every mark."""

_ROWS = 3
_LAYOUT = Struct(f">{_ROWS * CELLS}Q{_ROWS * CELLS}I")
_MASK, _SHIFT = CELLS - 1, (CELLS - 1).bit_length()
_PADDING = bytes(8 - SHORT_BYTES)

_ID_BITS = 8 * SHORT_BYTES
_ID = (1 << _ID_BITS) - 1
_LOW = (1 << 64) - 1
_FACTOR = 0x9E3779B97F4A7C15
_ONE = 1 << 80
"""Counts one id in a cell: above the sum of as many entries as its other bits can count."""
_CELL = 1 << 96


def _entry(number: int) -> int:
    """Return what a cell adds up for an id: the id, 16 bits of check, and one.

    The check must not be linear: that of two ids without a third would be right for the sum of their numbers.
    """
    return (((number * number & _LOW) * _FACTOR & _LOW) >> _ID_BITS) << _ID_BITS | number | _ONE


@dataclass(frozen=True, slots=True)
class Difference:
    """Short ids that only one of two sets has."""

    added: frozenset[bytes]
    gone: frozenset[bytes]


class Sketch:
    """The set of the ids that were added. An id that is added twice spoils it: no difference can be read then."""

    def __init__(self, packed: str = "") -> None:
        if packed:
            numbers = _LAYOUT.unpack(decompress(b64decode(packed)))
            cells = [high << 64 | low for low, high in zip(numbers, numbers[_ROWS * CELLS :], strict=False)]
        else:
            cells = [0] * (_ROWS * CELLS)
        self._rows = [cells[start : start + CELLS] for start in range(0, len(cells), CELLS)]

    def add(self, shorts: Collection[bytes]) -> None:
        """Add ids of six bytes."""
        first, second, third = self._rows
        joined = b"".join([_PADDING + short for short in shorts])
        for number in unpack(f">{len(shorts)}Q", joined):
            # `_entry`, without the price of a call for each row of an import
            entry = (((number * number & _LOW) * _FACTOR & _LOW) >> _ID_BITS) << _ID_BITS | number | _ONE
            first[number & _MASK] += entry
            second[number >> _SHIFT & _MASK] += entry
            third[number >> 2 * _SHIFT & _MASK] += entry

    def packed(self) -> str:
        """Return it as text."""
        cells = [cell % _CELL for row in self._rows for cell in row]
        joined = _LAYOUT.pack(*(cell & _LOW for cell in cells), *(cell >> 64 for cell in cells))
        return b64encode(compress(joined, 1)).decode()

    def since(self, before: "Sketch") -> Difference | None:
        """Return what was added to an earlier set and what is gone; None when that is too much to be read."""
        rows = [
            [_signed(now - then) for now, then in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(self._rows, before._rows, strict=True)
        ]
        added: set[bytes] = set()
        gone: set[bytes] = set()
        looks = [(row, cell) for row in range(_ROWS) for cell in range(CELLS)]
        readable = _ROWS * CELLS
        while looks and readable:
            row, cell = looks.pop()
            entry = rows[row][cell]
            number = _only_id(abs(entry))
            if number is None or number >> row * _SHIFT & _MASK != cell:
                continue
            readable -= 1
            (added if entry > 0 else gone).add(number.to_bytes(SHORT_BYTES))
            for other in range(_ROWS):
                at = number >> other * _SHIFT & _MASK
                rows[other][at] -= entry
                looks.append((other, at))
        return None if any(map(any, rows)) else Difference(frozenset(added), frozenset(gone))


def _signed(difference: int) -> int:
    """Return the difference of two cells, which are kept without what exceeds their size."""
    return (difference + _CELL // 2) % _CELL - _CELL // 2


def _only_id(entry: int) -> int | None:
    """Return the id of an entry that holds one alone, None for any other."""
    number = entry & _ID
    return number if entry == _entry(number) else None
