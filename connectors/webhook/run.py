"""The webhook receiver as a process: `cm-streams webhooks`. Any number may run behind a balancer."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.accounts import authorized_apis
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import Jobs, request_missed_changes, request_run
from connectors.control.metrics import ControlMetrics
from connectors.kafka.admin import ensure_topics
from connectors.kafka.broker_watch import BrokerWatch
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from connectors.process import HealthServer, stopped_by_signal
from connectors.webhook.echo import OwnWrites, follow_receipts
from connectors.webhook.registration.hooks import exported_lists
from connectors.webhook.registration.manager import HookManager
from connectors.webhook.registration.registrations import Registrations, lead
from connectors.webhook.server import Receiver
from connectors.webhook.settings import WebhookSettings

log = structlog.get_logger(__name__)

RESTART_SECONDS = 2.0
"""Before something that ended with a failure is started again."""


async def run(
    kafka: KafkaSettings,
    campaign_monitor: CampaignMonitorSettings,
    control: ControlSettings,
    settings: WebhookSettings,
    *,
    health_host: str = "127.0.0.1",
    health_port: int = 0,
    stop: asyncio.Event | None = None,
    on_ports: Callable[[int, int], None] | None = None,
) -> None:
    """Receive until `stop` is set; without one, until SIGTERM or SIGINT.

    `on_ports` is called with the port and the health port.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: no broker answers.
        CannotListenError: an address is taken.
    """
    ended = stop or stopped_by_signal()
    names = kafka.names()
    async with contextlib.AsyncExitStack() as stack:
        health = await stack.enter_async_context(HealthServer(host=health_host, port=health_port))
        await asyncio.to_thread(ensure_topics, kafka)
        producer = await stack.enter_async_context(
            AsyncProducer(kafka, "webhooks", {"message.timeout.ms": int(settings.publish_timeout_seconds * 1000)})
        )
        changed = asyncio.Event()
        apis = await stack.enter_async_context(
            authorized_apis(kafka, producer, control, campaign_monitor, on_access=changed.set)
        )
        jobs = await stack.enter_async_context(Jobs(kafka, producer, on_change=lambda *_change: changed.set()))
        stack.callback(ControlMetrics(jobs, apis.authorizations).end)
        registrations = await stack.enter_async_context(
            Registrations(kafka, producer, dict(campaign_monitor.zone_overrides))
        )
        writes = OwnWrites()
        receiver = Receiver(
            settings,
            producer,
            names,
            hooked_list=registrations.hooked_list,
            writes=writes.of,
            exported=lambda list_id: list_id in exported_lists(jobs.exports().values()),
            max_record_bytes=kafka.max_message_bytes,
            max_letter_bytes=kafka.max_produced_bytes,
        )
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        brokers = await stack.enter_async_context(BrokerWatch(kafka))
        health.ready = lambda: brokers.problem  # not a refused credential: posts are accepted without one
        if on_ports is not None:
            on_ports(receiver.port, health.port)
        manager = HookManager(
            settings,
            jobs=lambda: jobs.imports().values(),
            registrations=registrations,
            open_api=apis.api,
            set_attention=partial(jobs.set_attention, "webhooks"),
            request_run=lambda job_id: request_run(kafka, producer, job_id),
            request_missed_changes=lambda hook, since, states: request_missed_changes(
                kafka, producer, hook, since, states
            ),
            exported=lambda list_id: list_id in exported_lists(jobs.exports().values()),
        )
        work = [
            asyncio.create_task(ended.wait(), name="stop"),
            asyncio.create_task(_restarted(lambda: follow_receipts(kafka, writes)), name="receipts"),
            asyncio.create_task(_restarted(lambda: lead(kafka, settings, manager, changed)), name="hooks"),
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("webhook receiver stops")
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)


async def _restarted(begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start again what ended with a failure: receiving goes on meanwhile."""
    while True:
        try:
            await begin()
        except Exception as failure:
            log.warning("restarting", reason=f"{type(failure).__name__}: {failure}")
        await asyncio.sleep(RESTART_SECONDS)
