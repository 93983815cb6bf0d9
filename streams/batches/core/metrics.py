"""Counters, gauges and histograms by name and labels, kept as plain numbers; an exporter reads `snapshot()`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

Labels = tuple[tuple[str, str], ...]
Kind = Literal["counter", "gauge", "histogram"]

BATCH_SIZES = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 20_000)
AGES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600)


class Declared(NamedTuple):
    """A metric before it has numbers. `buckets`: upper bounds of a histogram."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


BATCH_METRICS = (
    Declared(
        "cm_streams_batches_records_total",
        "counter",
        "Records of a source that were processed or refused for good. Flat while the lag grows: the process hangs.",
        ("topic",),
    ),
    Declared(
        "cm_streams_batches_processed_total",
        "counter",
        "Batches that were processed; records divided by it is the mean batch size.",
        ("topic",),
    ),
    Declared(
        "cm_streams_batches_processing_seconds_total",
        "counter",
        "Time spent on batches from hand-over to the end, waits for Campaign Monitor and Kafka included. Summed over "
        "partitions: near the number of partitions per second, all of them are busy without a pause.",
        ("topic",),
    ),
    Declared(
        "cm_streams_batches_batch_records",
        "histogram",
        "Records in a batch. Always at the largest size: it is catching up, or too slow.",
        ("topic",),
        BATCH_SIZES,
    ),
    Declared(
        "cm_streams_batches_record_age_seconds",
        "histogram",
        "Age of a batch's oldest record, by its timestamp in Kafka, when its rows were stored; one observation a "
        "batch. For cm_activity in the profile worker it is the time from webhook or page to profile.",
        ("topic",),
        AGES,
    ),
    Declared(
        "cm_streams_batches_commits_total",
        "counter",
        "Offset commits that the brokers accepted. It does not rise only while nothing is read.",
    ),
    Declared(
        "cm_streams_batches_retries_total",
        "counter",
        "Batches that failed as a whole and were tried again, mostly as brokers did not answer. Rises without end: the "
        "partition is stuck, and /ready names why.",
        ("topic",),
    ),
    Declared(
        "cm_streams_batches_dead_letters_total",
        "counter",
        "Records that were refused and kept in the topic's dead-letter topic, by the step that refused them. Each is "
        "somebody's change that was not applied: look at them with cm-streams dead-letters.",
        ("topic", "reason"),
    ),
    Declared(
        "cm_streams_batches_misplaced_total",
        "counter",
        "Records in another partition than their key's that were published again. An upstream has another partitioner.",
        ("topic",),
    ),
    Declared(
        "cm_streams_batches_lost_records_total",
        "counter",
        "Records that retention removed before they were read: changes that are lost. Anything above 0 is an incident.",
        ("topic", "partition"),
    ),
    Declared(
        "cm_streams_batches_already_folded_total",
        "counter",
        "Records that came again after a restart or rebalance and were in their rows already; harmless.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_rows_written_total",
        "counter",
        "Rows that were published to a changelog and stored; a batch writes a person's row once.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_changelog_seconds_total",
        "counter",
        "Time until the brokers had acknowledged written rows. Divided by the rows it is the brokers' share of a row.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_store_seconds_total",
        "counter",
        "Time for writing rows to the local store. It grows with a slow or full disk.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_store_bytes",
        "gauge",
        "Size of the open local stores of a table on disk; compare it with the free space.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_store_memory_bytes",
        "gauge",
        "Memory of the open local stores of a table: rows not yet on disk, and indexes and filters outside the cache.",
        ("table",),
    ),
    Declared(
        "cm_streams_batches_restored_rows",
        "gauge",
        "Changelog records read by the restoration that runs, or ran last. Not rising while restoring is 1: it hangs.",
    ),
    Declared(
        "cm_streams_batches_restored_ratio",
        "gauge",
        "Which share of the changelogs' offsets is behind the restoration that runs, or ran last: from 0 to 1. Its "
        "time until now divided by it is about the time of the whole.",
    ),
    Declared(
        "cm_streams_batches_restoring",
        "gauge",
        "1 while tables are restored from their changelogs after partitions were assigned; nothing is processed then.",
    ),
    Declared(
        "cm_streams_batches_partitions",
        "gauge",
        "Partitions that this process works on. The sum over all workers of a group below the topic's partitions for "
        "longer than a rebalance: partitions that nobody works on.",
        ("group",),
    ),
    Declared(
        "cm_streams_consumer_lag_records",
        "gauge",
        "Records that could be read (up to the last stable offset) and are behind the group's committed offset. "
        "Offsets of transaction markers and of compacted records count, so it may be a few too many, never too few.",
        ("group", "topic", "partition"),
    ),
    Declared(
        "cm_streams_consumer_lag_seconds",
        "gauge",
        "Age of the oldest readable record that is not committed yet; 0 when there is none. This is the lag to alert "
        "on: it means the same whatever the rate.",
        ("group", "topic", "partition"),
    ),
)


