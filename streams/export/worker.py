"""The export worker: the parts, put together, and the control topics beside it. No logic."""

import asyncio
import uuid
from collections.abc import Iterable
from typing import Any

import structlog

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import CampaignMonitorSettings, Credential
from connectors.control.accounts import Credentials
from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, SealError
from connectors.control.jobs import ExportOrImportJob, Jobs, UnknownJobError, refused_access
from connectors.control.metrics import ControlMetrics
from connectors.kafka.client_config import aiokafka_config
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization, ExportJob
from streams.batches import BatchApp, BatchSettings
from streams.export import metrics
from streams.export.intake.agent import AudienceAgent, IntakeContext
from streams.export.intake.commands import RowChanges
from streams.export.lists.accounts import CredentialOf, ExportAccounts, NoCredentialError
from streams.export.lists.attention import BlockedReports, ReportBlocked
from streams.export.lists.shared_state import SharedLimits, SharedState
from streams.export.lists.waiting import WaitingReports
from streams.export.recovery.read_back import PartitionReader, ReceiptsReader, RefusedRecords
from streams.export.rules.jobs import AudienceNames
from streams.export.runner import ExportRunner
from streams.export.sending.connections import SenderContext
from streams.export.sending.partition_rows import PartitionRows
from streams.export.settings import ExportSettings
from streams.export.state import ExportState
from streams.export.table import ExportRuntime, RowCodec, index
from streams.process import StreamsSettings

log = structlog.get_logger(__name__)

CACHED_ROWS = 10_000
"""Some 3.5 KiB each. Most people have one change in a backlog, or one again after a long time."""


class ExportWorker:
    """A `BatchApp` with the agents and the runner in it. Its jobs come from outside, by `set_jobs`."""

    def __init__(
        self,
        streams: StreamsSettings,
        kafka: KafkaSettings,
        export: ExportSettings,
        campaign_monitor: CampaignMonitorSettings,
        credential_of: CredentialOf,
        report_blocked: ReportBlocked,
        **overrides: Any,
    ) -> None:
        """`overrides` go into the batch settings: tests run with fewer partitions and shorter waits."""
        names = kafka.names()
        self.names = names
        self.app = BatchApp(batch_settings(streams, kafka, export, **overrides))
        config = aiokafka_config(kafka, "export-reader")
        source, commands = names["audience-membership"], names["cm_membership-commands"]
        self.table = self.app.table(
            "memberships",
            codec=RowCodec(),
            sources=[source, commands, names["cm_activity"]],
            changelog=names["cm_memberships-changelog"],
            index=index,
        )
        self.receipts = ReceiptsReader(config, names["audience-delivery"])
        self.source = PartitionReader(config, source)
        runtime = ExportRuntime(self.table, self.app, self.app.producer, self.receipts, names)
        self.state = ExportState(names=AudienceNames(units=export.value_units), partitions=self.app.settings.partitions)
        self.shared = SharedState(names["cm_export-state"], self.app.producer, self.state)
        self.accounts = ExportAccounts(campaign_monitor, credential_of)
        rows = PartitionRows(self.state, runtime, export.late_call_seconds)
        context = SenderContext(
            self.state,
            runtime,
            rows,
            BlockedReports(self.state, report_blocked),
            RefusedRecords(source, self.source, self.app.publish_dead_letters),
        )
        self.runner = ExportRunner(export, self.shared, context, self.accounts)
        self._shown = metrics.Shown(self.state)
        worker_id = export.instance_id or uuid.uuid4().hex[:12]
        self.limits = SharedLimits(names["cm_export-state"], worker_id, self.app.producer, self.accounts.limiters)
        self.waiting = WaitingReports(names["cm_export-state"], worker_id, self.app.producer, self.state.open)
        intake = IntakeContext(self.state, runtime, self.table, self.shared, rows)
        agent = AudienceAgent(intake, max_row_bytes=export.max_row_bytes)
        changes = RowChanges(intake)
        self._state_topic = CompactedTopic(kafka, names["cm_export-state"], self._merge_state)
        self._jobs: list[ExportJob] = []
        self._jobs_set = asyncio.Event()
        self._ready = asyncio.Event()
        self.app.agent(source)(agent)
        self.app.agent(commands)(changes.commands)
        self.app.agent(names["cm_activity"])(changes.activity)
        self.app.on_assigned(self._assigned)
        self.app.on_revoked(self.runner.revoked)
        for service in (
            self._follow_state,
            self.runner.run,
            self.runner.checkpoints,
            self.runner.transfers,
            self.runner.rechecks,
            self.limits.run,
            self.waiting.run,
        ):
            self.app.service(service)

    def set_jobs(self, jobs: Iterable[ExportJob]) -> None:
        """Replace all export jobs. Nothing is folded, and no list opened, before the first call."""
        self._jobs = list(jobs)
        self._jobs_set.set()
        if self._ready.is_set():
            self.shared.set_jobs(self._jobs)

    async def close(self) -> None:
        """Close the connections that the app does not know."""
        self._shown.end()
        await self.accounts.close()
        await self.receipts.close()
        await self.source.close()

    async def _assigned(self, partition: int, generation: int) -> None:
        await self._ready.wait()
        await self.runner.assigned(partition, generation)

    async def _follow_state(self) -> None:
        """Follow what workers share, from the beginning; nothing is folded before it and the jobs are complete."""
        async with self._state_topic:
            await self._jobs_set.wait()
            self.shared.set_jobs(self._jobs)
            self._ready.set()
            await asyncio.Event().wait()

    def _merge_state(self, record: ConsumedRecord) -> None:
        key = record.key or b""
        self.limits.merge(key, record.value)
        if self.shared.merge(key, record.value) and self._ready.is_set():
            self.shared.compile()


