"""What waits in the export workers for its delivery, as each of them reports it, and all together. Pure.

A worker that was killed leaves a report behind; reports that are old do not count.
"""

from collections.abc import Iterable
from typing import NamedTuple, Self

import orjson

from schemas.envelope import EpochMillis

WAITING = b"waiting/"
"""Begins the keys of reports in the export's state topic; the worker's name follows."""
FORGET_SECONDS = 20.0
"""A worker whose last report is older has ended, or nobody waits any more: a report comes every few seconds."""


class WaitingReport(NamedTuple):
    """One worker's, at a time."""

    people: int
    since: EpochMillis
    at: EpochMillis

    def to_bytes(self) -> bytes:
        """Return the report as the topic has it."""
        return orjson.dumps(self._asdict())

    @classmethod
    def from_bytes(cls, value: bytes) -> Self | None:
        """Return a report; None for what is none."""
        try:
            return cls(**orjson.loads(value))
        except (ValueError, TypeError):
            return None


class Undelivered(NamedTuple):
    """Changes that were read, and are not delivered."""

    people: int = 0
    since: float | None = None
    """When a worker learned of the oldest, Unix time in seconds; None: nobody waits for long."""


def undelivered(reports: Iterable[WaitingReport], now: float) -> Undelivered:
    """Return what workers reported lately, together. `now`: Unix time in seconds."""
    late = [report for report in reports if now - report.at / 1_000 <= FORGET_SECONDS]
    since = min((report.since / 1_000 for report in late), default=None)
    return Undelivered(sum(report.people for report in late), since)


def undelivered_text(found: Undelivered, now: float) -> str:
    """Return what waits as a sentence."""
    if found.since is None:
        return "What export workers have read is delivered, or waits for some seconds."
    return f"{found.people:,} people wait for the delivery of what was read, the oldest for {now - found.since:,.0f} s."
