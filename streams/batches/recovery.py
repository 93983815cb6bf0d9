"""From the changelog into the local stores, a batch at a time, before a partition's first batch is delivered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import confluent_kafka
import structlog

from . import killpoints
from .changelog import Plan, blob_of, plan_restore
from .errors import RecoveryFailed, Revoked
from .holding import Holding
from .security import librdkafka_security
from .settings import BatchSettings
from .store import Checkpoint, StoredRow

log = structlog.get_logger(__name__)

READ = 10_000
"""Records taken from librdkafka at once."""


class Restoring:
    """One holding, and how far it is."""

    def __init__(self, holding: Holding[Any], topic: str, *, public: bool, indexed: bool) -> None:
        self.holding = holding
        self.topic = topic
        self.public = public
        self.indexed = indexed
        self.end = 0
        self.fresh = False
        self.rows = 0


Progress = Callable[[int], None]


def restore(
    work: Sequence[Restoring], settings: BatchSettings, *, stop: threading.Event, progress: Progress = lambda rows: None
) -> int:
    """Bring every store up to its changelog's end; the number of records read. Blocking: runs in a thread.

    Raises Revoked when `stop` is set, RecoveryFailed at the deadline or when nothing comes for too long.
    """
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "group.id": f"{settings.app_id}-recovery",  # never used: partitions are assigned by hand
            "enable.auto.commit": False,
            "logger": logging.getLogger("librdkafka"),
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.message.max.bytes": 2 << 20,
            "queued.max.messages.kbytes": 32 << 10,
            "queued.min.messages": 200_000,
            "check.crcs": True,
            **librdkafka_security(settings.security),
        }
    )
    try:
        return _restore(consumer, work, settings, stop, progress)
    finally:
        consumer.close()


def _restore(
    consumer: Any,
    work: Sequence[Restoring],
    settings: BatchSettings,
    stop: threading.Event,
    progress: Progress,
) -> int:
    starts: list[confluent_kafka.TopicPartition] = []
    open_: dict[tuple[str, int], Restoring] = {}
    for each in work:
        start = _prepare(consumer, each, settings)
        if start < each.end:
            starts.append(confluent_kafka.TopicPartition(each.topic, each.holding.partition, start))
            open_[each.topic, each.holding.partition] = each
        else:
            _finish(each)
    if not starts:
        return 0
    consumer.assign(starts)
    began = last_seen = last_told = time.monotonic()
    total = 0
    while open_:
        if stop.is_set():
            raise Revoked("recovery was stopped")
        messages = consumer.consume(READ, 0.1)
        now = time.monotonic()
        if messages:
            last_seen = now
        elif now - last_seen > settings.recovery_stall_seconds:
            raise RecoveryFailed(f"recovery: nothing came for {now - last_seen:.0f} s; open: {_open_text(open_)}")
        if now - began > settings.recovery_deadline_seconds:
            raise RecoveryFailed(f"recovery took longer than {now - began:.0f} s; open: {_open_text(open_)}")
        total += _apply(messages, open_)
        progress(total)
        killpoints.reached("inside-recovery")
        if now - last_told > 5:
            last_told = now
            log.info("recovery", rows=total, seconds=round(now - began, 1), open=_open_text(open_))
    seconds = time.monotonic() - began
    log.info("recovery done", rows=total, seconds=round(seconds, 2), rows_per_second=round(total / max(seconds, 1e-9)))
    return total


def _prepare(consumer: Any, each: Restoring, settings: BatchSettings) -> int:
    """Where to read from; the store is emptied when it cannot be resumed."""
    holding = each.holding
    tp = confluent_kafka.TopicPartition(each.topic, holding.partition)
    first, each.end = consumer.get_watermark_offsets(tp, timeout=settings.recovery_stall_seconds)
    plan = plan_restore(holding.store.checkpoint, holding.topic_id, first, each.end)
    if plan.plan is Plan.REBUILD:
        if holding.store.checkpoint is not None:
            log.warning("store rebuilt", topic=each.topic, partition=holding.partition, reason=plan.reason)
        holding.store.empty()
        holding.store.load(begin=True)
        each.fresh = True
    holding.next_offset = plan.start
    return plan.start


def _apply(messages: Sequence[Any], open_: dict[tuple[str, int], Restoring]) -> int:
    by_partition: dict[tuple[str, int], list[Any]] = {}
    done: set[tuple[str, int]] = set()
    for message in messages:
        error = message.error()
        tp = message.topic(), message.partition()
        if error is None:
            if tp in by_partition:
                by_partition[tp].append(message)
            else:
                by_partition[tp] = [message]
        elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
            done.add(tp)
        elif not error.retriable() and error.code() not in _PASSING:
            raise RecoveryFailed(f"recovery of {tp[0]}[{tp[1]}]: {error.str()}")
    count = 0
    for tp, found in by_partition.items():
        each = open_.get(tp)
        if each is None:
            continue
        _write(each, found)
        count += len(found)
        if each.holding.next_offset >= each.end:
            done.add(tp)
    for tp in done & open_.keys():
        _finish(open_.pop(tp))
    return count


_PASSING = {
    confluent_kafka.KafkaError._TRANSPORT,
    confluent_kafka.KafkaError._ALL_BROKERS_DOWN,
    confluent_kafka.KafkaError._TIMED_OUT,
    confluent_kafka.KafkaError._RESOLVE,
}


def _write(each: Restoring, messages: Sequence[Any]) -> None:
    holding = each.holding
    if each.public:
        blobs = {m.key(): blob_of(m.value(), m.headers(), public=True) for m in messages}
    else:
        blobs = {m.key(): m.value() for m in messages}
    if each.indexed and not each.fresh:
        rows = holding.index_changes(blobs)
    else:
        rows = [StoredRow(key, blob) for key, blob in blobs.items()]
    next_offset = messages[-1].offset() + 1
    # An index is built when all rows are there; until then a restart must begin anew, so no checkpoint is written.
    unfinished = each.indexed and each.fresh
    holding.store.write(rows, None if unfinished else Checkpoint(holding.topic_id, next_offset))
    holding.next_offset = next_offset
    each.rows += len(messages)


def _finish(each: Restoring) -> None:
    holding = each.holding
    if each.indexed and each.fresh:
        holding.rebuild_index()
    holding.next_offset = max(holding.next_offset, each.end)
    holding.store.write([], Checkpoint(holding.topic_id, holding.next_offset))
    if each.rows:
        holding.store.flush()
    if each.fresh:
        holding.store.load(begin=False)


def _open_text(open_: dict[tuple[str, int], Restoring]) -> str:
    return ", ".join(f"{t}[{p}] at {r.holding.next_offset} of {r.end}" for (t, p), r in sorted(open_.items()))
