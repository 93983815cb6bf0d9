"""Topic `cm_jobs`: export and import jobs, live.

Beside it, how the import connector is asked for work: by a task on `cm_import_tasks`, so that it is
done once, whichever process owns the partition.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import ValidationError

from connectors.control.table import Auditor, ControlTable, UnknownModelError
from connectors.kafka.client_config import admin_config
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import (
    AnyJob,
    AskedBy,
    Authorization,
    ExportJob,
    ImportJob,
    Job,
    JobAttention,
    WebhookRegistration,
    attention_key,
)
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask

log = structlog.get_logger(__name__)

ExportOrImportJob = ExportJob | ImportJob
Seen = Callable[[ExportOrImportJob], None]
Needed = Callable[[str], object]
"""Raises LookupError for the id of an authorization that is not there."""

NO_EDIT = frozenset({"removals_confirmed_at"})


class UnknownJobError(UnknownModelError):
    """There is no job with this id; the text names those that there are."""


class JobExistsError(ValueError):
    """There is a job with this id already; nothing was written."""


def refused_access(jobs: Mapping[str, Job], authorizations: Mapping[str, Authorization]) -> str | None:
    """Return what running jobs wait for at their authorizations, in sentences; None: nothing."""
    used = {job.authorization_id for job in jobs.values() if job.state == "running"}
    refused = [authorizations[name] for name in sorted(used & authorizations.keys())]
    found = [f"authorization {access.id}: {access.problem}" for access in refused if access.problem is not None]
    return "; ".join(found) or None


class Jobs(ControlTable[ExportOrImportJob]):
    """All jobs, live. Without a `producer` they can only be read.

    `needs`: a job is not given an authorization that it refuses, also when that was removed since the job was checked.
    """

    noun = "job"
    unknown = UnknownJobError

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer | None = None,
        *,
        on_change: Callable[[str, ExportOrImportJob | None], None] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        audit: Auditor | None = None,
        needs: Needed | None = None,
    ) -> None:
        super().__init__(
            settings,
            settings.names()["cm_jobs"],
            read=lambda value: self._shown(AnyJob.from_bytes(value).root),
            producer=producer,
            on_change=on_change,
            audit=audit,
        )
        self._clock = clock
        self._needs = needs
        self._changing = asyncio.Lock()
        self._attention: dict[str, dict[str, str]] = {}
        """By job: what a person has to do, by who asks for it."""

    def exports(self) -> dict[str, ExportJob]:
        """Return the export jobs by id."""
        return {job_id: job for job_id, job in self.all().items() if isinstance(job, ExportJob)}

    def imports(self) -> dict[str, ImportJob]:
        """Return the import jobs by id."""
        return {job_id: job for job_id, job in self.all().items() if isinstance(job, ImportJob)}

    async def write(self, model_id: str, model: ExportOrImportJob, *, audited: bool = True) -> ExportOrImportJob:
        """Write a job without its attention, which has records of its own. Raises as `ControlTable.write`."""
        return await super().write(model_id, model.model_copy(update={"attention": None}), audited=audited)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold jobs as they are now, and let nothing else in this process change one, until what is written came back.

        Another process may still write between the reading and the write, in milliseconds: its write, or ours, stays.
        Raises TimeoutError, KafkaException.
        """
        async with self._changing:
            await self.catch_up()
            yield

    async def remove(self, model_id: str, *, seen: Seen | None = None) -> None:
        """Remove a job, and what a person had to do for it. `seen` as for `change`. Raises as `ControlTable.remove`."""
        async with self.alone():
            if seen is not None:
                seen(self.known(model_id))
            await super().remove(model_id)
        for by in list(self._attention.get(model_id, {})):
            await self._ask(f"{ATTENTION}{by}:{model_id}", None)

    async def put(self, job: ExportOrImportJob) -> ExportOrImportJob:
        """Write a job as it is, and return it as everybody reads it.

        Raises PublishError, and the old one stays then; what `needs` raises.
        """
        before = self.get(job.id)
        if self._needs and (before is None or before.authorization_id != job.authorization_id):
            self._needs(job.authorization_id)
        written = await self.write(job.id, job)
        log.info("job written", job=job.id, kind=job.kind, state=job.state)
        return written

    async def add(self, job: ExportOrImportJob) -> ExportOrImportJob:
        """Write a job that is new. Raises JobExistsError, and as `put`."""
        async with self.alone():
            if self.get(job.id) is not None:
                raise JobExistsError(f"There is a job {job.id} already")
            return await self.put(job)

    async def change(self, job_id: str, *, seen: Seen | None = None, **fields: Any) -> ExportOrImportJob:
        """Write a job with some fields changed; nothing is written when they have these values already.

        What is shown on a job, and what is answered to that, is no edit: `updated_at` stays. `seen` is called with the
        job as it is now, and raises when it is not what whoever asks has seen.
        Raises UnknownJobError, pydantic's ValidationError, PublishError.
        """
        async with self.alone():
            found = self.known(job_id)
            if seen is not None:
                seen(found)
            if all(getattr(found, name) == value for name, value in fields.items()):
                return found
            values = {name: getattr(found, name) for name in type(found).model_fields}
            if not fields.keys() <= NO_EDIT:
                values["updated_at"] = self._clock()
            changed = await self.write(job_id, type(found)(**{**values, **fields}))
        log.info("job changed", job=job_id, fields=sorted(fields))
        return changed

    async def set_state(
        self, job_id: str, state: Literal["running", "stopped"], *, seen: Seen | None = None
    ) -> ExportOrImportJob:
        """Start or stop a job. Raises as `change`."""
        return await self.change(job_id, seen=seen, state=state)

    async def set_attention(self, by: AskedBy, job_id: str, text: str | None) -> None:
        """Record what one of those that work for a job asks a person to do; None: nothing. Others' text stays.

        Nothing is written when it is so already. Raises UnknownJobError, PublishError, TimeoutError.
        """
        self.known(job_id)
        if self._attention.get(job_id, {}).get(by) == text:
            return
        key = attention_key(by, job_id)
        await self._ask(key, None if text is None else JobAttention(job_id=job_id, by=by, text=text).to_bytes())
        if self.get(job_id) is None:
            await self._ask(key, None)  # it was removed meanwhile, maybe before it had attention

    async def _ask(self, key: str, value: bytes | None) -> None:
        await self._view.wait_for(await self._writer().publish(self.topic, key.encode(), value))

    def _shown(self, job: ExportOrImportJob) -> ExportOrImportJob:
        """Return a job with all that is asked for, each in a line."""
        asked = self._attention.get(job.id, {})
        return job.model_copy(update={"attention": "\n".join(asked[by] for by in sorted(asked)) or None})

    def _merge(self, record: ConsumedRecord) -> None:
        key = (record.key or b"").decode(errors="replace")
        if not key.startswith(ATTENTION):
            super()._merge(record)
            return
        by, _, job_id = key.removeprefix(ATTENTION).partition(":")
        try:
            asked = None if record.value is None else JobAttention.from_bytes(record.value)
        except ValidationError:
            log.error("attention unreadable", job=job_id, by=by, offset=record.offset)
            return
        texts = self._attention.setdefault(job_id, {})
        texts.pop(by, None)
        if asked is not None:
            texts[by] = asked.text
        job = self.get(job_id)
        if job is not None:
            self._hold(job_id, self._shown(job))


