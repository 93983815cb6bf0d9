"""Receipts on their way to `audience-delivery`: the first of the two writes that settle a change.

Order: the receipt is acknowledged, then the row. Who takes over a partition reads the receipts that came after its
last checkpoint and brings the rows up to them, so a receipt is never told twice; what the list holds since then
travels in a header of the receipt, for that reader alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from schemas.envelope import rfc3339
from streams.batches import Output
from streams.domain.rows import Held, Millis, encode_held
from streams.domain.settlement import Receipt

HELD = "export.held"
"""Header: the row's entry for the list, after this receipt. Absent on receipts that no call led to."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all receipts of one partition share."""

    topic: str
    partition: int
    source_topic: str
    name_of: Callable[[str], str]

    def event_id(self, job_id: str, position: int, source: int) -> str:
        """Return a receipt's id: the same change and job give the same id, whoever writes it.

        `source`: incarnation of the source topic, whose offsets begin anew when it is made anew.
        """
        return f"{self.source_topic}@{source:x}/{self.partition}/{position}/{job_id}"[-128:]


def output(desk: Desk, key: bytes, receipt: Receipt, source: int, held: Held | None, now: Millis) -> Output:
    """Return the record of one receipt. `now`: when the answer was accepted."""
    body: dict[str, Any] = {
        "schema_version": 1,
        "event_id": desk.event_id(receipt.job_id, receipt.position, source),
        "at": _text(now),
        "job_id": receipt.job_id,
        "list_id": receipt.list_id,
        "email": key.decode(),
        "audiences": [desk.name_of(audience) for audience in receipt.audiences],
        "outcome": receipt.outcome.value,
        "attempts": receipt.attempts,
        "latency_ms": max(0, now - receipt.appended),
        "source": {"topic": desk.source_topic, "partition": desk.partition, "offset": receipt.position},
    }
    if receipt.address is not None and receipt.address != body["email"]:
        body["address"] = receipt.address
    for name in ("reason", "code", "message"):
        value = getattr(receipt, name)
        if value is not None:
            body[name] = value
    headers = [] if held is None else [(HELD, orjson.dumps(encode_held(held)))]
    return Output(desk.topic, key, orjson.dumps(body), headers, desk.partition)


@lru_cache(maxsize=64)  # all receipts of one answer have the same time
def _text(now: Millis) -> str:
    return rfc3339(datetime.fromtimestamp(now / 1000, UTC))
