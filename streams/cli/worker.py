"""`cm-streams worker`: the stream processors. Each pipeline is a consumer group of its own, so that an outage of
Campaign Monitor never holds up profiles."""

import asyncio

import structlog
import typer
from prometheus_client import REGISTRY

from connectors import logs
from connectors.health import HealthServer
from streams.batches import BatchApp
from streams.runtime.metrics import BatchCollector
from streams.runtime.startup import refused_with_a_sentence, wait_for_topics
from streams.settings import StreamsSettings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Run a stream processor.")
log = structlog.get_logger(__name__)


@app.command()
def profiles() -> None:
    """Fold cm_user, cm_activity and added streams into profiles."""
    from connectors.kafka.settings import KafkaSettings
    from streams.batches.process import run_process
    from streams.profile.app import ProfileWorker
    from streams.profile.settings import ProfileSettings

    settings = StreamsSettings()
    logs.configure(settings.log_format, settings.log_level, process="profile-worker")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka)
        worker = ProfileWorker(settings, kafka, ProfileSettings())
    _serve_health(worker.app, settings)
    run_process(worker.app, start=worker.start, stop=worker.stop)


@app.command()
def export() -> None:
    """Keep Campaign Monitor lists in step with audiences."""
    from connectors.campaign_monitor.settings import CampaignMonitorSettings
    from connectors.control.settings import ControlSettings
    from connectors.kafka.settings import KafkaSettings
    from streams.batches.process import run_process
    from streams.export.settings import ExportSettings
    from streams.export.worker import ExportProcess

    settings = StreamsSettings()
    logs.configure(settings.log_format, settings.log_level, process="export-worker")
    kafka = KafkaSettings()
    with refused_with_a_sentence():
        wait_for_topics(kafka)
        process = ExportProcess(settings, kafka, ExportSettings(), CampaignMonitorSettings(), ControlSettings())
    _serve_health(process.worker.app, settings)
    run_process(process.worker.app, start=process.start, stop=process.stop)


def _serve_health(batch_app: BatchApp, settings: StreamsSettings) -> None:
    REGISTRY.register(BatchCollector(batch_app.metrics))

    async def health() -> None:
        async with HealthServer(
            lambda: "; ".join(batch_app.health().reasons) or None,
            host=settings.health_host,
            port=settings.health_port,
        ) as server:
            log.info("health", url=f"http://{settings.health_host}:{server.port}")
            await asyncio.Event().wait()

    batch_app.service(health)
