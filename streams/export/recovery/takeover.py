"""Taking over a partition: receipts that were written before the predecessor's rows are brought into the rows.

A receipt is acknowledged before its row is written, so after a crash the topic may be ahead of the table by a few
seconds. The predecessor records in a checkpoint up to which receipt its rows are complete; what came after is read
from the topic, once, before the first batch and before anything is sent. So the same change never gets a second
receipt, and what the list holds already is not sent again. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import orjson

from streams.export.recovery.receipts import HELD
from streams.export.rules.row import DeliveredPart, MembershipRow, decode_held
from streams.export.table import StoredReceipt


class KeyRange(NamedTuple):
    """Keys after `after`, up to and with `upto`."""

    after: str
    upto: str

    def includes(self, key: str) -> bool:
        """Whether a key is inside."""
        return self.after < key <= self.upto

    def with_(self, other: "KeyRange | None") -> "KeyRange":
        """Return the smallest range that includes both."""
        return self if other is None else KeyRange(min(self.after, other.after), max(self.upto, other.upto))


class ScanMark(NamedTuple):
    """How far a backfill scan got. Between `after` and `front` requests may be under way that no row records."""

    revision: str
    """Of the list's jobs; empty when they have changed since."""
    after: str | None
    """Every row up to this key is done; None: the scan is complete."""
    front: str = ""
    unanswered: KeyRange | None = None
    """Keys that an earlier scan, for other jobs, may have sent without an answer."""

    @property
    def open_range(self) -> KeyRange | None:
        """Keys that may have been sent with unknown outcome, when only this checkpoint is known."""
        if self.after is None:
            return None
        return KeyRange(self.after, max(self.front, self.after)).with_(self.unanswered)


class SentRange(NamedTuple):
    """Up to which record of the source calls may have been made before the rows were written."""

    source: int
    """Incarnation of the topic."""
    upto: int


class CallNote(NamedTuple):
    """Who may be in a backfill's call whose answer is in no row yet."""

    list_id: str
    job_id: str
    keys: tuple[str, ...]


@dataclass(slots=True)
class PartitionCheckpoint:
    """What a partition has done so far; a row of the table."""

    receipts: int = -1
    """Rows are complete up to this offset of the receipts' partition; -1: no receipt was ever written."""
    scans: dict[str, ScanMark] = field(default_factory=dict)
    """By list."""
    people: dict[str, int] = field(default_factory=dict)
    """By list: how many people it holds for us."""
    sent: dict[str, SentRange] = field(default_factory=dict)
    """By list."""
    calls: list[CallNote] = field(default_factory=list)
    """Of backfills."""


def read_checkpoint(row: MembershipRow) -> PartitionCheckpoint:
    """Read a checkpoint out of its row."""
    stored = row.fields.get("checkpoint")
    if stored is None:
        return PartitionCheckpoint()
    body: dict[str, Any] = stored[0]
    scans = {
        list_id: ScanMark(revision, after, front, None if unanswered is None else KeyRange(*unanswered))
        for list_id, (revision, after, front, unanswered) in body["sweeps"].items()
    }
    calls = [CallNote(list_id, job_id, tuple(keys)) for list_id, job_id, keys in body["calls"]]
    sent = {list_id: SentRange(*known) for list_id, known in body["sent"].items()}
    return PartitionCheckpoint(body["receipts"], scans, dict(body["people"]), sent, calls)


def write_checkpoint(row: MembershipRow, checkpoint: PartitionCheckpoint) -> None:
    """Put a checkpoint into its row."""
    scans = {
        list_id: [mark.revision, mark.after, mark.front, None if mark.unanswered is None else [*mark.unanswered]]
        for list_id, mark in checkpoint.scans.items()
    }
    # "sweeps" is the stored name of scans.
    body: dict[str, Any] = {"receipts": checkpoint.receipts, "sweeps": scans, "people": checkpoint.people}
    body["sent"] = {list_id: [*sent] for list_id, sent in checkpoint.sent.items()}
    body["calls"] = [list(note) for note in checkpoint.calls]
    row.fields["checkpoint"] = (body, 0)


def apply(rows: Mapping[bytes, MembershipRow], tail: Iterable[StoredReceipt]) -> set[bytes]:
    """Bring rows up to the receipts, in place, in the order of the topic. Returns the keys of rows that changed.

    What a list holds is replaced as a whole by the receipt's header. Of the positions delivered for a job, the later
    one counts: a row may be ahead of an old receipt. What has its receipt is outstanding no more, whatever led to it.
    """
    changed: set[bytes] = set()
    for stored in tail:
        row = rows.get(stored.key)
        if row is None:
            continue
        body = orjson.loads(stored.value)
        list_id, job_id, position = body["list_id"], body["job_id"], body["source"]["offset"]
        outstanding = [known for known in row.outstanding if (known[0], known[2]) != (job_id, position)]
        if len(outstanding) < len(row.outstanding):
            row.outstanding = outstanding
            changed.add(stored.key)
        header = next((value for name, value in stored.headers if name == HELD), None)
        if header is None:
            continue
        held = decode_held(orjson.loads(header))
        known = row.lists.get(list_id)
        newer = known is not None and known.seen >= held.seen and known.delivered.keys() >= held.delivered.keys()
        if newer and known is not None and _is_answered(known.delivered[job_id], position):
            continue
        # Other changes of the same request may not have their receipts yet: only this one is answered.
        for job, part in list(held.delivered.items()):
            before = known.delivered[job].answered if known is not None and job in known.delivered else -1
            answered = max(before, position) if job == job_id and position not in part.also else before
            held.delivered[job] = replace(part, answered=answered)
        for job, part in known.delivered.items() if known is not None else ():
            if part.exported:  # a later change may have noted it
                held.delivered.setdefault(job, DeliveredPart("", -1)).exported = True
        row.lists[list_id] = held
        changed.add(stored.key)
    return changed


def _is_answered(part: DeliveredPart, position: int) -> bool:
    return position <= part.answered or position in part.also
