"""What a batch took, and what the runtime holds, as metrics."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from streams.batches.core.batch import Batch
from streams.batches.core.metrics import Metrics
from streams.batches.process.lag import GroupLag
from streams.batches.process.takeover import Takeover
from streams.batches.table.store import PartitionStore

DEAD_LETTER_REASONS = (
    "decode",
    "schema",
    "identity",
    "key",
    "fold",
    "row-size",
    "output-size",
    "partitioning",
    "delivery",
)
"""The steps of the runtime and of the agents that refuse records."""


def measure_batch(metrics: Metrics, batch: Batch, seconds: float) -> None:
    """Count a batch that was processed in so many seconds."""
    topic = batch.topic
    metrics.count("cm_streams_batches_records_total", len(batch), topic=topic)
    metrics.count("cm_streams_batches_processed_total", topic=topic)
    metrics.count("cm_streams_batches_processing_seconds_total", seconds, topic=topic)
    metrics.observe("cm_streams_batches_batch_records", len(batch), topic=topic)
    age = max(0.0, time.time() - batch.records[0].timestamp / 1000)
    metrics.observe("cm_streams_batches_record_age_seconds", age, topic=topic)


def measure_state(
    metrics: Metrics,
    group: str,
    takeover: Takeover,
    topics: Iterable[str],
    partitions: int,
    recovering_since: float | None,
    lag: GroupLag | None,
) -> None:
    """Write what an application holds now. `lag`: None before it has joined its group."""
    metrics.gauge("cm_streams_batches_partitions", partitions, group=group)
    metrics.gauge("cm_streams_batches_restoring", recovering_since is not None)
    measure_stores(metrics, [table.name for table in takeover.tables], takeover.stores)
    begin_counters(metrics, topics)
    if lag is not None:
        lag.measure(metrics)


def begin_counters(metrics: Metrics, topics: Iterable[str]) -> None:
    """Let counters that alerts ask for begin at zero, so that the first retry or dead letter is an increase."""
    for topic in topics:
        metrics.count("cm_streams_batches_retries_total", 0, topic=topic)
        for reason in DEAD_LETTER_REASONS:
            metrics.count("cm_streams_batches_dead_letters_total", 0, topic=topic, reason=reason)


def measure_stores(metrics: Metrics, tables: Collection[str], stores: Mapping[tuple[str, int], PartitionStore]) -> None:
    """Write what the open stores of each table take."""
    for table in tables:
        sizes = [store.sizes() for (name, _partition), store in list(stores.items()) if name == table]
        metrics.gauge("cm_streams_batches_store_bytes", sum(disk for disk, _ in sizes), table=table)
        metrics.gauge("cm_streams_batches_store_memory_bytes", sum(memory for _, memory in sizes), table=table)
