"""A step of a backfill as one call: who is found due is imported together, and written once, after the answer.

    1 a note in the checkpoint, acknowledged: who is in the call, and for which job
    2 the call, when no live change waits
    3 receipts, acknowledged, with what the row says of the list then
    4 rows

The people are in the list's queue meanwhile, as in any request: who changes is looked at again after the answer, and
who is not simply accepted goes on there. A crash between 1 and 4 leaves people whose outcome is not known: the next
owner finds them in the note, and records in their rows that the job may have exported them (`note_calls`).
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from streams.batches import Row as TableRow
from streams.batches import decode_blob
from streams.export.recovery.takeover import CallNote
from streams.export.rules.due import mark_due
from streams.export.rules.flat_import import FlatImport
from streams.export.rules.orders import note_call
from streams.export.rules.row import MembershipRow
from streams.export.sending.direct_queue import ScanCall
from streams.export.sending.flat_calls import FlatPlans, StoredMembership, source_of
from streams.export.sending.queue import QueuedPerson
from streams.export.state import ExportState, OpenList, OwnedPartition
from streams.export.table import RowStore

# Of keys in one checkpoint, which is a record of at most a megabyte.
MAX_NOTED_BYTES = 200_000


class PlannedStep(NamedTuple):
    """The rows of one step of a scan."""

    call: ScanCall | None
    others: Sequence[StoredMembership]
    """Who needs something else, or nothing."""


class ScanCalls:
    """Plans the calls of scans, as the partition's owner."""

    def __init__(self, state: ExportState, rows: RowStore, plans: FlatPlans, min_people: int) -> None:
        """`min_people`: fewer of a step go through the queue."""
        self._state = state
        self._rows = rows
        self._plans = plans
        self._min_people = min_people

    def plan(
        self, owned: OwnedPartition, opened: OpenList, keys: Sequence[bytes], careful: Collection[bytes], now: float
    ) -> PlannedStep:
        """Plan a step. `careful`: keys of people with a call whose outcome is not known."""
        blobs = self._rows.read_blobs(owned.number, keys)
        stored = [(key, blob) for key, blob in zip(keys, blobs, strict=True) if blob is not None]
        found = self._plans.of_list(opened, now)
        listed = self._state.listed(opened.list_id)
        if found is None or listed is None or len(stored) < self._min_people:
            return PlannedStep(None, stored)
        plan, passing = found
        values = [(key, blob, decode_blob(blob)[0]) for key, blob in stored]
        source = next((source_of(value) for _, _, value in values if value), 0)
        people: list[FlatImport] = []
        planned: list[bytes] = []
        others: list[StoredMembership] = []
        for key, blob, value in values:
            usual = value is not None and key not in careful and (owned.number, key) not in opened.queue
            person = passing.person(key, [], value, source) if usual else None
            if person is None:
                others.append((key, blob))
                continue
            people.append(person)
            planned.append(blob)
        noted = sum(len(key) for note in owned.checkpoint.calls for key in note.keys)
        if len(people) < self._min_people or noted + sum(len(person.key) for person in people) > MAX_NOTED_BYTES:
            return PlannedStep(None, stored)
        queued = [QueuedPerson((owned.number, person.key), live=False, since=now) for person in people]
        return PlannedStep(ScanCall(owned.number, listed, plan, source, people, planned, queued), others)


async def note_calls(
    state: ExportState, table: RowStore, owned: OwnedPartition, notes: Sequence[CallNote], *, unknown: bool
) -> None:
    """Record in rows, as the owner, that calls may have been made. `unknown`: nobody here will get their answers."""
    rows = await table.read(owned.number, {key.encode() for note in notes for key in note.keys})
    changed: dict[bytes, TableRow[MembershipRow]] = {}
    for note in notes:
        is_due = unknown and state.listed(note.list_id) is not None
        for key in note.keys:
            row = rows[key.encode()]
            if row.exists and (note_call(row.data, note.list_id, note.job_id) or is_due):
                changed[row.key] = row
                if is_due:
                    mark_due(row.data)
    table.give_back(owned.number, [row for key, row in rows.items() if key not in changed])
    await table.write_rows(owned.number, owned.generation, changed.values())


def note_of(call: ScanCall) -> CallNote:
    """Return the note of a call."""
    return CallNote(call.listed.list_id, call.plan.view.id, tuple(person.key.decode() for person in call.people))
