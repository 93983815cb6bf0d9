"""Topic `cm_jobs`: export and import jobs, live."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import structlog

from connectors.control.table import ControlTable
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import AnyJob, ExportJob, ImportJob

log = structlog.get_logger(__name__)

OneJob = ExportJob | ImportJob


class UnknownJobError(LookupError):
    """There is no job with this id; says which there are."""


class Jobs:
    """All jobs, live.

    `on_change` is called with (id, job or None) for every change, this process's own included.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer,
        *,
        on_change: Callable[[str, OneJob | None], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._table: ControlTable[OneJob] = ControlTable(
            settings,
            settings.names()["cm_jobs"],
            read=lambda value: AnyJob.from_bytes(value).root,
            producer=producer,
            on_change=on_change,
        )
        self._clock = clock

    async def start(self) -> None:
        """Return when all jobs are held. Raises ReadError."""
        await self._table.start()

    async def close(self) -> None:
        """Stop following."""
        await self._table.close()

    def get(self, job_id: str) -> OneJob | None:
        """Return a job, or None."""
        return self._table.get(job_id)

    def known(self, job_id: str) -> OneJob:
        """Return a job. Raises UnknownJobError."""
        found = self._table.get(job_id)
        if found is None:
            there = ", ".join(self._table.all()) or "none"
            raise UnknownJobError(f"There is no job {job_id}; there are: {there}")
        return found

    def all(self) -> dict[str, OneJob]:
        """Return all jobs by id."""
        return self._table.all()

    def exports(self) -> dict[str, ExportJob]:
        """Return the export jobs by id."""
        return {job_id: job for job_id, job in self._table.all().items() if isinstance(job, ExportJob)}

    def imports(self) -> dict[str, ImportJob]:
        """Return the import jobs by id."""
        return {job_id: job for job_id, job in self._table.all().items() if isinstance(job, ImportJob)}

    async def put(self, job: OneJob) -> OneJob:
        """Write a job as it is. Raises PublishError; the old one stays then."""
        await self._table.put(job.id, job.to_bytes())
        log.info("job written", job=job.id, kind=job.kind, state=job.state)
        return job

    async def change(self, job_id: str, **fields: Any) -> OneJob:
        """Write a job with some fields changed. Raises UnknownJobError, pydantic's ValidationError, PublishError."""
        found = self.known(job_id)
        if all(getattr(found, name) == value for name, value in fields.items()):
            return found
        values = {name: getattr(found, name) for name in type(found).model_fields}
        changed = type(found)(**{**values, **fields, "updated_at": self._clock()})
        value = changed.to_bytes()
        await self._table.put(job_id, value)
        log.info("job changed", job=job_id, fields=sorted(fields))
        # As everybody reads it: instants are cut to milliseconds on the wire.
        return AnyJob.from_bytes(value).root

    async def set_state(self, job_id: str, state: Literal["running", "stopped"]) -> OneJob:
        """Start or stop a job. Raises UnknownJobError."""
        return await self.change(job_id, state=state)

    async def set_attention(self, job_id: str, attention: str | None) -> OneJob:
        """Say what a person has to do before the job can go on, or None when it can. Raises UnknownJobError."""
        return await self.change(job_id, attention=attention)

    async def remove(self, job_id: str) -> None:
        """Remove a job. Raises UnknownJobError."""
        self.known(job_id)
        await self._table.remove(job_id)
        log.info("job removed", job=job_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
