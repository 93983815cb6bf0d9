"""Keeps one working webhook per list: created, tried out, switched on again, removed with the job.

One receiver does so, the owner of the only partition of `cm_webhooks` in the group; the others just receive.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter, Gauge

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Webhook
from connectors.campaign_monitor.dates import ClientDates, UnknownZone
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.control.accounts import OpenApi
from connectors.control.jobs import request_missed_changes
from connectors.control.table import ControlTable
from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.body import path_of
from connectors.webhook.registration.hooks import (
    ActivateHook,
    CreateHook,
    DeleteHook,
    HookStep,
    RequestMissedChanges,
    hook_steps,
    is_ours,
    wanted_lists,
)
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import HookedList
from schemas.control import ImportJob, WebhookRegistration
from schemas.envelope import rfc3339
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)

HOOKS = Gauge("webhook_hooks", "Lists by the state of their webhook.", ["state"])
GAPS = Counter("webhook_gaps_total", "Gaps of a webhook that were found and are polled.")


@dataclass(frozen=True, slots=True)
class WantedHook:
    """A list that needs a webhook, and the jobs that want it."""

    ref: ListRef
    client: ClientDetails
    jobs: tuple[ImportJob, ...]


class HookManager:
    """Compares what is wanted with what Campaign Monitor holds, and repairs it."""

    def __init__(
        self,
        settings: WebhookSettings,
        producer: AsyncProducer,
        names: TopicNames,
        *,
        jobs: Callable[[], Iterable[ImportJob]],
        registrations: ControlTable[WebhookRegistration],
        open_api: OpenApi,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._names = names
        self._jobs = jobs
        self._registrations = registrations
        self._open_api = open_api

    async def check(self) -> None:
        """Check every list once. A failure for one list is stored with its registration; the others go on."""
        wanted, complete = await self._wanted()
        for hook in wanted.values():
            await self._repair(hook)
        if complete:
            for list_id, known in self._registrations.all().items():
                if list_id not in wanted:
                    await self._remove(known)
        states = [known.state for known in self._registrations.all().values()]
        for state in ("active", "missing", "failed"):
            HOOKS.labels(state).set(states.count(state))

    async def run(self, changed: asyncio.Event, seconds: float) -> None:
        """Check when jobs change, and every so often, until cancelled. A failed check is logged and repeated."""
        while True:
            changed.clear()
            try:
                await self.check()
            except Exception:
                log.exception("webhooks could not be checked")
            try:
                async with asyncio.timeout(seconds):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _wanted(self) -> tuple[dict[str, WantedHook], bool]:
        """Return the lists that need a webhook, by id, and whether the lists of all jobs could be read."""
        wanted: dict[str, WantedHook] = {}
        complete = True
        for job in self._jobs():
            if job.state != "running" or not job.keep_updated:
                continue
            try:
                api = await self._open_api(job.authorization_id)
                client = await api.clients.details(job.client_id)
                refs = {ref.list_id: ref for ref in await api.clients.lists(job.client_id)}
            except (CampaignMonitorError, LookupError) as error:
                complete = False
                log.warning("lists not read, webhooks not changed", job=job.id, reason=str(error))
                continue
            for list_id in wanted_lists(job, refs):
                others = wanted[list_id].jobs if list_id in wanted else ()
                wanted[list_id] = WantedHook(refs[list_id], client, (*others, job))
        return wanted, complete

    async def _repair(self, hook: WantedHook) -> None:
        list_id = hook.ref.list_id
        known = self._registrations.get(list_id)
        now = datetime.now(UTC)
        url = self._settings.public_url.rstrip("/") + path_of(self._settings.secret, list_id)
        registration = WebhookRegistration(
            list_id=list_id,
            list_name=hook.ref.name,
            client_id=hook.client.client_id,
            client_name=hook.client.company_name,
            time_zone=hook.client.time_zone,
            job_ids=[job.id for job in hook.jobs],
            authorization_id=hook.jobs[0].authorization_id,
            webhook_id=known.webhook_id if known else None,
            base_url=self._settings.public_url,
            seen_active_at=known.seen_active_at if known else None,
            updated_at=now,
        )
        if known is None:
            # Receivers must know the list before its first event comes.
            await self._registrations.write(list_id, registration)
        try:
            api = await self._open_api(registration.authorization_id)
            found = await api.webhooks.all(list_id)
            todo = hook_steps(url, found, known, now)
            for step in todo:
                registration = await self._apply(api, step, registration, url)
            if registration.webhook_id is None or not todo:
                registration = registration.model_copy(
                    update={"webhook_id": _id_at(url, found) or registration.webhook_id}
                )
            registration = registration.model_copy(update={"state": "active", "problem": None, "seen_active_at": now})
        except (CampaignMonitorError, LookupError) as error:
            problem = f"the webhook of list {hook.ref.name or list_id} does not work: {error}"
            registration = registration.model_copy(update={"state": "failed", "problem": problem})
            log.warning("webhook does not work", list_id=list_id, reason=str(error))
        await self._registrations.write(list_id, registration)

    async def _apply(
        self, api: CampaignMonitor, step: HookStep, registration: WebhookRegistration, url: str
    ) -> WebhookRegistration:
        list_id = registration.list_id
        match step:
            case CreateHook():
                webhook_id = await api.webhooks.create(list_id, url)
                log.info("webhook registered", list_id=list_id, webhook_id=webhook_id)
                try:
                    await self._try_out(api, list_id)
                except CampaignMonitorError:
                    # What cannot be reached is deleted, so that the next check creates it, and tries it, again.
                    await api.webhooks.delete(list_id, webhook_id)
                    raise
                return registration.model_copy(update={"webhook_id": webhook_id})
            case ActivateHook(webhook_id):
                await api.webhooks.activate(list_id, webhook_id)
                log.warning("webhook switched on again", list_id=list_id, webhook_id=webhook_id)
                return registration.model_copy(update={"webhook_id": webhook_id})
            case DeleteHook(webhook_id):
                await api.webhooks.delete(list_id, webhook_id)
                log.info("webhook removed", list_id=list_id, webhook_id=webhook_id)
            case RequestMissedChanges(since):
                await self._request_missed_changes(registration, since)
        return registration

    async def _try_out(self, api: CampaignMonitor, list_id: str) -> None:
        """Have sample events sent, to an address of their own: at the real one they would count as events of people."""
        path = path_of(self._settings.secret, list_id, sample=True)
        trial = await api.webhooks.create(list_id, self._settings.public_url.rstrip("/") + path)
        try:
            await api.webhooks.test(list_id, trial)
        finally:
            await api.webhooks.delete(list_id, trial)

    async def _request_missed_changes(self, hook: WebhookRegistration, since: datetime) -> None:
        """Ask the importer for what changed meanwhile; event ids remove what was posted after all."""
        GAPS.inc()
        await request_missed_changes(self._producer, self._names, hook, since)
        log.warning("missed changes requested", list_id=hook.list_id, since=rfc3339(since))

    async def _remove(self, known: WebhookRegistration) -> None:
        try:
            api = await self._open_api(known.authorization_id)
            url = (known.base_url or self._settings.public_url).rstrip("/")
            url += path_of(self._settings.secret, known.list_id)
            for hook in await api.webhooks.all(known.list_id):
                if is_ours(hook.url, url):
                    await api.webhooks.delete(known.list_id, hook.webhook_id)
        except (CampaignMonitorError, LookupError) as error:
            # The list or the access was removed: nothing can be removed there any more, and its posts are refused here.
            log.warning("webhook not removed", list_id=known.list_id, reason=str(error))
        await self._registrations.remove(known.list_id)


def _id_at(url: str, found: Iterable[Webhook]) -> str | None:
    return next((hook.webhook_id for hook in found if hook.url == url), None)


class Registrations(ControlTable[WebhookRegistration]):
    """The registered webhooks by list id: every receiver holds all, one of them writes them."""

    noun = "webhook registration"

    def __init__(self, settings: KafkaSettings, producer: AsyncProducer, zone_overrides: dict[str, str]) -> None:
        super().__init__(
            settings, settings.names()["cm_webhooks"], read=WebhookRegistration.from_bytes, producer=producer
        )
        self._overrides = zone_overrides
        self._dates: dict[str, ClientDates] = {}

    def hooked_list(self, list_id: str) -> HookedList | None:
        """Return what events of this list need beside their own content, None when no job imports the list."""
        known = self.get(list_id)
        if known is None:
            return None
        return HookedList(
            list_id=list_id,
            list_name=known.list_name,
            client_id=known.client_id,
            client_name=known.client_name,
            job_id=known.job_ids[0] if known.job_ids else "",
            dates=self._dates_of(known.time_zone),
        )

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

    async def commit_unread(record: ConsumedRecord) -> None:
        """Commit, so that the group shows no lag. `Registrations` reads the topic; here only ownership counts."""
        await consumer.commit(record.position)

    names = kafka.names()
    consumer = GroupConsumer(
        kafka, names.prefix + settings.group, names["cm_webhooks"], on_assigned=assigned, on_revoked=revoked
    )
    try:
        await consumer.run(commit_unread)
    finally:
        await revoked(frozenset())
