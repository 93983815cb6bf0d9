"""Whose what is known of an address is, where it has had several people one after the other. Pure.

A row keeps apart what belongs to each of them (`MembershipRow.tenures`, by event time) and is itself the union: who
does not leave is the same person as the next one. See `rules/transfers.py`.
"""

from collections.abc import Iterable
from dataclasses import replace

from schemas.envelope import EpochMillis
from streams.export.rules.membership import MembershipEvent, SupersededChange, fold
from streams.export.rules.row import NEVER, SNAPSHOT_IN, SNAPSHOT_OUT, AudienceEntry, MembershipRow, kind_of


def begin_tenure(row: MembershipRow, at: EpochMillis) -> None:
    """Separate, in place, what is known up to now from what belongs to whoever has the address from `at` on."""
    if not row.tenures:
        row.tenures = [(NEVER, _union([row]))]
    number = max(index for index, (since, _) in enumerate(row.tenures) if since <= at)
    since, before = row.tenures[number]
    if since == at:
        return
    after = MembershipRow(
        audiences={audience: entry for audience, entry in before.audiences.items() if entry.at >= at},
        fields={name: known for name, known in before.fields.items() if known[1] >= at},
    )
    if before.snapshot_at >= at:
        after.snapshot_at, after.awaited_at = before.snapshot_at, before.awaited_at
        before.snapshot_at, before.awaited_at = NEVER, None
    before.audiences = {audience: entry for audience, entry in before.audiences.items() if entry.at < at}
    before.fields = {name: known for name, known in before.fields.items() if known[1] < at}
    row.tenures.insert(number + 1, (at, after))


def fold_tenure(row: MembershipRow, event: MembershipEvent) -> None:
    """Fold an event, that the row has folded, into the tenure that it belongs to."""
    if row.tenures:
        fold(tenure_at(row, event.at), event)


def tenure_at(row: MembershipRow, at: EpochMillis) -> MembershipRow:
    """Return what is known of who had the address at a time."""
    return next(tenure for since, tenure in reversed(row.tenures) if since <= at)


def part_of(row: MembershipRow, tenures: Iterable[MembershipRow]) -> MembershipRow:
    """Return the union of some of a row's tenures; what is not in force in the whole row has its receipts."""
    part = _union(tenures)
    for audience, entry in part.audiences.items():
        if row.audiences[audience].position != entry.position:
            entry.position = -1
    return part


def _union(parts: Iterable[MembershipRow]) -> MembershipRow:
    """Return what several rows state together; a copy."""
    whole = MembershipRow()
    for part in parts:
        merge(whole, part)
    return whole


def merge(row: MembershipRow, other: MembershipRow) -> list[SupersededChange]:
    """Take over what another row states later; at one instant what was appended later. Changes the first row.

    An audience that one of them does not know counts as left at its latest snapshot.

    Returns the changes that it replaces.
    """
    replaced: list[SupersededChange] = []
    for audience in dict.fromkeys([*row.audiences, *other.audiences]):
        mine = row.audiences.get(audience)
        merged = _later(_stated(row, audience), _stated(other, audience))
        if mine is not None and (mine.inside, mine.position) != (merged.inside, merged.position):
            replaced.append(SupersededChange(audience, mine.rank, mine.position, mine.appended, mine.since))
        row.audiences[audience] = merged
    for name, (value, valid_from) in other.fields.items():
        if name not in row.fields or row.fields[name][1] < valid_from:
            row.fields[name] = (value, valid_from)
    row.snapshot_at = max(row.snapshot_at, other.snapshot_at)
    return replaced


def _stated(row: MembershipRow, audience: str) -> AudienceEntry:
    """Return what a row knows of an audience: by its latest snapshot, somebody is in no others than it named."""
    at = row.snapshot_at
    position, appended = row.awaited_at or (-1, 0)
    return row.audiences.get(audience) or AudienceEntry(SNAPSHOT_OUT, at, position, appended, at, at)


def _later(one: AudienceEntry, other: AudienceEntry) -> AudienceEntry:
    """Return the later of two entries about one audience, with what the earlier one knows since when; a copy."""
    earlier, later = sorted((one, other), key=_order)
    if later.rank == SNAPSHOT_IN and later.entered < earlier.at:  # its row did not know the earlier one
        if earlier.inside:
            return replace(later, since=earlier.since, entered=earlier.entered)
        return replace(later, since=later.at, entered=earlier.at)
    if later.rank == SNAPSHOT_OUT and not earlier.inside and earlier.at != NEVER:
        return replace(earlier, rank=SNAPSHOT_OUT, at=later.at)
    if later.rank == SNAPSHOT_OUT and later.position < 0:
        return replace(later, appended=earlier.appended, entered=earlier.at)
    return replace(later)


def _order(entry: AudienceEntry) -> tuple[EpochMillis, int, EpochMillis, int]:
    return entry.at, kind_of(entry.rank), entry.appended, entry.rank
