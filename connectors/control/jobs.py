"""Topic `cm_jobs`: export and import jobs, live."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import structlog

from connectors.control.table import ControlTable, UnknownModelError
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import AnyJob, ExportJob, ImportJob

log = structlog.get_logger(__name__)

ExportOrImportJob = ExportJob | ImportJob


class UnknownJobError(UnknownModelError):
    """There is no job with this id; the text names those that there are."""


class Jobs(ControlTable[ExportOrImportJob]):
    """All jobs, live. Without a `producer` they can only be read."""

    noun = "job"
    unknown = UnknownJobError

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer | None = None,
        *,
        on_change: Callable[[str, ExportOrImportJob | None], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(
            settings,
            settings.names()["cm_jobs"],
            read=lambda value: AnyJob.from_bytes(value).root,
            producer=producer,
            on_change=on_change,
        )
        self._clock = clock

    def exports(self) -> dict[str, ExportJob]:
        """Return the export jobs by id."""
        return {job_id: job for job_id, job in self.all().items() if isinstance(job, ExportJob)}

    def imports(self) -> dict[str, ImportJob]:
        """Return the import jobs by id."""
        return {job_id: job for job_id, job in self.all().items() if isinstance(job, ImportJob)}

    async def put(self, job: ExportOrImportJob) -> ExportOrImportJob:
        """Write a job as it is, and return it as everybody reads it. Raises PublishError; the old one stays then."""
        written = await self.write(job.id, job)
        log.info("job written", job=job.id, kind=job.kind, state=job.state)
        return written

    async def change(self, job_id: str, **fields: Any) -> ExportOrImportJob:
        """Write a job with some fields changed; nothing is written when they have these values already.

        Raises UnknownJobError, pydantic's ValidationError, PublishError.
        """
        found = self.known(job_id)
        if all(getattr(found, name) == value for name, value in fields.items()):
            return found
        values = {name: getattr(found, name) for name in type(found).model_fields}
        changed = await self.write(job_id, type(found)(**{**values, **fields, "updated_at": self._clock()}))
        log.info("job changed", job=job_id, fields=sorted(fields))
        return changed

    async def set_state(self, job_id: str, state: Literal["running", "stopped"]) -> ExportOrImportJob:
        """Start or stop a job. Raises as `change`."""
        return await self.change(job_id, state=state)

    async def set_attention(self, job_id: str, attention: str | None) -> ExportOrImportJob:
        """Record what a person has to do before the job can go on, or None when it can. Raises as `change`."""
        return await self.change(job_id, attention=attention)
