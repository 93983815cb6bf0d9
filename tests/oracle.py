"""What must have come of a topic's records, judged from the topics alone: lost, double, wrong, unknown.

Shares no code with streams/. The job that is judged (tests/faults/batches/worker.py) keeps for each key which sequence
numbers it counted, and which it counted again, so that a record lost and another counted twice do not cancel out.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

FEWEST_OBLIGATIONS = 1000
"""A run with less proves nothing."""
MIN_SHARE_IN_HAND = 0.8
"""Of the kills, so many must hit a worker with work in hand."""


class Event(NamedTuple):
    """A record of the input, as the oracle cares about it."""

    key: bytes
    value: bytes
    offset: int
    partition: int


@dataclass
class Expected:
    """One key, folded in offset order."""

    numbers: set[int] = field(default_factory=set)
    total: int = 0
    last_number: int = -1
    last_offset: int = -1


@dataclass(frozen=True)
class Verdict:
    """Counts of records, but `wrong` counts keys. `obligations` are the records that had to be folded."""

    obligations: int
    lost: int
    double: int
    wrong: int
    unknown: int

    @property
    def exact(self) -> bool:
        """Nothing lost, nothing twice, nothing else."""
        return not (self.lost or self.double or self.wrong or self.unknown)

    def __str__(self) -> str:
        return (
            f"N = {self.obligations}: lost {self.lost}, double {self.double}, wrong {self.wrong}, "
            f"unknown {self.unknown}"
        )


def event(number: int, amount: int) -> bytes:
    """The value of a key's record: its place among the key's records, and what it adds to the sum."""
    return json.dumps({"i": number, "v": amount}).encode()


def expected(events: Iterable[Event]) -> dict[bytes, Expected]:
    """Fold the input: only what is {"i": ..., "v": ...}; the rest is poison and must be among the dead letters."""
    rows: dict[bytes, Expected] = {}
    for event in sorted(events, key=lambda e: (e.partition, e.offset)):
        content = parsed(event.value)
        if content is None:
            continue
        row = rows.setdefault(event.key, Expected())
        row.numbers.add(content["i"])
        row.total += content["v"]
        row.last_number = content["i"]
        row.last_offset = event.offset
    return rows


def parsed(value: bytes | None) -> dict[str, int] | None:
    """The content of a good record, None for poison."""
    try:
        content = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("bug"):
        return None
    return content if isinstance(content.get("i"), int) and isinstance(content.get("v"), int) else None


def judge(wanted: Mapping[bytes, Expected], rows: Mapping[bytes, Mapping[str, Any]]) -> Verdict:
    """Compare the job's rows with the oracle's: {"n", "sum", "last", "seen" (bits, hex), "again" (numbers)}."""
    lost = double = wrong = unknown = 0
    for key, want in wanted.items():
        row = rows.get(key)
        if row is None:
            lost += len(want.numbers)
            continue
        seen = numbers_of(row["seen"])
        missing, more, again = want.numbers - seen, seen - want.numbers, len(row["again"])
        lost, unknown, double = lost + len(missing), unknown + len(more), double + again
        fits = row["n"] == len(seen) + again
        if not missing and not more and not again:
            fits = fits and row["sum"] == want.total and row["last"] == want.last_number
        wrong += not fits
    for key in rows.keys() - wanted.keys():
        unknown += rows[key]["n"]
    return Verdict(sum(len(want.numbers) for want in wanted.values()), lost, double, wrong, unknown)


def numbers_of(bits: str) -> set[int]:
    """The numbers whose bits are set."""
    number = int(bits, 16)
    return {at for at in range(number.bit_length()) if number >> at & 1}


def assert_not_void(verdict: Verdict, kills: int = 0, in_hand: int = 0) -> None:
    """A green run must have had something to lose."""
    assert verdict.obligations >= FEWEST_OBLIGATIONS, f"void: only {verdict.obligations} obligations"
    assert in_hand >= MIN_SHARE_IN_HAND * kills, f"void: {in_hand} of {kills} kills hit a worker with work in hand"
