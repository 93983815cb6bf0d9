"""What a membership event does to a person's row: the last by event time wins, whatever the order of arrival.

Per person and audience there is one word that counts: the one with the latest event time. At the same instant a
change beats a snapshot and leaving beats entering, so that every order of the same events gives the same row (except
for which record's receipt says "superseded"). A field keeps its latest value; at the same instant the greater by its
JSON text, and clearing is least.

Event times are cut at the time of append plus a tolerance before they get here (`streams/audience/decode.py`), so
that an event from a clock that is ahead blocks true later ones for no longer than that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from streams.domain.rows import (
    SNAPSHOT_IN,
    SNAPSHOT_OUT,
    Millis,
    Row,
    Standing,
)

# A person in thousands of audiences is a fault upstream, and the row is written for every change.
MAX_AUDIENCES = 2_000
MAX_FIELDS = 500


class Change(NamedTuple):
    """Entering or leaving one audience, and when."""

    audience: str
    rank: int
    at: Millis


class Event(NamedTuple):
    """A membership record, decoded: changes (one, but some systems tell several at once), or a snapshot of all."""

    email: str
    at: Millis
    changes: tuple[Change, ...]
    snapshot: frozenset[str] | None
    fields: Mapping[str, Any]
    names: Sequence[tuple[str, str]]
    """(id, name) of the audiences that the event names."""
    position: int
    appended: Millis
    previous: str | None = None


class Overtaken(NamedTuple):
    """A change that no longer stands: `superseded` is its receipt, unless a request is carrying it right now."""

    audience: str
    rank: int
    position: int
    appended: Millis
    since: Millis


@dataclass(slots=True)
class Folded:
    """What an event did."""

    moved: list[str] = field(default_factory=list)
    """Audiences whose standing is now this event's word, to be answered."""
    overtaken: list[Overtaken] = field(default_factory=list)
    """Earlier changes that this one replaces."""
    stale: list[str] = field(default_factory=list)
    """Audiences for which something newer was known already."""
    repeated: list[str] = field(default_factory=list)
    """Audiences about which the event says exactly what was known already."""
    fields: bool = False
    """Whether a field changed."""


class TooLargeError(ValueError):
    """The event would let the row grow beyond its bounds."""


def fold(row: Row, event: Event) -> Folded:
    """Apply an event to the row, in place, and say what it did.

    The caller leaves out records that the row has folded in already (replays). Raises TooLargeError, before anything is
    changed, when the row would outgrow its bounds.
    """
    done = Folded()
    _check_size(row, event)
    for change in event.changes:
        _assert(row, change, event, done)
    if event.snapshot is not None:
        for audience in sorted(event.snapshot):
            _assert(row, Change(audience, SNAPSHOT_IN, event.at), event, done)
        for audience in sorted(row.audiences.keys() - event.snapshot):
            _assert(row, Change(audience, SNAPSHOT_OUT, event.at), event, done)
        row.snapshot_at = max(row.snapshot_at, event.at)
    for name, value in event.fields.items():
        done.fields |= _keep_field(row, name, value, event.at)
    return done


def _assert(row: Row, change: Change, event: Event, done: Folded) -> None:
    audience, rank, at = change
    known = row.audiences.get(audience)
    word, standing = (at, rank), _word(row, known)
    if known is None:
        if word < standing:
            done.stale.append(audience)
        else:
            row.audiences[audience] = Standing(rank, at, event.position, event.appended, at)
            done.moved.append(audience)
    elif word < standing:
        if rank != SNAPSHOT_OUT:
            done.stale.append(audience)
    elif word == standing:
        done.repeated.append(audience)
    elif rank in (SNAPSHOT_IN, SNAPSHOT_OUT) and known.inside == (rank == SNAPSHOT_IN):
        known.rank, known.at = rank, at
        if rank == SNAPSHOT_IN:
            done.repeated.append(audience)
    else:
        done.overtaken.append(Overtaken(audience, known.rank, known.position, known.appended, known.since))
        row.audiences[audience] = Standing(rank, at, event.position, event.appended, at)
        done.moved.append(audience)


def _word(row: Row, known: Standing | None) -> tuple[Millis, int]:
    return (row.snapshot_at, SNAPSHOT_OUT) if known is None else (known.at, known.rank)


def _keep_field(row: Row, name: str, value: Any, at: Millis) -> bool:
    known = row.fields.get(name)
    if known is not None:
        if at < known[1] or (at == known[1] and _weight(value) <= _weight(known[0])):
            return False
        if type(value) is type(known[0]) and value == known[0]:
            row.fields[name] = (value, at)
            return False
    row.fields[name] = (value, at)
    return True


def _weight(value: Any) -> bytes:
    return b"" if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _check_size(row: Row, event: Event) -> None:
    named = {change.audience for change in event.changes} | (event.snapshot or frozenset())
    audiences = len(row.audiences) + sum(audience not in row.audiences for audience in named)
    if audiences > MAX_AUDIENCES:
        raise TooLargeError(f"the person would be in {audiences} audiences; at most {MAX_AUDIENCES} are kept")
    if event.fields:
        fields = len(row.fields) + sum(name not in row.fields for name in event.fields)
        if fields > MAX_FIELDS:
            raise TooLargeError(f"the person would have {fields} fields; at most {MAX_FIELDS} are kept")
