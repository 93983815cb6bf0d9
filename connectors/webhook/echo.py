"""Is this event our own write coming back?

What the exporter writes comes back as Subscribe, Update and Deactivate events. Its receipts on `audience-delivery` hold
what was written, for which address and when. An event is an echo when it is about the same subscriber of the same list,
at about the same time, and holds the audiences that were written, or is how we took them off the list. It is published
all the same, marked, and changes no field of a profile.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import ValidationError

from connectors.kafka.client_config import consumer_config, reader_group
from connectors.kafka.consumer import drained
from connectors.kafka.settings import KafkaSettings
from schemas.audience_delivery import DeliveryReceipt, Outcome
from schemas.identity import normalise_email

log = structlog.get_logger(__name__)

BEFORE = timedelta(minutes=6)
"""An event's date may be so much before the receipt: an import call takes minutes, dates are cut to minutes."""
AFTER = timedelta(minutes=2)
"""And so much after it: clocks differ."""
REMOVED = timedelta(minutes=2)
"""A removal is one short call: its event may be so much before the receipt. Dates are cut to minutes, clocks differ."""
KEEP = BEFORE + timedelta(minutes=9)
"""A receipt is of no use for longer, unless posts are late; then it is dropped only when there are too many."""
MAX_SUBSCRIBERS = 500_000
"""Subscribers whose writes are remembered, about 150 MB; a backfill writes as many in some ten minutes."""
WRITTEN = frozenset({Outcome.ADDED, Outcome.UPDATED, Outcome.REMOVED})
"""Outcomes that changed the subscriber, and so come back."""

POLL_SECONDS = 0.2
RECORDS_PER_POLL = 2_000


@dataclass(frozen=True, slots=True)
class OwnWrite:
    """What was written: the audiences the subscriber then held, and when the answer came."""

    at: datetime
    audiences: frozenset[str]
    taken_off: str | None = None
    """How it took somebody active off the list: unsubscribe or delete."""


@dataclass(slots=True)
class OwnWrites:
    """The latest writes by (list, address)."""

    _by_subscriber: dict[tuple[str, str], list[OwnWrite]] = field(default_factory=dict)

    def add(self, list_id: str, address: str, write: OwnWrite) -> None:
        """Remember a write. The subscribers written longest ago are dropped when there are too many."""
        key = (list_id, address)
        recent = [known for known in self._by_subscriber.pop(key, ()) if write.at - known.at < KEEP]
        self._by_subscriber[key] = [*recent, write]
        if len(self._by_subscriber) > MAX_SUBSCRIBERS:
            self._by_subscriber.pop(next(iter(self._by_subscriber)))

    def merge(self, value: bytes) -> None:
        """Remember the write that a record of `audience-delivery` reports.

        A receipt of another outcome is ignored; one that cannot be read is logged and ignored.
        """
        try:
            receipt = DeliveryReceipt.from_bytes(value)
        except ValidationError:
            log.warning("receipt unreadable")
            return
        if receipt.outcome in WRITTEN or receipt.taken_off is not None:
            address = normalise_email(receipt.address or receipt.email) or receipt.email
            self.add(receipt.list_id, address, OwnWrite(receipt.at, frozenset(receipt.audiences), receipt.taken_off))

    def of(self, list_id: str, address: str) -> Iterable[OwnWrite]:
        """Return the remembered writes of a subscriber."""
        return self._by_subscriber.get((list_id, address), ())

    def __len__(self) -> int:
        return len(self._by_subscriber)


def is_echo(
    kind: str, status: str, at: datetime, values: Iterable[tuple[str, str]], writes: Iterable[OwnWrite]
) -> bool:
    """Return whether an event repeats one of our writes (pure).

    A deactivate does when we took the person off the list that way just then: only somebody active is taken off, so
    who left by themselves before was not.

    `kind`: subscribe, update and so on; `status`: of a deactivate; `values`: the custom fields as (key, value),
    select-many ones repeated.
    """
    if kind == "deactivate":
        return any(write.taken_off == status and write.at - REMOVED <= at <= write.at + AFTER for write in writes)
    if kind not in ("subscribe", "update"):
        return False
    held: dict[str, set[str]] = {}
    for key, value in values:
        held.setdefault(key, set()).add(value)
    return any(
        write.at - BEFORE <= at <= write.at + AFTER
        and (not write.audiences or any(audiences == write.audiences for audiences in held.values()))
        for write in writes
    )


async def follow_receipts(settings: KafkaSettings, writes: OwnWrites) -> None:
    """Fill `writes` from `audience-delivery`, beginning a little while ago, until cancelled.

    Every receiver reads all receipts: a post may come to any of them. Raises KafkaException when no broker answers.
    """
    config = consumer_config(settings, "receipts", reader_group(settings, "receipts"))
    consumer = Consumer({**config, "logger": logging.getLogger("librdkafka")})
    try:
        await asyncio.to_thread(_assign, consumer, settings.names()["audience-delivery"])
        while True:
            for message in await asyncio.to_thread(drained, consumer, RECORDS_PER_POLL, POLL_SECONDS):
                if message.error() is None:
                    writes.merge(message.value() or b"")
    finally:
        await asyncio.shield(asyncio.to_thread(consumer.close))


def _assign(consumer: Consumer, topic: str) -> None:
    known = consumer.list_topics(topic, timeout=10).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    since = int((time.time() - KEEP.total_seconds()) * 1000)
    starts = [TopicPartition(topic, partition, since) for partition in known.partitions]
    consumer.assign(consumer.offsets_for_times(starts, 10))
