"""Taking over a partition: receipts that were written before the predecessor's rows are brought into the rows.

A receipt is acknowledged before its row is written, so after a crash the topic may be ahead of the table by a few
seconds. The predecessor records in a checkpoint up to which receipt its rows are complete; what came after is read
from the topic, once, before the first batch and before anything is sent. So the same change never gets a second
receipt, and what the list holds already is not sent again. Pure.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from schemas.envelope import EpochMillis, rfc3339
from streams.batches import Output
from streams.export.rules.row import DeliveredPart, Held, MembershipRow, decode_held, encode_held
from streams.export.rules.settlement import Receipt
from streams.export.table import StoredReceipt

LONGEST_ID = 128
"""Characters of a receipt's id."""

HELD = "export.held"
"""Header: the row's entry for the list, after this receipt. Absent on receipts that no call led to."""


class PendingReceipt(NamedTuple):
    """A receipt that is to be published."""

    key: bytes
    receipt: Receipt
    source: int
    """Incarnation of the source topic, whose offsets begin again when it is recreated."""
    held: Held | None
    """The row's entry for the list; None: no call led to this receipt."""


@dataclass(frozen=True, slots=True)
class ReceiptContext:
    """What all receipts of one partition share."""

    topic: str
    partition: int
    source_topic: str
    option_of: Callable[[str], str]

    def event_id(self, job_id: str, position: int, source: int) -> str:
        """Return a receipt's id: the same change and job give the same id, whichever worker writes it."""
        return f"{self.source_topic}@{source:x}/{self.partition}/{position}/{job_id}"[-LONGEST_ID:]


@dataclass(slots=True)
class ReceiptLog:
    """Receipts this worker has published, or found published, for one partition since it was assigned."""

    published: set[str] = field(default_factory=set)
    """Ids of receipts that the predecessor wrote after its last checkpoint: replays must not publish them again."""
    unwritten: set[str] = field(default_factory=set)
    """Ids of receipts of an attempt whose rows are not written yet: its repetition must not publish them again."""
    unfolded: list[tuple[int, int]] = field(default_factory=list)
    """(source offset, receipt offset) of those in `published` whose event may come again, by source offset."""
    people: Counter[str] = field(default_factory=Counter)
    """By list: how many of the partition's people it holds for us."""
    outcome_unknown: bool = False
    """A receipt may or may not have been written: the topic has to be read before the next one."""

    def folded(self, upto: int) -> None:
        """Record that the source was folded up to this offset: nothing before it comes again."""
        while self.unfolded and self.unfolded[0][0] <= upto:
            self.unfolded.pop(0)

    def complete_up_to(self, end: int) -> int | None:
        """Return up to which receipt the rows are complete, `end` being the topic's; None when that is not known."""
        if self.outcome_unknown or self.unwritten:
            return None
        return min((receipt for _, receipt in self.unfolded), default=end)


def output(context: ReceiptContext, pending: PendingReceipt, now: EpochMillis) -> Output:
    """Return the record of one receipt. `now`: when the answer was accepted."""
    receipt = pending.receipt
    body: dict[str, Any] = {
        "schema_version": 1,
        "event_id": context.event_id(receipt.job_id, receipt.position, pending.source),
        "at": rfc3339_of(now),
        "job_id": receipt.job_id,
        "list_id": receipt.list_id,
        "email": pending.key.decode(),
        "audiences": [context.option_of(audience) for audience in receipt.audiences],
        "outcome": receipt.outcome.value,
        "attempts": receipt.attempts,
        "latency_ms": max(0, now - receipt.appended),
        "source": {"topic": context.source_topic, "partition": context.partition, "offset": receipt.position},
    }
    if receipt.address is not None and receipt.address != body["email"]:
        body["address"] = receipt.address
    for name in ("reason", "code", "message", "taken_off"):
        value = getattr(receipt, name)
        if value is not None:
            body[name] = value
    headers = [] if pending.held is None else [(HELD, orjson.dumps(encode_held(pending.held)))]
    return Output(context.topic, pending.key, orjson.dumps(body), headers, context.partition)


@lru_cache(maxsize=64)  # all receipts of one answer have the same time
def rfc3339_of(now: EpochMillis) -> str:
    """Return a time as receipts name it."""
    return rfc3339(datetime.fromtimestamp(now / 1000, UTC))


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


def ids_of(tail: Iterable[StoredReceipt]) -> set[str]:
    """Return the ids of receipts."""
    return {str(orjson.loads(stored.value).get("event_id")) for stored in tail}


def unfolded(tail: Iterable[StoredReceipt]) -> list[tuple[int, int]]:
    """Return (source offset, receipt offset) of receipts that were given while folding, by source offset.

    Their events may come again, so no checkpoint may pass such a receipt before its event has been folded.
    """
    return sorted(
        (int(orjson.loads(stored.value)["source"]["offset"]), stored.offset)
        for stored in tail
        if all(name != HELD for name, _ in stored.headers)
    )


def keys_of(tail: Iterable[StoredReceipt]) -> set[bytes]:
    """Return the keys of receipts: their rows may be behind."""
    return {stored.key for stored in tail}


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
