"""Receipts as records of `audience-delivery`, and what this worker knows of those in the topic. Pure.

Each is acknowledged before its row is written. Those that a call led to, other than one that a batch made itself, have
the row's entry for the list in a header: the next owner brings the row up to it (`takeover.py`).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from schemas.envelope import EpochMillis, rfc3339
from streams.batches import Output
from streams.export.rules.row import Held, encode_held
from streams.export.rules.settlement import Receipt
from streams.export.table import StoredReceipt

LONGEST_ID = 128
"""Characters of a receipt's id."""

HELD = "export.held"
"""Header: the row's entry for the list, after this receipt. Absent on receipts whose rows follow with their batch."""

FOLDED_FROM = "export.folded-from"
"""Header of those: `<topic>/<offset>`, the last record of the batch. Absent: the receipt's own change."""


class PendingReceipt(NamedTuple):
    """A receipt that is to be published."""

    key: bytes
    receipt: Receipt
    source: int
    """Incarnation of the source topic, whose offsets begin again when it is recreated."""
    held: Held | None
    """The row's entry for the list; None: its row follows with its batch."""


class Unfolded(NamedTuple):
    """A receipt whose row is not known to be written: it follows with a batch that may come again."""

    topic: str
    offset: int
    """Of the batch's last record."""
    receipt: int
    """The receipt's offset."""


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
    """Ids of receipts that were found after the last checkpoint: replays must not publish them again."""
    unwritten: set[str] = field(default_factory=set)
    """Ids of receipts that were published, whose rows are not written yet."""
    unfolded: list[Unfolded] = field(default_factory=list)
    """Those in `published` whose batch may come again."""
    people: Counter[str] = field(default_factory=Counter)
    """By list: how many of the partition's people it holds for us."""
    outcome_unknown: bool = False
    """A receipt may or may not have been written: the topic has to be read before the next one."""

    @property
    def behind(self) -> bool:
        """Whether rows may be behind their receipts, between two attempts: one that published some has failed."""
        return self.outcome_unknown or bool(self.unwritten)

    def folded(self, topic: str, upto: int) -> None:
        """Record that a topic was folded up to this offset: nothing before it comes again."""
        if self.unfolded:
            self.unfolded = [known for known in self.unfolded if known.topic != topic or known.offset > upto]

    def complete_up_to(self, end: int) -> int | None:
        """Return up to which receipt the rows are complete, `end` being the topic's; None when that is not known."""
        if self.behind:
            return None
        return min((known.receipt for known in self.unfolded), default=end)


def output(
    context: ReceiptContext, pending: PendingReceipt, now: EpochMillis, folded_from: tuple[str, int] | None = None
) -> Output:
    """Return the record of one receipt. `now`: when the answer was accepted; `folded_from`: see FOLDED_FROM."""
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
    if folded_from is not None:
        headers.append((FOLDED_FROM, b"%s/%d" % (folded_from[0].encode(), folded_from[1])))
    return Output(context.topic, pending.key, orjson.dumps(body), headers, context.partition)


@lru_cache(maxsize=64)  # all receipts of one answer have the same time
def rfc3339_of(now: EpochMillis) -> str:
    """Return a time as receipts name it."""
    return rfc3339(datetime.fromtimestamp(now / 1000, UTC))


def ids_of(tail: Iterable[StoredReceipt]) -> set[str]:
    """Return the ids of receipts."""
    return {str(orjson.loads(stored.value).get("event_id")) for stored in tail}


def unfolded(tail: Iterable[StoredReceipt]) -> list[Unfolded]:
    """Return the receipts whose rows follow with a batch, which may come again.

    No checkpoint may pass such a receipt before that batch has been folded: whoever owns the partition then would
    publish it a second time. A receipt of a change that was replaced comes from a later record than its own.
    """
    found: list[Unfolded] = []
    for stored in tail:
        headers = dict(stored.headers)
        if HELD in headers:
            continue
        if (folded_from := headers.get(FOLDED_FROM)) is not None:
            topic, offset = folded_from.decode().rsplit("/", 1)
        else:
            source = orjson.loads(stored.value)["source"]
            topic, offset = source["topic"], source["offset"]
        found.append(Unfolded(topic, int(offset), stored.offset))
    return found


def keys_of(tail: Iterable[StoredReceipt]) -> set[bytes]:
    """Return the keys of receipts: their rows may be behind."""
    return {stored.key for stored in tail}