class Sample(NamedTuple):
    """The numbers of one series as an exporter needs them. `counts`: of a histogram, for each bucket and beyond."""

    declared: Declared
    labels: Mapping[str, str]
    value: float
    counts: Sequence[int] = ()


Write = Callable[["Metrics"], None]


class Metrics:
    """A registry without dependencies. What is counted has been declared, with these labels.

    Single numbers are written from any thread; a lost increment between threads is accepted, so counters that tests
    balance are written from the event loop only.
    """

    def __init__(self, declared: Iterable[Declared] = BATCH_METRICS) -> None:
        self._declared = {metric.name: metric for metric in declared}
        self._values: dict[tuple[str, Labels], float] = {}
        self._counts: dict[tuple[str, Labels], list[int]] = {}
        self._reads: list[Write] = []

    def declare(self, declared: Iterable[Declared]) -> None:
        """Add metrics of an application."""
        self._declared |= {metric.name: metric for metric in declared}

    def at_scrape(self, write: Write) -> None:
        """Call `write` before each snapshot, for numbers that nobody needs in between."""
        self._reads.append(write)

    def count(self, name: str, amount: float = 1, **labels: object) -> None:
        """Add to a counter."""
        key = self._key(name, labels)
        self._values[key] = self._values.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, **labels: object) -> None:
        """Set a gauge."""
        self._values[self._key(name, labels)] = value

    def observe(self, name: str, value: float, **labels: object) -> None:
        """Add one observation to a histogram."""
        key, buckets = self._key(name, labels), self._declared[name].buckets
        counts = self._counts.setdefault(key, [0] * (len(buckets) + 1))
        counts[bisect_left(buckets, value)] += 1
        self._values[key] = self._values.get(key, 0.0) + value

    def forget(self, name: str, **labels: object) -> None:
        """Drop one series: a gauge of a partition that is no longer ours."""
        self._values.pop(self._key(name, labels), None)

    def value(self, name: str, **labels: object) -> float:
        """One series; 0 when it was never written."""
        return self._values.get(self._key(name, labels), 0.0)

    def total(self, name: str) -> float:
        """All series of a name together."""
        return sum(v for (n, _), v in list(self._values.items()) if n == name)

    def snapshot(self) -> Iterator[Sample]:
        """Every number, for an exporter."""
        for write in self._reads:
            write(self)
        for key, value in sorted(list(self._values.items())):  # noqa: C414 - other threads add series meanwhile
            yield Sample(self._declared[key[0]], dict(key[1]), value, tuple(self._counts.get(key, ())))

    def _key(self, name: str, labels: Mapping[str, object]) -> tuple[str, Labels]:
        """Return a series' key. Raises ValueError for a name or labels that were not declared."""
        key = name, tuple(sorted((k, str(v)) for k, v in labels.items()))
        if key not in self._values and (name not in self._declared or labels.keys() != {*self._declared[name].labels}):
            raise ValueError(f"metric {name} with the labels {sorted(labels)} is not declared")
        return key
