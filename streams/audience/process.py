"""The export worker as a process: its jobs and authorizations come from the control topics."""

import structlog

from connectors.campaign_monitor.client.transport import Transport
from connectors.campaign_monitor.credentials import Credential
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.accounts import Credentials
from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, SealError
from connectors.control.jobs import Jobs, UnknownJobError
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization
from streams.audience.app import ExportWorker
from streams.delivery.accounts import NoCredentialError
from streams.delivery.settings import ExportSettings
from streams.settings import StreamsSettings

log = structlog.get_logger(__name__)


class ExportProcess:
    """An `ExportWorker` with the control plane beside it."""

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
        self._sealer = Sealer.from_settings(control) if control.encryption_key.get_secret_value() else None
        self._sealed: dict[str, str | None] = {}
        self.worker = ExportWorker(streams, kafka, export, campaign_monitor, self._credential, self._attend)

    async def start(self) -> None:
        """Read the control topics, then join the group."""
        self._producer = AsyncProducer(self._kafka, "export-control")
        self._transport = Transport(self._campaign_monitor)
        self._credentials = Credentials(self._campaign_monitor, self._transport)
        self._authorizations = Authorizations(self._kafka, self._producer, self._sealer, on_change=self._changed)
        self._credentials.read_from(self._authorizations)
        self._jobs = Jobs(self._kafka, self._producer)
        await self._authorizations.start()
        await self._jobs.start()
        await self.worker.app.start()

    async def stop(self) -> None:
        """Leave the group, then close the rest."""
        await self.worker.app.stop()
        await self.worker.close()
        await self._jobs.close()
        await self._authorizations.close()
        await self._transport.close()
        await self._producer.close()

    async def _credential(self, authorization_id: str) -> Credential:
        try:
            return await self._credentials.credential(authorization_id)
        except (LookupError, SealError) as fault:
            raise NoCredentialError(str(fault)) from None

    def _changed(self, authorization_id: str, authorization: Authorization | None) -> None:
        """An authorization was stored: whoever waits for it tries at once. Its state alone is no reason."""
        self._credentials.changed(authorization_id, authorization)
        sealed = authorization.sealed if authorization is not None else None
        if self._sealed.get(authorization_id) != sealed:
            self._sealed[authorization_id] = sealed
            self.worker.delivery.repaired()

    async def _attend(self, job_id: str, attention: str | None) -> None:
        """Show on the job what a person has to do."""
        try:
            await self._jobs.set_attention(job_id, attention)
        except UnknownJobError:
            log.info("job is gone", job_id=job_id)
