"""The import engine in one process: its partitions, chains and slots, in virtual time, with a topic and an account in
memory. A call takes `SECONDS_A_CALL`, whatever else the machine does; nothing else takes time.
"""

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.requests import Request
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, Transient, Unauthorised
from connectors.control.jobs import chain_partition, task_key
from connectors.importer import publish
from connectors.importer.progress import ProgressTable
from connectors.importer.publish import TaskPartition
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks.execute import TaskExecutor
from connectors.kafka.records import ConsumedRecord, RecordFields
from connectors.kafka.settings import KafkaSettings
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, ImportTask, RunProgress

SECONDS_A_CALL = 0.1
REFUSED = "Campaign Monitor does not accept the API key of a: store another one with `cm-streams auth add --id a`"
KAFKA = KafkaSettings()
PROGRESS = KAFKA.names()["cm_import_progress"]
REQUESTS = KAFKA.names()["cm_import_tasks"]


class _VirtualSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Never waits: the time that it would wait passes at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            self.now += timeout or 0.0
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop whose time passes when nobody has anything to do."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        runner.run(story)


class Accounts:
    """Answers calls: clients with empty lists. `calls`: how many of each path; `down`: listings fail.

    `failing`: paths that answer nothing but 503; `refused`: those that need a permission that there is not;
    `unauthorised`: those that refuse the credential.
    """

    def __init__(self, lists: dict[str, int]) -> None:
        self.lists = lists
        self.calls: Counter[str] = Counter()
        self.clients: Counter[str] = Counter()
        self.down = False
        self.failing: set[str] = set()
        self.refused: set[str] = set()
        self.unauthorised: set[str] = set()

    def wait(self) -> float:
        return 0.0

    async def call(self, request: Request) -> bytes:
        self.calls[request.path] += 1
        self.clients[request.ids[0].partition("-")[0]] += 1
        await asyncio.sleep(SECONDS_A_CALL)
        if request.path in self.refused:
            raise CampaignMonitorError("no", Forbidden(403, "denied"))
        if request.path in self.unauthorised:
            raise CampaignMonitorError("no", Unauthorised(100, "reconnect", REFUSED))
        if request.path in self.failing:
            raise CampaignMonitorError("no", Transient("gateway"))
        if self.down and request.path.startswith("/lists/"):
            raise CampaignMonitorError("no", Transient(503))
        return orjson.dumps(self._answer(request))

    def _answer(self, request: Request) -> object:
        client = request.ids[0]
        match request.path:
            case "/clients/{}":
                return {"BasicDetails": {"ClientID": client, "TimeZone": "(GMT) Coordinated Universal Time"}}
            case "/clients/{}/lists":
                return [{"ListID": f"{client}-{number}", "Name": "List"} for number in range(self.lists[client])]
            case "/clients/{}/journeys":
                return []
        return {"Results": [], "NumberOfPages": 1, "TotalNumberOfRecords": 0}


class Engine:
    """All partitions of one process. What a transaction publishes is seen at once by all of them."""

    def __init__(self, accounts: Accounts, jobs: list[ImportJob], patched: pytest.MonkeyPatch, slots: int) -> None:
        self.jobs = jobs
        self.table = ProgressTable()
        self.requests: list[ConsumedRecord] = []
        self.attention: list[tuple[str, str | None]] = []
        api = CampaignMonitor(accounts)
        self._view: Any = SimpleNamespace(table=self.table, until=self._until)
        patched.setattr(publish, "TransactionalPublisher", lambda _settings, _fence: self)
        patched.setattr(TaskPartition, "_group_member", self._group_member)  # its thread knows no virtual time
        settings = ImporterSettings(pages_in_flight=slots)

        async def open_api(_authorization: str) -> CampaignMonitor:
            return api

        self.authorized_at: dict[str, datetime] = {}
        self._executor = TaskExecutor(
            settings,
            self._view,
            open_api,
            lambda job_id: next((job for job in jobs if job.id == job_id), None),
            authorized_at=self.authorized_at.get,
        )
        self._partitions = [self._partition(number) for number in range(4)]

    def _partition(self, number: int) -> TaskPartition:
        return TaskPartition(
            number, 4, KAFKA, "g", self._executor, self._view, lambda: self.jobs, lambda: None, self._show
        )

    async def _show(self, job_id: str, attention: str | None) -> None:
        self.attention.append((job_id, attention))
        self.jobs[:] = [
            job.model_copy(update={"attention": attention}) if job.id == job_id else job for job in self.jobs
        ]

    async def __aenter__(self) -> "Engine":
        for partition in self._partitions:
            partition.start()
            await partition.ready()
        return self

    async def __aexit__(self, *_failure: Any) -> None:
        for partition in self._partitions:
            await partition.close()

    async def until(self, true: Callable[[], bool], seconds: float, every: float = 1.0) -> None:
        """Tick, as the process does, until something is true. Fails when it is not, in so many virtual seconds."""
        async with asyncio.timeout(seconds):
            while not true():
                for partition in self._partitions:
                    await partition.tick()
                await self.handle_requests()
                await asyncio.sleep(every)

    def request(self, task: ImportTask) -> None:
        """Put a request on the topic."""
        number = chain_partition(task.job_id, task.chain, 4)
        self.requests.append(ConsumedRecord(REQUESTS, number, 0, task_key(task), task.to_bytes()))

    async def handle_requests(self) -> None:
        """Hand each request to the partition that it is in."""
        while self.requests:
            record = self.requests.pop(0)
            await self._partitions[record.partition].handle(record)

    def run(self, job_id: str) -> RunProgress | None:
        """Return a job's run."""
        return self.table.runs.get(job_id)

    async def open(self) -> None:
        """Open the publisher."""

    async def close(self) -> None:
        """Close the publisher."""

    async def publish(self, records: list[RecordFields], **_offsets: Any) -> None:
        """Show on the topic what a transaction holds."""
        await asyncio.sleep(0)
        for topic, key, value, *_more in records:
            if topic == REQUESTS:
                self.requests.append(ConsumedRecord(topic, _more[1] or 0, len(self.requests), key, value))
            if topic != PROGRESS:
                continue
            progress = self.table.apply(key or b"", value)
            if isinstance(progress, ChainProgress):
                self._partitions[chain_partition(progress.job_id, progress.chain, 4)].merge(progress)

    async def _group_member(self, **_renewed: bool) -> None:
        """Return no metadata: nobody else is in the group."""

    async def _until(self, holds: Callable[[ProgressTable], bool], _seconds: float = 60.0) -> None:
        assert holds(self.table), "what was published is seen at once"
