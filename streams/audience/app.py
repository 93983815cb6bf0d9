"""The export worker: the parts, put together. No logic."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import structlog
from pydantic import ValidationError

from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.kafka.client_config import aiokafka_config
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import DEAD_LETTER_ROOM, KafkaSettings
from schemas.control import AnyJob, ExportJob
from streams.audience.agent import AudienceAgent
from streams.audience.commands import RowChanges
from streams.batches import BatchApp, BatchSettings, DeadLetter
from streams.delivery.accounts import Accounts, CredentialOf
from streams.delivery.codec import RowCodec, index
from streams.delivery.dead_letters import Originals
from streams.delivery.delivery import Attend, Delivery
from streams.delivery.receipts_topic import PartitionReader, ReceiptsReader
from streams.delivery.settings import ExportSettings
from streams.delivery.shared import Shared
from streams.delivery.shared_limits import SharedLimits
from streams.settings import StreamsSettings

log = structlog.get_logger(__name__)


class ExportWorker:
    """A `BatchApp` with the audience agent and delivery in it."""

    def __init__(
        self,
        streams: StreamsSettings,
        kafka: KafkaSettings,
        export: ExportSettings,
        campaign_monitor: CampaignMonitorSettings,
        credential_of: CredentialOf,
        attend: Attend,
        **overrides: Any,
    ) -> None:
        """`overrides` go into the batch settings: tests run with fewer partitions and shorter waits."""
        names = kafka.names()
        self.names = names
        self._kafka = kafka
        self.app = BatchApp(
            batch_settings(streams, kafka, export, **overrides), dead_letters=self._keep, misplaced=self._keep
        )
        config = aiokafka_config(kafka, "export-reader")
        self.shared = Shared(names["cm_export-state"], self.app.producer)
        self.accounts = Accounts(campaign_monitor, credential_of)
        source = names["audience-membership"]
        self.table = self.app.table(
            "memberships",
            codec=RowCodec(),
            sources=[source, names["cm_membership-commands"], names["cm_activity"]],
            changelog=names["cm_memberships-changelog"],
            index=index,
        )
        self.receipts = ReceiptsReader(config, names["audience-delivery"])
        self.source = PartitionReader(config, source)
        self.delivery = Delivery(
            export,
            names,
            self.shared,
            self.table,
            self.app,
            self.app.producer,
            self.accounts,
            self.receipts,
            attend,
            Originals(source, self.source, self._keep),
        )
        worker_id = export.instance_id or uuid.uuid4().hex[:12]
        self.limits = SharedLimits(names["cm_export-state"], worker_id, self.app.producer, self.accounts.limiters)
        self.agent = AudienceAgent(
            self.table,
            self.shared,
            self.delivery,
            self.app.producer,
            partitions=self.app.settings.partitions,
            max_row_bytes=export.max_row_bytes,
            commands_topic=names["cm_membership-commands"],
        )
        changes = RowChanges(self.table, self.delivery, self.shared, commands_topic=names["cm_membership-commands"])
        self._jobs: dict[str, ExportJob] = {}
        self._state_topic = CompactedTopic(kafka, names["cm_export-state"], self._take_state)
        self._jobs_topic = CompactedTopic(kafka, names["cm_jobs"], self._take_job)
        self._known = asyncio.Event()
        self.app.agent(source)(self.agent)
        self.app.agent(names["cm_membership-commands"])(changes.commands)
        self.app.agent(names["cm_activity"])(changes.activity)
        self.app.on_assigned(self._assigned)
        self.app.on_revoked(self.delivery.revoked)
        self.app.service(self._follow)
        self.app.service(self.delivery.run)
        self.app.service(self.delivery.checkpoints)
        self.app.service(self.limits.tell)

    async def _keep(self, letters: Sequence[DeadLetter]) -> None:
        await self.app.publish_dead_letters(letters)

    async def close(self) -> None:
        """Close the connections that the app does not know."""
        await self.accounts.close()
        await self.receipts.close()
        await self.source.close()

    async def _assigned(self, partition: int, generation: int) -> None:
        await self._known.wait()
        await self.delivery.assigned(partition, generation)

    async def _follow(self) -> None:
        """Hold jobs and what workers share, from the beginning; nothing is folded before both are complete."""
        async with self._state_topic:
            self.shared.compile()
            async with self._jobs_topic:
                self.shared.jobs_are(self._jobs.values())
                self._known.set()
                await asyncio.Event().wait()

    def _take_state(self, record: ConsumedRecord) -> None:
        key = record.key or b""
        self.limits.take(key, record.value)
        if self.shared.take(key, record.value) and self._known.is_set():
            self.shared.compile()

    def _take_job(self, record: ConsumedRecord) -> None:
        job_id = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._jobs.pop(job_id, None)
        else:
            try:
                job = AnyJob.from_bytes(record.value).root
            except ValidationError as fault:
                log.error("job cannot be read", job_id=job_id, fault=str(fault.errors(include_input=False)[:3]))
                return
            if isinstance(job, ExportJob):
                self._jobs[job.id] = job
        if self._known.is_set():
            self.shared.jobs_are(self._jobs.values())


def batch_settings(
    streams: StreamsSettings, kafka: KafkaSettings, export: ExportSettings, **overrides: Any
) -> BatchSettings:
    """Return the runtime's settings from the process's."""
    values: dict[str, Any] = {
        "app_id": kafka.topic_prefix + export.app_id,
        "kafka": kafka,
        "data_dir": streams.data_dir / "export",
        "instance_id": export.instance_id,
        "max_record_bytes": min(1_000_000, kafka.max_message_bytes - 10_000),
        "producer_options": {"message.max.bytes": kafka.max_message_bytes + DEAD_LETTER_ROOM},
        "create_topics": True,
    }
    return BatchSettings(**{**values, **overrides})
