"""The registered webhooks as every receiver holds them, and the one receiver that repairs them."""

import asyncio

import structlog

from connectors.campaign_monitor.dates import ClientDates, UnknownZone
from connectors.control.table import ControlTable
from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.registration.manager import HOOKS, HookManager
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import HookedList
from schemas.control import WebhookRegistration

log = structlog.get_logger(__name__)


class Registrations(ControlTable[WebhookRegistration]):
    """The registered webhooks by list id: every receiver holds all, one of them writes them."""

    noun = "webhook registration"
    key_field = "list_id"

    def __init__(self, settings: KafkaSettings, producer: AsyncProducer, zone_overrides: dict[str, str]) -> None:
        super().__init__(
            settings, settings.names()["cm_webhooks"], read=WebhookRegistration.from_bytes, producer=producer
        )
        self._overrides = zone_overrides
        self._dates: dict[str, ClientDates] = {}
        self._hooked: dict[str, tuple[WebhookRegistration, HookedList]] = {}

    def hooked_list(self, list_id: str) -> HookedList | None:
        """Return what events of this list need beside their own content, None when no job imports the list."""
        known = self.get(list_id)
        if known is None or known.state == "removed":
            self._hooked.pop(list_id, None)
            return None
        made = self._hooked.get(list_id)
        if made is None or made[0] is not known:
            hooked = HookedList(
                list_id=list_id,
                list_name=known.list_name,
                client_id=known.client_id,
                client_name=known.client_name,
                job_id=known.job_ids[0] if known.job_ids else "",
                dates=self._dates_of(known.time_zone),
            )
            self._hooked[list_id] = made = known, hooked
        return made[1]

    def _dates_of(self, label: str) -> ClientDates:
        if label not in self._dates:
            try:
                self._dates[label] = ClientDates.of(label, self._overrides)
            except UnknownZone as unknown:
                # An event must not wait for a setting: its raw date is kept, and read as UTC.
                log.exception("time zone unknown, dates are read as UTC", reason=str(unknown))
                self._dates[label] = ClientDates.of("(GMT) Coordinated Universal Time")
        return self._dates[label]


async def lead(kafka: KafkaSettings, settings: WebhookSettings, manager: HookManager, changed: asyncio.Event) -> None:
    """Run a manager while the one partition of `cm_webhooks` is assigned to this receiver.

    Ends with the errors of `GroupConsumer.run`; the caller begins it again.
    """
    running: list[asyncio.Task[None]] = []

    async def assigned(partitions: frozenset[int]) -> None:
        if partitions and not running:
            running.append(asyncio.create_task(manager.run(changed, settings.check_seconds), name="webhooks"))

    async def revoked(_partitions: frozenset[int]) -> None:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        running.clear()
        HOOKS.clear()  # what this receiver saw last would be shown for ever beside what the next one sees

    async def commit_unread(record: ConsumedRecord) -> None:
        """Commit, so that the group shows no lag. `Registrations` reads the topic; here only ownership counts."""
        await consumer.commit(record.position)

    names = kafka.names()
    consumer = GroupConsumer(
        kafka,
        settings.consumer_group(kafka.topic_prefix),
        names["cm_webhooks"],
        on_assigned=assigned,
        on_revoked=revoked,
    )
    try:
        await consumer.run(commit_unread)
    finally:
        await revoked(frozenset())
