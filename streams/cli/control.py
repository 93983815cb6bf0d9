"""The control topics, for as long as a command needs them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from connectors.control.authorizations import Authorizations
from connectors.control.crypto import Sealer
from connectors.control.jobs import Jobs
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob
from streams.cli.refusals import refusals, refuse

T = TypeVar("T")


@asynccontextmanager
async def control(sealer: Sealer | None = None) -> AsyncIterator[tuple[Jobs, Authorizations]]:
    """Hold jobs and authorizations; without a sealer secrets stay closed."""
    settings = KafkaSettings()
    async with (
        AsyncProducer(settings, "cli") as producer,
        Jobs(settings, producer) as jobs,
        Authorizations(settings, producer, sealer) as authorizations,
    ):
        yield jobs, authorizations


def with_jobs(work: Callable[[Jobs], Awaitable[T]]) -> T:
    """Do something with all jobs at hand; what a person can mend ends in a sentence."""

    async def run() -> T:
        async with control() as (jobs, _):
            return await work(jobs)

    with refusals():
        return asyncio.run(run())


async def create_job(job: ExportJob | ImportJob, *, replace: bool) -> None:
    """Write a new job. Refuses an id that is taken, unless it is to be replaced, and an unknown authorization."""
    async with control() as (jobs, authorizations):
        authorizations.known(job.authorization_id)
        before = jobs.get(job.id)
        if before is None:
            await jobs.put(job)
            return
        if not replace:
            refuse(f"There is a job {job.id} already: use --replace to change it, or choose another --id")
        if before.kind != job.kind:
            refuse(f"Job {job.id} is an {before.kind} job, and an {before.kind} job cannot become an {job.kind} job")
        kept: dict[str, Any] = {"created_at": before.created_at}
        if isinstance(before, ExportJob) and before.list_id == getattr(job, "list_id", None):
            kept["started_at"] = before.started_at
        if isinstance(before, ImportJob):
            kept["full_read"] = before.full_read
        await jobs.put(job.model_copy(update=kept))
