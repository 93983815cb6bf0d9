"""Identifiers that look like Campaign Monitor's and come out the same for the same seed."""

from hashlib import blake2b
from itertools import count

_MASK = (1 << 64) - 1


class Identifiers:
    """Makes 32 lower-case hex characters from the seed, the kind of thing and its number."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._numbers: dict[str, count[int]] = {}

    def new(self, kind: str) -> str:
        """Return the next identifier of a kind."""
        number = next(self._numbers.setdefault(kind, count(1)))
        return blake2b(f"{self._seed}/{kind}/{number}".encode(), digest_size=16).hexdigest()


def mix(number: int) -> int:
    """Return 64 well-mixed bits of a number (splitmix64): the same ones each time, for data that is never stored."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
