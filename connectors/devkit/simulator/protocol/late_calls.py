"""Writes that are applied after their caller was cut off or went away: held for a time, or until released."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

Schedule = Callable[[float, Callable[[], None]], None]


class LateCall(NamedTuple):
    """One held write; `apply` carries it out and returns status and code as the request log writes them."""

    number: int
    endpoint: str
    addresses: tuple[str, ...]
    apply: Callable[[], str]


class LateCalls:
    """The held writes, in the order in which they came."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._held: dict[int, LateCall] = {}
        self._numbers = count(1)

    def hold(
        self, endpoint: str, addresses: Sequence[str], apply: Callable[[], str], seconds: float | None = None
    ) -> int:
        """Hold a write and return its number; with `seconds` it is applied when the clock is as much further."""
        number = next(self._numbers)
        self._held[number] = LateCall(number, endpoint, tuple(addresses), apply)
        if seconds is not None:
            self._schedule(seconds, lambda: self._apply_due(number))
        return number

    def shown(self) -> list[dict[str, Any]]:
        """Return number, endpoint and `list id/address` of each held write."""
        return [
            {"number": held.number, "endpoint": held.endpoint, "addresses": list(held.addresses)}
            for held in self._held.values()
        ]

    def release(self, number: int | None = None) -> list[str]:
        """Apply one held write, or all in the order of their arrival; return what each would have been answered."""
        numbers = list(self._held) if number is None else [number]
        return [answer for held in numbers if (answer := self._apply(held)) is not None]

    def drop(self, number: int | None = None) -> int:
        """Forget one held write, or all: they are never applied. Return how many there were."""
        numbers = list(self._held) if number is None else [number]
        return sum(self._held.pop(held, None) is not None for held in numbers)

    def __len__(self) -> int:
        return len(self._held)

    def _apply_due(self, number: int) -> None:
        self._apply(number)

    def _apply(self, number: int) -> str | None:
        held = self._held.pop(number, None)
        return None if held is None else held.apply()
