"""What all export workers know together: jobs, audiences' names, and what became of lists' fields.

Jobs come from their topic. Names and list states are written to an internal compacted topic by whoever learns them
first, before any row that depends on them, and read from there by everybody.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from schemas.control import ExportJob
from streams.batches import Output
from streams.delivery.ports import Publisher
from streams.domain.catalogue import Catalogue, Named
from streams.domain.exports import Exports, compiled
from streams.domain.rows import Millis

log = structlog.get_logger(__name__)

AUDIENCE, LIST = b"audience/", b"list/"


@dataclass(frozen=True, slots=True)
class ListState:
    """What is remembered about a list: how often values were lost, and which fields are known to have been there."""

    epoch: int = 0
    made: tuple[str, ...] = ()


class Shared:
    """The worker's view, and the only place that changes it."""

    def __init__(self, topic: str, publisher: Publisher) -> None:
        self.catalogue = Catalogue()
        self.exports = Exports()
        self._topic = topic
        self._publisher = publisher
        self._jobs: dict[str, ExportJob] = {}
        self._lists: dict[str, ListState] = {}
        self._listeners: list[Callable[[Exports, Exports], None]] = []

    def on_change(self, listener: Callable[[Exports, Exports], None]) -> None:
        """Call `listener(before, after)` whenever jobs, names or epochs change what is exported."""
        self._listeners.append(listener)

    def jobs_are(self, jobs: Iterable[ExportJob]) -> None:
        """Take all export jobs, as they are now."""
        self._jobs = {job.id: job for job in jobs}
        self._compile()

    def job(self, job_id: str) -> ExportJob | None:
        """Return a job as it was written."""
        return self._jobs.get(job_id)

    def list_state(self, list_id: str) -> ListState:
        """Return what is remembered about a list."""
        return self._lists.get(list_id, ListState())

    def take(self, key: bytes, value: bytes | None) -> bool:
        """Take one record of the shared topic. Says whether it changed what is exported."""
        if value is None:
            return False
        body = orjson.loads(value)
        if key.startswith(AUDIENCE):
            entry = Named(body["name"], body["at"], tuple(body.get("former", ())))
            return self.catalogue.put(key.removeprefix(AUDIENCE).decode(), entry)
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
        """Bring the view up to date after records were taken."""
        self._compile()

    async def learn(self, names: Iterable[tuple[str, str, Millis]]) -> None:
        """Take audiences' names from events: published, and acknowledged, before anything uses them."""
        news = self.catalogue.news(names)
        if not news:
            return
        await self._publisher.publish_all(
            [Output(self._topic, AUDIENCE + audience.encode(), _named(entry)) for audience, entry in news.items()]
        )
        for audience, entry in news.items():
            self.catalogue.put(audience, entry)
        self._compile()

    async def fields_made(self, list_id: str, made: Iterable[str]) -> None:
        """Remember that these fields have been there."""
        known = self.list_state(list_id)
        names = tuple(sorted({*known.made, *made}))
        if names != known.made:
            await self._put_list(list_id, ListState(known.epoch, names))

    async def values_lost(self, list_id: str, still_made: Iterable[str]) -> None:
        """Values that had been written are gone: everybody's are to be sent again, by every worker."""
        known = self.list_state(list_id)
        await self._put_list(list_id, ListState(known.epoch + 1, tuple(sorted(still_made))))
        self._compile()

    async def _put_list(self, list_id: str, state: ListState) -> None:
        value = orjson.dumps({"epoch": state.epoch, "made": list(state.made)})
        await self._publisher.publish_all([Output(self._topic, LIST + list_id.encode(), value)])
        self._lists[list_id] = state

    def _compile(self) -> None:
        before = self.exports
        epochs: Mapping[str, int] = {list_id: state.epoch for list_id, state in self._lists.items()}
        self.exports = compiled(self._jobs.values(), self.catalogue, epochs)
        for listener in self._listeners:
            listener(before, self.exports)


def _named(entry: Named) -> bytes:
    body: dict[str, Any] = {"name": entry.name, "at": entry.at}
    if entry.former:
        body["former"] = list(entry.former)
    return orjson.dumps(body)
