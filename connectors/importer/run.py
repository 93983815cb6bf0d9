"""The import connector as a process: `cm-streams connector`."""

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable

import structlog

from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations
from connectors.control.jobs import Jobs
from connectors.control.seal import Sealer
from connectors.control.settings import ControlSettings
from connectors.health import HealthServer
from connectors.importer.accounts import Accounts
from connectors.importer.connector import Connector
from connectors.importer.outcome import Progress
from connectors.importer.settings import ImporterSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization

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
    on_progress: Callable[[Progress | None], None] | None = None,
    on_health_port: Callable[[int], None] | None = None,
) -> None:
    """Import until `stop` is set; without one, until SIGTERM or SIGINT.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: nobody answers.
    """
    ended = stop or stopped_by_signal()
    await asyncio.to_thread(ensure_topics, kafka)
    gc.set_threshold(*GC_THRESHOLDS)
    sealer = Sealer.from_settings(control) if control.encryption_key.get_secret_value() else None
    enough = max(campaign_monitor.requests_in_flight, settings.pages_in_flight)
    campaign_monitor = campaign_monitor.model_copy(
        update={"requests_in_flight": enough, "requests_in_flight_per_list": enough}
    )
    async with contextlib.AsyncExitStack() as stack:
        producer = await stack.enter_async_context(AsyncProducer(kafka, "importer-control"))
        opened: list[Accounts] = []

        def changed(name: str, authorization: Authorization | None) -> None:
            for accounts in opened:
                accounts.changed(name, authorization)

        authorizations = await stack.enter_async_context(Authorizations(kafka, producer, sealer, on_change=changed))
        jobs = await stack.enter_async_context(Jobs(kafka, producer))
        accounts = await stack.enter_async_context(Accounts(campaign_monitor, authorizations))
        opened.append(accounts)
        connector = Connector(
            kafka,
            settings,
            jobs=lambda: jobs.imports().values(),
            open_api=accounts.api,
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


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped
