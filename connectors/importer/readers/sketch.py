"""A set of row ids in 2 KB, however many they are, from which a small difference to another set can be read (pure).

An invertible Bloom lookup table: each id is in one cell of each of three rows, a cell holds the XOR of its ids and
their number. Taken from one another, two tables hold what only one set has; a cell with one id alone yields it, and
taking it out leaves others alone. So a report's mark needs no list of its ids for late rows to be found.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from zlib import compress, decompress

from connectors.campaign_monitor.events import SHORT_BYTES

CELLS = 64
"""In each of three rows. Up to about 130 ids of difference are read in nearly every case; twice as many take twice the
space in every mark."""

_ALL = 3 * CELLS
_LAYOUT = Struct(f">{_ALL}Q{_ALL}H")
_MASK = CELLS - 1
_SHIFT = _MASK.bit_length()
_CHECK = 0x9E3779B97F4A7C15


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
            self._ids, self._counts = list(numbers[:_ALL]), list(numbers[_ALL:])
        else:
            self._ids, self._counts = [0] * _ALL, [0] * _ALL

    def add(self, shorts: Iterable[bytes]) -> None:
        """Add ids of six bytes."""
        ids, counts = self._ids, self._counts
        for short in shorts:
            number = int.from_bytes(short)
            entry = number << 16 | (number * _CHECK >> 48) & 0xFFFF
            for cell in (
                number & _MASK,
                CELLS + (number >> _SHIFT & _MASK),
                2 * CELLS + (number >> 2 * _SHIFT & _MASK),
            ):
                ids[cell] ^= entry
                counts[cell] += 1

    def packed(self) -> str:
        """Return it as text."""
        counts = (count & 0xFFFF for count in self._counts)
        return b64encode(compress(_LAYOUT.pack(*self._ids, *counts), 1)).decode()

    def since(self, before: "Sketch") -> Difference | None:
        """Return what was added to an earlier set and what is gone; None when that is too much to be read."""
        ids = [now ^ then for now, then in zip(self._ids, before._ids, strict=True)]
        counts = [_signed(now - then) for now, then in zip(self._counts, before._counts, strict=True)]
        added: set[bytes] = set()
        gone: set[bytes] = set()
        alone = list(range(_ALL))
        while alone:
            cell = alone.pop()
            entry, count = ids[cell], counts[cell]
            number = entry >> 16
            if count not in (1, -1) or (number * _CHECK >> 48) & 0xFFFF != entry & 0xFFFF:
                continue
            (added if count == 1 else gone).add(number.to_bytes(SHORT_BYTES))
            for row in range(3):
                other = row * CELLS + (number >> row * _SHIFT & _MASK)
                ids[other] ^= entry
                counts[other] -= count
                alone.append(other)
            if len(added) + len(gone) > _ALL:
                return None
        return None if any(ids) or any(counts) else Difference(frozenset(added), frozenset(gone))


def _signed(count: int) -> int:
    """Return a difference of counts that are kept in 16 bits."""
    return (count + 0x8000 & 0xFFFF) - 0x8000
