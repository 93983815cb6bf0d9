"""Addresses in a bounded space, however many they are, from which those that are gone can be read by name (pure).

An invertible Bloom lookup table, as `sketch` is for ids: an address is in one cell of each of three rows, and a cell
holds the exclusive or of its addresses and their number. Taken from one another, two tables hold what only one has.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from zlib import compress, decompress

CELLS = 256
"""In each of three rows: up to about 550 addresses of difference are read, in 25 to 45 KB. Fewer: more removals between
two runs cannot be named; more: each step of the read carries them."""

_ROWS = 3
_HASH_BYTES = 6
_HASH_MASK = (1 << 8 * _HASH_BYTES) - 1
_CELL = Struct(">iH")


class AddressSketch:
    """The addresses that were added; one that is added twice counts twice."""

    def __init__(self, packed: str = "") -> None:
        self._counts = [0] * (_ROWS * CELLS)
        self._sums = [0] * (_ROWS * CELLS)
        content = decompress(b64decode(packed)) if packed else b""
        at = 0
        for cell in range(_ROWS * CELLS if content else 0):
            self._counts[cell], length = _CELL.unpack_from(content, at)
            at += _CELL.size + length
            self._sums[cell] = int.from_bytes(content[at - length : at])

    @property
    def count(self) -> int:
        """How many were added."""
        return sum(self._counts[:CELLS])

    def add(self, addresses: Iterable[bytes]) -> None:
        """Add addresses, which do not begin with a zero byte."""
        for address in addresses:
            self._put(int.from_bytes(address) << 8 * _HASH_BYTES | _hash(address), 1)

    def packed(self) -> str:
        """Return it as text."""
        parts = []
        for count, total in zip(self._counts, self._sums, strict=True):
            content = total.to_bytes((total.bit_length() + 7) // 8)
            parts += [_CELL.pack(count, len(content)), content]
        return b64encode(compress(b"".join(parts), 1)).decode()

    def gone(self, now: "AddressSketch") -> list[bytes] | None:
        """Return the addresses that are not there `now`, sorted; None when the two differ by too many to be read."""
        rest = AddressSketch()
        rest._counts = [then - count for then, count in zip(self._counts, now._counts, strict=True)]
        rest._sums = [then ^ total for then, total in zip(self._sums, now._sums, strict=True)]
        gone: list[bytes] = []
        looks = list(range(_ROWS * CELLS))
        while looks:
            cell = looks.pop()
            count, total = rest._counts[cell], rest._sums[cell]
            if abs(count) != 1 or (address := _address(total)) is None:
                continue
            if count > 0:
                gone.append(address)
            looks += rest._put(total, -count)
        return None if any(rest._counts) or any(rest._sums) else sorted(gone)

    def _put(self, entry: int, count: int) -> list[int]:
        number = entry & _HASH_MASK
        cells = [row * CELLS + (number >> 16 * row) % CELLS for row in range(_ROWS)]
        for cell in cells:
            self._counts[cell] += count
            self._sums[cell] ^= entry
        return cells


def _hash(address: bytes) -> int:
    return int.from_bytes(blake2b(address, digest_size=_HASH_BYTES).digest())


def _address(total: int) -> bytes | None:
    """Return the address of a cell that holds one alone, None for any other."""
    number = total >> 8 * _HASH_BYTES
    address = number.to_bytes((number.bit_length() + 7) // 8)
    return address if _hash(address) == total & _HASH_MASK else None
