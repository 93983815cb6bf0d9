"""The import connector as a process: `cm-streams connector`."""

import asyncio
import contextlib
import gc
from collections.abc import Callable

import structlog

from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.accounts import authorized_apis
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import Jobs
from connectors.importer.connector import ImportConnector
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks.result import ProgressRecord
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from connectors.process import HealthServer, stopped_by_signal

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (50_000, 20, 50)
"""A page is thousands of dicts that live for a moment: at Python's default a fifth of the time went into looking for
cycles among them. Larger: cycles, of which there are few, would stay longer."""


async def run(
    kafka: KafkaSettings,
    campaign_monitor: CampaignMonitorSettings,
    control: ControlSettings,
    settings: ImporterSettings,
    *,
    health_host: str = "127.0.0.1",
    health_port: int = 0,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[ProgressRecord | None], None] | None = None,
    on_health_port: Callable[[int], None] | None = None,
) -> None:
    """Import until `stop` is set; without one, until SIGTERM or SIGINT.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: no broker answers.
    """
    ended = stop or stopped_by_signal()
    await asyncio.to_thread(ensure_topics, kafka)
    gc.set_threshold(*GC_THRESHOLDS)
    async with contextlib.AsyncExitStack() as stack:
        producer = await stack.enter_async_context(AsyncProducer(kafka, "importer-control"))
        apis = await stack.enter_async_context(
            authorized_apis(kafka, producer, control, settings.client_settings(campaign_monitor))
        )
        jobs = await stack.enter_async_context(Jobs(kafka))
        connector = ImportConnector(
            kafka,
            settings,
            jobs=lambda: jobs.imports().values(),
            open_api=apis.api,
            zone_overrides=dict(campaign_monitor.zone_overrides),
            on_progress=on_progress,
        )
        health = await stack.enter_async_context(
            HealthServer(lambda: connector.problem, host=health_host, port=health_port)
        )
        if on_health_port is not None:
            on_health_port(health.port)
        working = asyncio.create_task(connector.run(), name="connector")
        waiting = asyncio.create_task(ended.wait(), name="stop")
        try:
            await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            log.info("connector stops")
            for task in (working, waiting):
                task.cancel()
            await asyncio.gather(working, waiting, return_exceptions=True)
