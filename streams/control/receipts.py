"""The newest receipts of an export, and what they show over time; only the end of the topic is read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import NamedTuple

from confluent_kafka import Consumer
from pydantic import ValidationError

from connectors.kafka.read_to_end import EndReader, pages, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.audience_delivery import DeliveryReceipt
from streams.control.people import RECEIPTS, records_of

MAX_READ = 10_000
"""Receipts of all jobs that are read: about a tenth of a second of CPU."""


class ReceiptWindow(NamedTuple):
    """A job's receipts among the newest of all jobs."""

    receipts: list[DeliveryReceipt]
    """The newest first."""
    since: datetime | None
    """From then on they are all there; None: they are all that the topic holds."""


class TimeSlot(NamedTuple):
    """What happened in one of equal stretches of time."""

    at: datetime
    receipts: int
    median_ms: int | None
    high_ms: int | None
    """95 of 100 are as fast; both None where nothing with a latency was delivered."""


class PlacedReceipt(NamedTuple):
    """A receipt, and where its record is."""

    partition: int
    offset: int
    receipt: DeliveryReceipt

    @property
    def place(self) -> tuple[int, int, int]:
        """Its time in microseconds and its position: no other receipt has the same."""
        return int(self.receipt.at.timestamp() * 1_000_000), self.partition, self.offset


class PlacedWindow(NamedTuple):
    """Receipts that were asked for among the newest."""

    receipts: list[PlacedReceipt]
    """The newest first."""
    since: datetime | None
    """From then on they are all there; None: they are all that the topic holds."""


def newest_receipts(kafka: KafkaSettings, job_id: str, max_read: int = MAX_READ) -> ReceiptWindow:
    """Return a job's receipts among the newest of the topic. Blocks. Raises ReadError."""
    found = newest_placed(kafka, job_id, max_read)
    return ReceiptWindow([placed.receipt for placed in found.receipts], found.since)


def newest_placed(kafka: KafkaSettings, job_id: str | None, max_read: int = MAX_READ) -> PlacedWindow:
    """Return the receipts of a job, or of all, among the newest of the topic. Blocks. Raises ReadError."""
    quoted = b"" if job_id is None else f'"{job_id}"'.encode()
    found: list[PlacedReceipt] = []
    cut_at: list[datetime] = []
    with closing(Consumer(reader_config(kafka, "receipts"))) as consumer:
        reader = EndReader(consumer)
        parts = reader.partitions(kafka.names()["audience-delivery"])
        bounds = {part: reader.bounds(part) for part in parts}
        share = max(1, max_read // len(parts))
        starts = {part: max(first, end - share) for part, (first, end) in bounds.items()}
        cut = {part.partition for part in parts if starts[part] > bounds[part][0]}
        reader.assign(parts, starts, {part: end for part, (_first, end) in bounds.items()})
        for page in pages(reader):
            for record in page:
                first_of_cut = record.partition in cut
                if record.value is None or (quoted not in record.value and not first_of_cut):
                    continue
                receipt = _read(record.value)
                if receipt is None:
                    continue
                if first_of_cut:
                    cut.discard(record.partition)
                    cut_at.append(receipt.at)
                if job_id in (None, receipt.job_id):
                    found.append(PlacedReceipt(record.partition, record.offset, receipt))
    found.sort(key=lambda placed: placed.place, reverse=True)
    return PlacedWindow(found, max(cut_at, default=None))


def newest_of_person(kafka: KafkaSettings, key: bytes, seconds: float, max_found: int = MAX_READ) -> PlacedWindow:
    """Return a person's newest receipts: the partition of their key is read to its end. Blocks. Raises ReadError."""
    topics = {RECEIPTS: kafka.names()[RECEIPTS]}
    found = records_of(kafka, key, topics, seconds, max_found)[RECEIPTS]
    placed = [
        PlacedReceipt(record.partition, record.offset, receipt)
        for record in found
        if (receipt := _read(record.value or b"")) is not None
    ]
    placed.sort(key=lambda receipt: receipt.place, reverse=True)
    return PlacedWindow(placed, placed[-1].receipt.at if placed and len(found) == max_found else None)


def meant(
    receipts: Iterable[PlacedReceipt], job_id: str, outcome: str, reason: str, before: tuple[int, int, int] | None
) -> list[PlacedReceipt]:
    """Return the receipts of a job with this outcome and reason, behind a place; empty: any (pure)."""
    return [
        placed
        for placed in receipts
        if job_id in ("", placed.receipt.job_id)
        and (before is None or placed.place < before)
        and chosen([placed.receipt], outcome, reason)
    ]


def counted(receipts: Iterable[DeliveryReceipt]) -> list[tuple[str, str, int]]:
    """Return outcome, reason and number, the most frequent first."""
    counts = Counter((str(receipt.outcome), str(receipt.reason or "")) for receipt in receipts)
    return [(*kind, count) for kind, count in sorted(counts.items(), key=lambda found: -found[1])]


def chosen(receipts: Iterable[DeliveryReceipt], outcome: str, reason: str) -> list[DeliveryReceipt]:
    """Return the receipts with this outcome and reason; empty: any."""
    return [
        receipt
        for receipt in receipts
        if outcome in ("", receipt.outcome) and reason in ("", str(receipt.reason or ""))
    ]


def over_time(receipts: Sequence[DeliveryReceipt], since: datetime, until: datetime, slots: int) -> list[TimeSlot]:
    """Return what was delivered in equal stretches of the time from `since` to `until`."""
    length = max((until - since) / slots, timedelta(milliseconds=1))
    counts = [0] * slots
    latencies: list[list[int]] = [[] for _ in range(slots)]
    for receipt in receipts:
        if since <= receipt.at <= until:
            number = min(int((receipt.at - since) / length), slots - 1)
            counts[number] += 1
            if receipt.latency_ms is not None:
                latencies[number].append(receipt.latency_ms)
    return [
        TimeSlot(
            since + number * length, counts[number], _share(latencies[number], 0.5), _share(latencies[number], 0.95)
        )
        for number in range(slots)
    ]


def _share(values: list[int], share: float) -> int | None:
    if not values:
        return None
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _read(value: bytes) -> DeliveryReceipt | None:
    try:
        return DeliveryReceipt.from_bytes(value)
    except ValidationError:
        return None
