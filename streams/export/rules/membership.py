"""What a membership event does to a person's row: the last by event time wins, whatever the order of arrival.

Per person and audience the statement with the latest event time is in force. At the same instant a change beats a
snapshot, and of two changes, or two snapshots, the later record of the topic is in force: leaving does not win over an
entering that upstream published after it. Statements of different instants give the same row in every order. A field
keeps its latest value; at the same instant the greater by its JSON text, and clearing is the smallest.

The first snapshot of a person says what they were in before, not when they entered: an audience of it that the row did
not know counts as entered before every job. Later snapshots enter and leave at their own time. Event times are cut at
append plus a tolerance before they get here (`intake/decode.py`), so that an event from a clock that is ahead blocks
true later ones for no longer than that. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from schemas.envelope import EpochMillis
from streams.export.rules.row import (
    ENTER,
    EXIT,
    NEVER,
    SNAPSHOT_IN,
    SNAPSHOT_OUT,
    AudienceEntry,
    MembershipRow,
    kind_of,
)

# A person in thousands of audiences is a fault upstream, and the row is written for every change.
MAX_AUDIENCES = 2_000
MAX_FIELDS = 500


class RankedChange(NamedTuple):
    """Entering or leaving one audience, and when. `rank`: see `row.py`."""

    audience: str
    rank: int
    at: EpochMillis


class MembershipEvent(NamedTuple):
    """A membership record, decoded: changes (one, but some systems send several at once), or a snapshot of all."""

    email: str
    at: EpochMillis
    changes: tuple[RankedChange, ...]
    snapshot: frozenset[str] | None
    fields: Mapping[str, Any]
    names: Sequence[tuple[str, str]]
    """(id, name) of the audiences that the event names."""
    position: int
    appended: EpochMillis
    previous: str | None = None
    """The address that the person had before."""
    leaves_to: str | None = None
    """The address that the person has from now on: the record is no event but the export's own (`intake/agent.py`)."""

    @property
    def enters(self) -> bool:
        """Whether it is a snapshot or enters an audience: such events count even before a job with existing users."""
        return self.snapshot is not None or any(change.rank != EXIT for change in self.changes)


class SupersededChange(NamedTuple):
    """A change that is no longer in force: its receipt is `superseded`, unless a request includes it right now."""

    audience: str
    rank: int
    position: int
    appended: EpochMillis
    since: EpochMillis


@dataclass(slots=True)
class FoldResult:
    """What an event did to a row."""

    changed: list[str] = field(default_factory=list)
    """Audiences whose entry comes from this event now: their receipt follows when it was delivered."""
    superseded: list[SupersededChange] = field(default_factory=list)
    """Earlier changes that this one replaces."""
    stale: list[str] = field(default_factory=list)
    """Audiences for which something newer was known already."""
    repeated: list[str] = field(default_factory=list)
    """Audiences about which the event states exactly what was known already."""
    fields: bool = False
    """Whether a field changed."""


class RowTooLargeError(ValueError):
    """The event would let the row grow beyond its bounds."""


def fold(row: MembershipRow, event: MembershipEvent) -> FoldResult:
    """Apply an event to the row, in place, and return what it did.

    The caller leaves out records that the row has folded in already (replays). Raises RowTooLargeError, before
    anything is changed, when the row would outgrow its bounds.
    """
    result = FoldResult()
    _check_size(row, event)
    first = row.snapshot_at == NEVER
    for change in event.changes:
        _apply_change(row, change, event, result)
    if event.snapshot is not None:
        for audience in sorted(event.snapshot):
            known = audience in row.audiences
            _apply_change(row, RankedChange(audience, SNAPSHOT_IN, event.at), event, result)
            if first and not known:
                row.audiences[audience].since = NEVER
        for audience in sorted(row.audiences.keys() - event.snapshot):
            _apply_change(row, RankedChange(audience, SNAPSHOT_OUT, event.at), event, result)
        row.snapshot_at = max(row.snapshot_at, event.at)
    for name, value in event.fields.items():
        result.fields |= _keep_field(row, name, value, event.at)
    return result


def _apply_change(row: MembershipRow, change: RankedChange, event: MembershipEvent, result: FoldResult) -> None:
    audience, rank, at = change
    known = row.audiences.get(audience)
    known_at, known_rank = (row.snapshot_at, SNAPSHOT_OUT) if known is None else (known.at, known.rank)
    earlier = (at, kind_of(rank)) < (known_at, kind_of(known_rank))
    if known is None:
        if earlier:
            result.stale.append(audience)
        else:
            entered = at if rank == ENTER else known_at
            row.audiences[audience] = AudienceEntry(rank, at, event.position, event.appended, at, entered)
            result.changed.append(audience)
    elif earlier:
        if rank != SNAPSHOT_OUT:
            result.stale.append(audience)
    elif (at, rank) == (known_at, known_rank):
        result.repeated.append(audience)
    elif rank in (SNAPSHOT_IN, SNAPSHOT_OUT) and known.inside == (rank == SNAPSHOT_IN):
        known.rank, known.at = rank, at
        if rank == SNAPSHOT_IN:
            result.repeated.append(audience)
    else:
        replaced = SupersededChange(audience, known.rank, known.position, known.appended, known.since)
        result.superseded.append(replaced)
        entered = at if rank == ENTER else known_at
        row.audiences[audience] = AudienceEntry(rank, at, event.position, event.appended, at, entered)
        result.changed.append(audience)


def _keep_field(row: MembershipRow, name: str, value: Any, at: EpochMillis) -> bool:
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


def _check_size(row: MembershipRow, event: MembershipEvent) -> None:
    named = {change.audience for change in event.changes} | (event.snapshot or frozenset())
    audiences = len(row.audiences) + sum(audience not in row.audiences for audience in named)
    if audiences > MAX_AUDIENCES:
        raise RowTooLargeError(f"the person would be in {audiences} audiences; at most {MAX_AUDIENCES} are kept")
    if event.fields:
        fields = len(row.fields) + sum(name not in row.fields for name in event.fields)
        if fields > MAX_FIELDS:
            raise RowTooLargeError(f"the person would have {fields} fields; at most {MAX_FIELDS} are kept")
