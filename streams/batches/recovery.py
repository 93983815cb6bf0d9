"""From the changelog into the local stores, a batch at a time, before a partition's first batch is delivered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka
import structlog

from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, reader_config

from . import killpoints
from .changelog import Plan, blob_of, plan_restore
from .errors import RecoveryFailed, Revoked
from .holding import Holding
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
    config = {
        **reader_config(settings.kafka, f"{settings.app_id}-recovery"),
        "auto.offset.reset": "error",
        # Fetched well ahead, in large pieces: this is all that the process does meanwhile.
        "fetch.message.max.bytes": max(2 << 20, settings.kafka.max_produced_bytes),
        "queued.max.messages.kbytes": 32 << 10,
        "queued.min.messages": 200_000,
        "check.crcs": True,
    }
    consumer = confluent_kafka.Consumer(config)
    try:
        return _restore(consumer, work, settings, stop, progress)
    except ReadError as error:
        raise RecoveryFailed(f"recovery: {error}") from error
    finally:
        consumer.close()


def _restore(
    consumer: confluent_kafka.Consumer,
    work: Sequence[Restoring],
    settings: BatchSettings,
    stop: threading.Event,
    progress: Progress,
) -> int:
    reader = EndReader(
        consumer,
        silence_seconds=settings.recovery_stall_seconds,
        deadline_seconds=settings.recovery_deadline_seconds,
    )
    starts: dict[TopicAndPartition, int] = {}
    unfinished: dict[TopicAndPartition, Restoring] = {}
    for restoring in work:
        part = TopicAndPartition(restoring.topic, restoring.holding.partition)
        start = _prepare(reader, part, restoring)
        if start < restoring.end:
            starts[part], unfinished[part] = start, restoring
        else:
            _finish(restoring)
    if not starts:
        return 0
    reader.assign(starts, starts, {part: restoring.end for part, restoring in unfinished.items()})
    began = reported = time.monotonic()
    total = 0
    while unfinished:
        if stop.is_set():
            raise Revoked("recovery was stopped")
        for part, messages in reader.poll(READ, 0.1, bulk=True).items():
            if part in unfinished:
                _write(unfinished[part], messages)
                total += len(messages)
        for part in unfinished.keys() - reader.open:
            _finish(unfinished.pop(part))
        progress(total)
        killpoints.reached("inside-recovery")
        now = time.monotonic()
        if now - reported > 5:
            reported = now
            log.info("recovery", rows=total, seconds=round(now - began, 1), open=_open_text(unfinished))
    seconds = time.monotonic() - began
    log.info("recovery done", rows=total, seconds=round(seconds, 2), rows_per_second=round(total / max(seconds, 1e-9)))
    return total


def _prepare(reader: EndReader, part: TopicAndPartition, restoring: Restoring) -> int:
    """Where to read from; the store is emptied when it cannot be resumed."""
    holding = restoring.holding
    first, restoring.end = reader.bounds(part)
    plan = plan_restore(holding.store.checkpoint, holding.topic_id, first, restoring.end)
    if plan.plan is Plan.REBUILD:
        if holding.store.checkpoint is not None:
            log.warning("store rebuilt", topic=restoring.topic, partition=holding.partition, reason=plan.reason)
        holding.store.empty()
        holding.store.load(begin=True)
        restoring.fresh = True
    holding.next_offset = plan.start
    return plan.start


def _write(restoring: Restoring, messages: Sequence[Any]) -> None:
    holding = restoring.holding
    if restoring.public:
        blobs = {m.key(): blob_of(m.value(), m.headers(), public=True) for m in messages}
    else:
        blobs = {m.key(): m.value() for m in messages}
    if restoring.indexed and not restoring.fresh:
        rows = holding.index_changes(blobs)
    else:
        rows = [StoredRow(key, blob) for key, blob in blobs.items()]
    next_offset = messages[-1].offset() + 1
    # An index is built when all rows are there; until then a restart must begin anew, so no checkpoint is written.
    unfinished = restoring.indexed and restoring.fresh
    holding.store.write(rows, None if unfinished else Checkpoint(holding.topic_id, next_offset))
    holding.next_offset = next_offset
    restoring.rows += len(messages)


def _finish(restoring: Restoring) -> None:
    holding = restoring.holding
    if restoring.indexed and restoring.fresh:
        holding.rebuild_index()
    holding.next_offset = max(holding.next_offset, restoring.end)
    holding.store.write([], Checkpoint(holding.topic_id, holding.next_offset))
    if restoring.rows:
        holding.store.flush()
    if restoring.fresh:
        holding.store.load(begin=False)


def _open_text(unfinished: Mapping[TopicAndPartition, Restoring]) -> str:
    return ", ".join(f"{t}[{p}] at {r.holding.next_offset} of {r.end}" for (t, p), r in sorted(unfinished.items()))