class ExportProcess:
    """An `ExportWorker` with the control topics: jobs and authorizations, each read once."""

    def __init__(
        self,
        streams: StreamsSettings,
        kafka: KafkaSettings,
        export: ExportSettings,
        campaign_monitor: CampaignMonitorSettings,
        control: ControlSettings,
    ) -> None:
        self._kafka = kafka
        self._campaign_monitor = campaign_monitor
        self._sealer = Sealer.if_configured(control)
        self._sealed: dict[str, str | None] = {}
        self._started = False
        self.worker = ExportWorker(streams, kafka, export, campaign_monitor, self._credential, self._report_blocked)

    async def start(self) -> None:
        """Read the control topics, then join the group."""
        self._producer = AsyncProducer(self._kafka, "export-control")
        self._transport = Transport(self._campaign_monitor)
        self._credentials = Credentials(self._campaign_monitor, self._transport)
        self._authorizations = Authorizations(
            self._kafka, self._producer, self._sealer, on_change=self._authorization_changed
        )
        self._credentials.read_from(self._authorizations)
        self._jobs = Jobs(self._kafka, self._producer, on_change=self._job_changed)
        await self._authorizations.start()
        await self._jobs.start()
        self._started = True
        self._shown = ControlMetrics(self._jobs, self._authorizations)
        self.worker.set_jobs(self._jobs.exports().values())
        await self.worker.app.start()

    async def stop(self) -> None:
        """Leave the group, then close the rest."""
        await self.worker.app.stop()
        await self.worker.close()
        self._shown.end()
        await self._jobs.close()
        await self._credentials.close()
        await self._authorizations.close()
        await self._transport.close()
        await self._producer.close()

    def refused_access(self) -> str | None:
        """Return which authorizations of running jobs are refused, in sentences; None: none."""
        return refused_access(self._jobs.exports(), self._authorizations.all()) if self._started else None

    async def _credential(self, authorization_id: str) -> Credential:
        try:
            return await self._credentials.credential(authorization_id)
        except (LookupError, SealError) as fault:
            raise NoCredentialError(str(fault)) from None

    def _job_changed(self, _job_id: str, _job: ExportOrImportJob | None) -> None:
        if self._started:  # while the topic is read for the first time the jobs are not complete
            self.worker.set_jobs(self._jobs.exports().values())

    def _authorization_changed(self, authorization_id: str, authorization: Authorization | None) -> None:
        """An authorization was stored: lists that wait for it are tried at once. Its state alone is no reason."""
        self._credentials.changed(authorization_id, authorization)
        sealed = authorization.sealed if authorization is not None else None
        if self._sealed.get(authorization_id) != sealed:
            self._sealed[authorization_id] = sealed
            self.worker.runner.credential_changed()

    async def _report_blocked(self, job_id: str, attention: str | None) -> None:
        """Show on the job what a person has to do."""
        try:
            await self._jobs.set_attention("export", job_id, attention)
        except UnknownJobError:
            log.info("job was removed", job_id=job_id)


def batch_settings(
    streams: StreamsSettings, kafka: KafkaSettings, export: ExportSettings, **overrides: Any
) -> BatchSettings:
    """Return the runtime's settings from the process's."""
    values: dict[str, Any] = {
        "app_id": export.consumer_group(kafka.topic_prefix),
        "kafka": kafka,
        "data_dir": streams.data_dir / "export",
        "instance_id": export.instance_id,
        "on_lost_records": streams.on_lost_records,
        "max_record_bytes": min(1_000_000, kafka.max_message_bytes - 10_000),
        "create_topics": True,
        "cache_rows": CACHED_ROWS,
    }
    return BatchSettings(**{**values, **overrides})
