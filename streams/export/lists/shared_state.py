"""What all export workers know together: jobs, audiences' names, and what became of lists' fields.

Jobs come from their topic. Names and list states are written to an internal compacted topic by the worker that learns
them first, before any row that depends on them, and read from there by all. This is the only place that changes
`ExportState.exports` and `ExportState.names`.

Beside it, workers of one account share what they learn about its rate limit, so that all slow down when one has to.
Each writes what its limiter learned, one record per account and worker, at most once a second and only while it is
limited; the others merge it, and the stricter report counts. Reports age, so a worker that has ended is forgotten.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import orjson
import structlog

from connectors.campaign_monitor.limits.allowance import RateLimitReport
from connectors.campaign_monitor.limits.limiter import Limiter
from schemas.control import ExportJob
from schemas.envelope import EpochMillis
from streams.batches import BatchError, Output
from streams.export.lists.removal_guard import GUARD, GuardRecords
from streams.export.rules.dropped import Dropped, ValueKind
from streams.export.rules.field_history import FieldHistory, FieldMarks, merged
from streams.export.rules.jobs import AudienceName, compile_exports
from streams.export.state import ExportState
from streams.export.table import RecordPublisher

log = structlog.get_logger(__name__)

AUDIENCE, LIST, SEGMENT, DROPPED = b"audience/", b"list/", b"segment/", b"dropped/"


class SharedState:
    """Reads and writes what the workers share, and compiles it into the worker's view."""

    def __init__(self, topic: str, publisher: RecordPublisher, state: ExportState) -> None:
        self._topic = topic
        self._publisher = publisher
        self._state = state
        self._jobs: dict[str, ExportJob] = {}
        self._lists: dict[str, FieldHistory] = {}
        self.guards = GuardRecords(topic, publisher, uuid.uuid4().hex[:12])
        self._segments: dict[str, dict[str, str]] = {}
        self._dropped: dict[str, Dropped] = {}

    def set_jobs(self, jobs: Iterable[ExportJob]) -> None:
        """Replace all export jobs."""
        self._jobs = {job.id: job for job in jobs}
        self.compile()

    def field_history(self, list_id: str) -> FieldHistory:
        """Return what is stored about a list."""
        return self._lists.get(list_id, FieldHistory())

    def dropped(self, list_id: str) -> Dropped:
        """Return the kinds of values that a list was seen not to keep."""
        return self._dropped.get(list_id, frozenset())

    def segments(self, list_id: str) -> Mapping[str, str]:
        """Return the ids of the list's segments that an exporter made, by what they are for (`SegmentPlan.key`)."""
        return self._segments.get(list_id, {})

    def merge(self, key: bytes, value: bytes | None) -> bool:
        """Merge one record of the shared topic. True when it changed what is exported: `compile` is due."""
        if value is None:
            return False
        body = orjson.loads(value)
        if key.startswith(AUDIENCE):
            entry = AudienceName(body["name"], body["at"], tuple(body.get("former", ())))
            return self._state.names.merge(key.removeprefix(AUDIENCE).decode(), entry)
        if key.startswith(LIST):
            list_id = key.removeprefix(LIST).decode().partition("/")[0]
            known = self.field_history(list_id)
            self._lists[list_id] = merged(known, FieldHistory.from_json(body))
            return self._lists[list_id].epoch != known.epoch
        if key.startswith(SEGMENT):
            list_id, _, made_for = key.removeprefix(SEGMENT).decode().partition("/")
            self._segments.setdefault(list_id, {})[made_for] = body["id"]
        if key.startswith(DROPPED):
            self._dropped[key.removeprefix(DROPPED).decode()] = frozenset(ValueKind(*kind) for kind in body["kinds"])
        if key.startswith(GUARD):
            self.guards.merge(key, value)
        return False

    def compile(self) -> None:
        """Bring the worker's view up to date."""
        epochs = {list_id: stored.epoch for list_id, stored in self._lists.items()}
        self._state.set_exports(compile_exports(self._jobs.values(), self._state.names, epochs))

    async def learn_names(self, names: Iterable[tuple[str, str, EpochMillis]]) -> None:
        """Learn (audience, name, event time) from events: published, and acknowledged, before anything uses them."""
        changes = self._state.names.changes(names)
        if not changes:
            return
        await self._publisher.publish_all(
            [
                Output(self._topic, AUDIENCE + audience.encode(), _name_bytes(entry))
                for audience, entry in changes.items()
            ]
        )
        for audience, entry in changes.items():
            self._state.names.merge(audience, entry)
        self.compile()

    async def fields_seen(self, list_id: str, fields: FieldMarks) -> None:
        """Store what the list's fields are, so that every worker, and a later one, notices what is lost of them."""
        await self._put_list(list_id, FieldHistory(self.field_history(list_id).epoch, fields))

    async def values_lost(self, list_id: str, fields: FieldMarks) -> None:
        """Values that had been written were deleted: everybody's are to be sent again, by every worker."""
        await self._put_list(list_id, FieldHistory(self.field_history(list_id).epoch + 1, fields))
        self.compile()

    async def values_dropped(self, list_id: str, dropped: Dropped) -> None:
        """Store what a list does not keep, for every worker's receipts and for reconciliations."""
        value = orjson.dumps({"kinds": [tuple(kind) for kind in sorted(dropped)]})
        await self._publisher.publish_all([Output(self._topic, DROPPED + list_id.encode(), value)])
        self._dropped[list_id] = dropped

    async def segment_made(self, list_id: str, made_for: str, segment_id: str) -> None:
        """Store that a segment is one of ours."""
        value = orjson.dumps({"id": segment_id})
        key = SEGMENT + f"{list_id}/{made_for}".encode()
        await self._publisher.publish_all([Output(self._topic, key, value)])
        self._segments.setdefault(list_id, {})[made_for] = segment_id

    async def _put_list(self, list_id: str, stored: FieldHistory) -> None:
        if stored == self.field_history(list_id):
            return
        # A key for each epoch: a worker that is behind must not overwrite what a newer epoch has recorded.
        key = LIST + f"{list_id}/{stored.epoch}".encode()
        await self._publisher.publish_all([Output(self._topic, key, orjson.dumps(stored.to_json()))])
        self._lists[list_id] = stored


