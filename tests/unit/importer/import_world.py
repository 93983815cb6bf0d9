"""The importer without Kafka: the real plan, tasks, readers and client, against the simulator over HTTP.

A step's records and progress are kept as one transaction would keep them; chains are read in random order.
"""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings
from connectors.devkit.simulator.server import Simulator
from connectors.importer.fetch import ChainPages
from connectors.importer.progress import ProgressTable
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import plan
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import TaskResult
from connectors.importer.translated import ImportedRecord
from schemas.control import ImportJob
from schemas.import_task import key_of

SETTINGS = {
    "page_size": 10,
    "chains_per_read": 3,
    "recipients_after_seconds": 0,
    "park_seconds": 0.001,
    "retry_attempts": 1,
    "hot_hours": 100_000,
}


class ImportWorld:
    """One job and all that was published for it."""

    def __init__(self, simulator: Simulator, job: ImportJob, seed: int, table: ProgressTable | None = None) -> None:
        self.simulator = simulator
        self.job = job
        self.table = ProgressTable() if table is None else table
        self.published: list[ImportedRecord] = []
        self._random = random.Random(seed)
        self._pages: dict[str, ChainPages] = {}
        self._api: CampaignMonitor | None = None
        self._executor = self._new_executor()

    async def __aenter__(self) -> "ImportWorld":
        settings = CampaignMonitorSettings(base_url=self.simulator.base_url, requests_in_flight=16)
        self._context = CampaignMonitor.open(ApiKey(SecretStr(self.simulator.api_key)), settings)
        self._api = await self._context.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> None:
        self.crash()
        await self._context.__aexit__(*failure)

    def change(self, **change: Any) -> None:
        """Edit the job."""
        self.job = self.job.model_copy(update=change)

    def remove(self) -> None:
        """Remove the job, as its home sees it."""
        deleted, kept = self.table.removal(self.job.id)
        for key in deleted:
            self.table.apply(key, None)
        for mark in kept:
            self.table.apply(key_of(mark), mark.to_bytes())

    def ask_for_a_run(self) -> None:
        """Ask for the next run at once, as `import run` does."""
        run = self.table.runs.get(self.job.id)
        if run is not None and run.state != "open":
            self.table.put(run.model_copy(update={"requested": True}))

    def crash(self) -> None:
        """Forget what is only in memory: pages that were requested ahead, and what is known of clients."""
        for pages in self._pages.values():
            pages.discard()
        self._pages.clear()
        self._executor = self._new_executor()

    async def work(self, steps: int = 1_000_000) -> None:
        """Plan and read, until nothing is to be done or so many steps were taken."""
        for _step in range(steps):
            if not await self._step():
                return

    async def _step(self) -> bool:
        now = datetime.now(UTC) + timedelta(seconds=1)
        job_id, table = self.job.id, self.table
        waiting, chains = table.waiting(job_id), table.chains(job_id)
        action = plan.next_action(self.job, table.runs.get(job_id), waiting, chains.values(), now)
        if action is not None:
            result = TaskResult(progress=[action.run])
            if isinstance(action, plan.StartRun | plan.StartCatchUp):
                result.begin(action.task)
            self._commit(result)
            return True
        due = sorted(name for name, chain in waiting.items() if chain.state == "open" or self.job.state == "running")
        if not due:
            return False
        name = self._random.choice(due)
        task = waiting[name].task
        assert task is not None
        pages = self._pages.setdefault(name, self._executor.pages())
        self._commit(await self._executor.execute(task, pages))
        await asyncio.sleep(0)
        return True

    def _commit(self, result: TaskResult) -> None:
        self.published += result.records
        for record in result.progress:
            self.table.apply(key_of(record), record.to_bytes())

    def _new_executor(self) -> TaskExecutor:
        view: Any = SimpleNamespace(table=self.table)
        settings = ImporterSettings(**SETTINGS)
        return TaskExecutor(settings, view, self._open_api, lambda job_id: self.job if job_id == self.job.id else None)

    async def _open_api(self, _authorization_id: str) -> CampaignMonitor:
        assert self._api is not None
        return self._api