ATTENTION = "attention:"
"""How keys of attention begin."""


def attention_of(job: ExportOrImportJob, begins: tuple[str, ...]) -> str | None:
    """Return what one of those asks for that share a job's attention; each has a line, which begins as none else's."""
    lines = (job.attention or "").split("\n")
    return next((line for line in lines if line.startswith(begins)), None)


def has_list(job: ImportJob, client_id: str, list_id: str) -> bool:
    """Return whether a job imports a list of a client, once it runs."""
    return job.client_id == client_id and (not job.lists or list_id in job.lists)


def task_key(task: ImportTask) -> bytes:
    """Return the key of a task: its chain, so that a chain has one partition."""
    return f"{task.job_id}:{task.chain}".encode()


def chain_partition(job_id: str, chain: str, partitions: int) -> int:
    """Return the task partition whose owner reads a chain; parts of a divided one (`...#2`) stay together."""
    return zlib.crc32(f"{job_id}:{chain.partition('#')[0]}".encode()) % partitions


def home_partition(job_id: str, partitions: int) -> int:
    """Return the task partition whose owner starts and ends the job's runs."""
    return zlib.crc32(job_id.encode()) % partitions


def partition_count(settings: KafkaSettings, topic: str) -> int:
    """Return how many partitions a topic has. Blocks. Raises KafkaException when no broker answers."""
    client = AdminClient({**admin_config(settings, "importer"), "log_level": 0})
    found = client.list_topics(topic, timeout=10).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    return len(found.partitions)


async def request_run(kafka: KafkaSettings, producer: AsyncProducer, job_id: str) -> None:
    """Ask that the job's next run begins at once; nothing happens while one is under way.

    Raises:
        PublishError: the brokers did not accept it.
        KafkaException: no broker answers.
    """
    topic = kafka.names()["cm_import_tasks"]
    count = await asyncio.to_thread(partition_count, kafka, topic)
    task = ImportTask(job_id=job_id, run=0, chain="start", kind="start", started_at=datetime.now(UTC))
    await producer.publish(topic, task_key(task), task.to_bytes(), partition=home_partition(job_id, count))


async def request_missed_changes(
    kafka: KafkaSettings, producer: AsyncProducer, hook: WebhookRegistration, since: datetime, states: list[str]
) -> None:
    """Ask for the changes of state on a list since its webhook was last seen to work; of all `states` without any.

    One job is asked; another one takes over when it does not read them. Safe to ask twice, and after late events: the
    same change has the same event id. Raises as `request_run`.
    """
    topic = kafka.names()["cm_import_tasks"]
    count = await asyncio.to_thread(partition_count, kafka, topic)
    task = ImportTask(
        job_id=hook.job_ids[0],
        run=0,
        chain=f"gap/{hook.list_id}",
        kind="gap",
        list_ids=[hook.list_id],
        client_id=hook.client_id,
        states=states,
        since=rfc3339(since),
        label="events that a webhook missed",
        group=f"list {hook.list_name or hook.list_id}",
        started_at=datetime.now(UTC),
    )
    number = chain_partition(task.job_id, task.chain, count)
    await producer.publish(topic, task_key(task), task.to_bytes(), partition=number)
