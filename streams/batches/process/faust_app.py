"""Faust's app with our transport, and with recovery replaced: ours runs when partitions are assigned."""

from __future__ import annotations

from typing import Any

import faust
import structlog
from faust.tables.manager import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery
from yarl import URL

from connectors.kafka.client_config import aiokafka_config
from streams.batches.consume.transport import BatchTransport
from streams.batches.core.errors import ExitCode, Revoked
from streams.batches.core.halt import halt
from streams.batches.core.settings import BatchSettings
from streams.batches.process.runtime import BatchRuntime

log = structlog.get_logger(__name__)


class BatchRecovery(Recovery):  # type: ignore[misc]  # faust is not typed
    """Called by Faust when partitions are assigned; the runtime restores them."""

    async def _resume_streams(self, generation_id: int = 0) -> None:
        runtime: BatchRuntime = self.app.batch_runtime
        try:
            await runtime.take_over(self.app.consumer.assignment(), generation_id)
        except Revoked as error:
            log.info("not resuming", reason=str(error))
            raise RebalanceAgain from error
        await super()._resume_streams(generation_id)


class BatchTableManager(TableManager):  # type: ignore[misc]  # faust is not typed
    """Uses our recovery service."""

    async def on_start(self) -> None:
        """Faust sleeps for a second here, for tables that are declared late; ours are declared before start."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        """The service that restores on assignment."""
        found: Recovery | None = self.__dict__.get("_recovery")
        if found is None:
            found = self._recovery = BatchRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return found


class FaustApp(faust.App):  # type: ignore[misc]  # faust is not typed
    """A Faust app for batched topics; made by BatchApp."""

    batch_runtime: BatchRuntime

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def _new_consumer(self) -> Any:
        consumer = super()._new_consumer()
        self.batch_runtime.consumer = consumer
        return consumer

    async def _wait_for_table_recovery_completed(self) -> bool:
        """Start without waiting: a stop must be possible while tables are restored."""
        return False

    def _crash(self, reason: BaseException) -> None:
        """A service of Faust crashed: end the process, which would hold partitions and do nothing."""
        stopping = self._stopped.is_set()
        super()._crash(reason)
        if not stopping:
            halt(ExitCode.FATAL, f"a service of Faust crashed: {reason!r}")


def make_faust_app(settings: BatchSettings, runtime: BatchRuntime) -> FaustApp:
    """The app with every setting that decides about lost or doubled records; the reasons are in docs/faust-traps.md."""
    client = aiokafka_config(settings.kafka, settings.app_id)
    urls = [URL(f"kafka://{server.strip()}") for server in client["bootstrap_servers"].split(",")]
    app = FaustApp(
        settings.app_id,
        broker=urls,
        datadir=str(settings.data_dir / settings.app_id / "faust"),
        processing_guarantee="at_least_once",
        store="memory://",
        TableManager=BatchTableManager,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.partitions,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=settings.commit_interval_seconds,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.heartbeat_interval_seconds,
        broker_rebalance_timeout=settings.rebalance_timeout_seconds,
        broker_request_timeout=max(90.0, settings.session_timeout_seconds + 1),
        broker_max_poll_interval=3600.0,
        producer_acks=-1,
        producer_request_timeout=60.0,
        stream_buffer_maxsize=256,
        stream_wait_empty=True,
        web_enabled=False,
        web_tables_enabled=False,
        worker_redirect_stdouts=False,
        broker_client_id=client["client_id"],
        **({"broker_credentials": credentials} if (credentials := _credentials(client)) else {}),
    )
    app.batch_runtime = runtime
    return app


def _credentials(client: dict[str, Any]) -> Any:
    """What Faust's own producer logs in with, None for plain text; our consumer takes the configuration itself."""
    context = client["ssl_context"]
    if "sasl_oauth_token_provider" in client:
        return faust.OAuthCredentials(oauth_cb=client["sasl_oauth_token_provider"], ssl_context=context)
    if "sasl_mechanism" in client:
        return faust.SASLCredentials(
            username=client["sasl_plain_username"],
            password=client["sasl_plain_password"],
            mechanism=client["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


__all__ = ["FaustApp", "make_faust_app"]
