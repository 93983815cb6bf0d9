"""The webhook receiver as a process: `cm-streams webhooks`. Any number may run behind a balancer."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from connectors.campaign_monitor.dates import ClientDates, UnknownZone
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations
from connectors.control.jobs import Jobs
from connectors.control.seal import Sealer
from connectors.control.settings import ControlSettings
from connectors.health import HealthServer
from connectors.importer.accounts import Accounts
from connectors.importer.run import stopped_by_signal
from connectors.kafka.admin import ensure_topics
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from connectors.webhook import receipts
from connectors.webhook.echo import Writes
from connectors.webhook.hooks import exported_lists
from connectors.webhook.manager import HookManager, keep
from connectors.webhook.server import Receiver
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import Addressee
from schemas.control import Authorization, WebhookRegistration

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 2.0
"""Before something that ended with a failure is begun again."""


class Addressees:
    """The lists that posts may be about, as `cm_webhooks` names them."""

    def __init__(self, zone_overrides: dict[str, str]) -> None:
        self.registrations: dict[str, WebhookRegistration] = {}
        self._overrides = zone_overrides
        self._dates: dict[str, ClientDates] = {}

    def take(self, record: ConsumedRecord) -> None:
        """Take a record of the topic; a tombstone ends the list."""
        list_id = (record.key or b"").decode()
        if record.value is None:
            self.registrations.pop(list_id, None)
        else:
            self.registrations[list_id] = WebhookRegistration.from_bytes(record.value)

    def get(self, list_id: str) -> Addressee | None:
        """Return the list of a path, None when nobody wants it."""
        known = self.registrations.get(list_id)
        if known is None:
            return None
        return Addressee(
            list_id=list_id,
            list_name=known.list_name,
            client_id=known.client_id,
            client_name=known.client_name,
            job_id=known.job_ids[0] if known.job_ids else "",
            dates=self._of(known.time_zone),
        )

    def _of(self, label: str) -> ClientDates:
        if label not in self._dates:
            try:
                self._dates[label] = ClientDates.of(label, self._overrides)
            except UnknownZone as unknown:
                # An event must not wait for a setting: its raw date is kept, and read as UTC.
                log.exception("time zone not known, dates are read as UTC", reason=str(unknown))
                self._dates[label] = ClientDates.of("(GMT) Coordinated Universal Time")
        return self._dates[label]


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
    """Receive until `stop` is set; without one, until SIGTERM or SIGINT. `on_ports`: told the port and health port.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        SealError: an encryption key is set, and is none.
        ReadError, BrokersUnreachableError: nobody answers.
        OSError: the address is taken.
    """
    ended = stop or stopped_by_signal()
    await asyncio.to_thread(ensure_topics, kafka)
    sealer = Sealer.from_settings(control) if control.encryption_key.get_secret_value() else None
    names = kafka.names()
    async with contextlib.AsyncExitStack() as stack:
        producer = await stack.enter_async_context(
            AsyncProducer(kafka, "webhooks", {"message.timeout.ms": int(settings.publish_timeout_seconds * 1000)})
        )
        opened: list[Accounts] = []
        changed = asyncio.Event()

        def authorization_changed(name: str, authorization: Authorization | None) -> None:
            for accounts in opened:
                accounts.changed(name, authorization)

        authorizations = await stack.enter_async_context(
            Authorizations(kafka, producer, sealer, on_change=authorization_changed)
        )
        jobs = await stack.enter_async_context(Jobs(kafka, producer, on_change=lambda *_change: changed.set()))
        accounts = await stack.enter_async_context(Accounts(campaign_monitor, authorizations))
        opened.append(accounts)
        addressees = Addressees(dict(campaign_monitor.zone_overrides))
        await stack.enter_async_context(CompactedTopic(kafka, names["cm_webhooks"], on_change=addressees.take))
        writes = Writes()
        receiver = Receiver(
            settings,
            producer,
            names,
            addressee=addressees.get,
            ready=lambda: True,
            writes=writes.of,
            exported=lambda list_id: list_id in exported_lists(jobs.exports().values()),
        )
        await receiver.start()
        stack.push_async_callback(receiver.stop)
        health = await stack.enter_async_context(HealthServer(lambda: None, host=health_host, port=health_port))
        if on_ports is not None:
            on_ports(receiver.port, health.port)
        manager = HookManager(
            settings,
            producer,
            names,
            jobs=lambda: jobs.imports().values(),
            registrations=lambda: addressees.registrations,
            open_api=accounts.api,
        )
        work = [
            asyncio.create_task(ended.wait(), name="stop"),
            asyncio.create_task(_again(lambda: receipts.follow(kafka, writes)), name="receipts"),
        ]
        if settings.public_url:
            work.append(asyncio.create_task(_again(lambda: _lead(kafka, settings, manager, changed)), name="hooks"))
        else:
            log.warning("WEBHOOK_PUBLIC_URL is not set: no webhooks are registered, lists are polled only")
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("webhook receiver stops")
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)


async def _lead(kafka: KafkaSettings, settings: WebhookSettings, manager: HookManager, changed: asyncio.Event) -> None:
    """Look after the webhooks while the one partition of `cm_webhooks` is ours."""
    keeping: list[asyncio.Task[None]] = []

    async def assigned(partitions: frozenset[int]) -> None:
        if partitions and not keeping:
            keeping.append(asyncio.create_task(keep(manager, changed, settings.check_seconds), name="keep-hooks"))

    async def revoked(_partitions: frozenset[int]) -> None:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        keeping.clear()

    async def pass_over(record: ConsumedRecord) -> None:
        """What the topic says is read elsewhere; here only its ownership counts, and it must show no lag."""
        await consumer.commit(record.position)

    names = kafka.names()
    consumer = GroupConsumer(
        kafka, names.prefix + settings.group, names["cm_webhooks"], on_assigned=assigned, on_revoked=revoked
    )
    try:
        await consumer.run(pass_over)
    finally:
        await revoked(frozenset())


async def _again(begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Begin again what ended with a failure: receiving goes on meanwhile."""
    while True:
        try:
            await begin()
        except Exception as failure:
            log.warning("begins again", reason=f"{type(failure).__name__}: {failure}")
        await asyncio.sleep(AGAIN_SECONDS)