def _name_bytes(entry: AudienceName) -> bytes:
    body: dict[str, Any] = {"name": entry.name, "at": entry.at}
    if entry.former:
        body["former"] = list(entry.former)
    return orjson.dumps(body)


LIMITS = b"limits/"
REPORT_SECONDS = 1.0
# Older reports are about a limit that has moved on; compaction keeps a dead worker's last one for ever.
FORGET_SECONDS = 60.0


async def keep_reporting(report: Callable[[], Awaitable[None]], seconds: float, failed: str) -> None:
    """Report every so often, until cancelled. What could not be published is logged as `failed`, and comes later."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await report()
        except BatchError as error:
            log.info(failed, error=str(error))


class SharedLimits:
    """Exchanges one worker's knowledge with the others'."""

    def __init__(
        self,
        topic: str,
        worker: str,
        publisher: RecordPublisher,
        limiters: Callable[[], Mapping[str, Limiter]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`worker`: a name that no other worker has."""
        self._topic = topic
        self._worker = worker
        self._publisher = publisher
        self._limiters = limiters
        self._wall = wall
        self._last: dict[str, tuple[float, int | None]] = {}

    async def run(self) -> None:
        """Report to the others, until cancelled."""
        await keep_reporting(self.report, REPORT_SECONDS, "limits not reported")

    async def report(self) -> None:
        """Publish what is known now, if it limits and was not published last."""
        outputs: list[Output] = []
        for authorization, limiter in self._limiters().items():
            known = limiter.report()
            limits = known.pause > 0 or known.interval > 0 or known.remaining is not None
            summary = (round(known.pause + known.interval, 2), known.remaining)
            if limits and self._last.get(authorization) != summary:
                self._last[authorization] = summary
                key = LIMITS + f"{authorization}/{self._worker}".encode()
                outputs.append(Output(self._topic, key, orjson.dumps({"worker": self._worker, **asdict(known)})))
        if outputs:
            await self._publisher.publish_all(outputs)

    def merge(self, key: bytes, value: bytes | None) -> None:
        """Merge a record of the state topic; what is not about limits, our own and old reports are ignored."""
        if value is None or not key.startswith(LIMITS):
            return
        body = orjson.loads(value)
        worker = body.pop("worker")
        authorization = key.removeprefix(LIMITS).decode().rpartition("/")[0]
        limiter = self._limiters().get(authorization)
        if worker == self._worker or limiter is None or self._wall() - body["at"] > FORGET_SECONDS:
            return
        limiter.merge_report(RateLimitReport(**body))
