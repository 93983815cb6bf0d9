"""Receipts for `audience-delivery`: the first of the two writes that record the outcome of a change.

Order: the receipt is acknowledged, then the row is written. The next owner of a partition reads the receipts after the
last checkpoint and brings the rows up to them, so no receipt is published twice; what the list holds since then is in
a header of the receipt, for that reader alone.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from schemas.envelope import rfc3339
from streams.batches import Output
from streams.export.rules.row import EpochMillis, Held, encode_held
from streams.export.rules.settlement import Receipt

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
    name_of: Callable[[str], str]

    def event_id(self, job_id: str, position: int, source: int) -> str:
        """Return a receipt's id: the same change and job give the same id, whichever worker writes it."""
        return f"{self.source_topic}@{source:x}/{self.partition}/{position}/{job_id}"[-128:]


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
        "at": _text(now),
        "job_id": receipt.job_id,
        "list_id": receipt.list_id,
        "email": pending.key.decode(),
        "audiences": [context.name_of(audience) for audience in receipt.audiences],
        "outcome": receipt.outcome.value,
        "attempts": receipt.attempts,
        "latency_ms": max(0, now - receipt.appended),
        "source": {"topic": context.source_topic, "partition": context.partition, "offset": receipt.position},
    }
    if receipt.address is not None and receipt.address != body["email"]:
        body["address"] = receipt.address
    for name in ("reason", "code", "message"):
        value = getattr(receipt, name)
        if value is not None:
            body[name] = value
    headers = [] if pending.held is None else [(HELD, orjson.dumps(encode_held(pending.held)))]
    return Output(context.topic, pending.key, orjson.dumps(body), headers, context.partition)


@lru_cache(maxsize=64)  # all receipts of one answer have the same time
def _text(now: EpochMillis) -> str:
    return rfc3339(datetime.fromtimestamp(now / 1000, UTC))
