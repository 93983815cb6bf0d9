"""What all export workers know together: jobs, audiences' names, and what became of lists' fields.

Jobs come from their topic. Names and list states are written to an internal compacted topic by the worker that learns
them first, before any row that depends on them, and read from there by all. This is the only place that changes
`ExportState.exports` and `ExportState.names`.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from schemas.control import ExportJob
from streams.batches import Output
from streams.export.rules.jobs import AudienceName, compile_exports
from streams.export.rules.row import EpochMillis
from streams.export.state import ExportState
from streams.export.table import RecordPublisher

log = structlog.get_logger(__name__)

AUDIENCE, LIST = b"audience/", b"list/"

ReportBlocked = Callable[[str, str | None], Awaitable[None]]
"""Called with (job id, what a person has to do) whenever that changes; None: it is done."""


@dataclass(frozen=True, slots=True)
class ListState:
    """What is stored about a list: how often values were lost, and which fields are known to have existed."""

    epoch: int = 0
    made: tuple[str, ...] = ()


class SharedState:
    """Reads and writes what the workers share, and compiles it into the worker's view."""

    def __init__(self, topic: str, publisher: RecordPublisher, state: ExportState) -> None:
        self._topic = topic
        self._publisher = publisher
        self._state = state
        self._jobs: dict[str, ExportJob] = {}
        self._lists: dict[str, ListState] = {}

    def set_jobs(self, jobs: Iterable[ExportJob]) -> None:
        """Replace all export jobs."""
        self._jobs = {job.id: job for job in jobs}
        self.compile()

    def list_state(self, list_id: str) -> ListState:
        """Return what is stored about a list."""
        return self._lists.get(list_id, ListState())

    def merge(self, key: bytes, value: bytes | None) -> bool:
        """Merge one record of the shared topic. True when it changed what is exported: `compile` is due."""
        if value is None:
            return False
        body = orjson.loads(value)
        if key.startswith(AUDIENCE):
            entry = AudienceName(body["name"], body["at"], tuple(body.get("former", ())))
            return self._state.names.merge(key.removeprefix(AUDIENCE).decode(), entry)
        if key.startswith(LIST):
            list_id = key.removeprefix(LIST).decode()
            known = self.list_state(list_id)
            made = tuple(sorted({*known.made, *body.get("made", ())})) if body["epoch"] == known.epoch else body["made"]
            if body["epoch"] < known.epoch:
                return False
            self._lists[list_id] = ListState(body["epoch"], tuple(made))
            return bool(body["epoch"] != known.epoch)
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

    async def fields_created(self, list_id: str, made: Iterable[str]) -> None:
        """Store that these fields (plain names) have existed."""
        known = self.list_state(list_id)
        names = tuple(sorted({*known.made, *made}))
        if names != known.made:
            await self._put_list(list_id, ListState(known.epoch, names))

    async def values_lost(self, list_id: str, still_there: Iterable[str]) -> None:
        """Values that had been written were deleted: everybody's are to be sent again, by every worker."""
        known = self.list_state(list_id)
        await self._put_list(list_id, ListState(known.epoch + 1, tuple(sorted(still_there))))
        self.compile()

    async def _put_list(self, list_id: str, stored: ListState) -> None:
        value = orjson.dumps({"epoch": stored.epoch, "made": list(stored.made)})
        await self._publisher.publish_all([Output(self._topic, LIST + list_id.encode(), value)])
        self._lists[list_id] = stored


def _name_bytes(entry: AudienceName) -> bytes:
    body: dict[str, Any] = {"name": entry.name, "at": entry.at}
    if entry.former:
        body["former"] = list(entry.former)
    return orjson.dumps(body)


class BlockedReports:
    """Publishes on the jobs of a list what a person has to do before they can go on."""

    def __init__(self, state: ExportState, report_blocked: ReportBlocked) -> None:
        self._state = state
        self._report_blocked = report_blocked

    async def report(self, list_id: str, why: str | None) -> None:
        """Report it for each running job of the list; None when it is done. A failure is logged, never raised."""
        listed = self._state.listed(list_id)
        for view in listed.running if listed is not None else ():
            try:
                await self._report_blocked(view.id, why)
            except Exception as error:
                log.warning("what a person has to do could not be published", job_id=view.id, error=repr(error))
