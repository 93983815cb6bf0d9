"""Keeps one working webhook per list: made, tried out, switched on again, removed with the job.

One receiver does so, whoever owns the only partition of `cm_webhooks` in the group; the others just receive.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Webhook
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.importer.execute import OpenApi
from connectors.importer.outcome import task_key
from connectors.kafka.producer import AsyncProducer
from connectors.webhook import metrics
from connectors.webhook.hooks import Activate, Create, Delete, Poll, Step, is_ours, steps, wanted_lists
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.verify import path_of
from schemas.control import ImportJob, WebhookRegistration
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list that needs a webhook, and for which jobs."""

    ref: ListRef
    client: ClientDetails
    jobs: tuple[ImportJob, ...]


class HookManager:
    """Compares what is wanted with what Campaign Monitor holds, and mends it."""

    def __init__(
        self,
        settings: WebhookSettings,
        producer: AsyncProducer,
        names: TopicNames,
        *,
        jobs: Callable[[], Iterable[ImportJob]],
        registrations: Callable[[], dict[str, WebhookRegistration]],
        open_api: OpenApi,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = names["cm_webhooks"]
        self._tasks = names["cm_import_tasks"]
        self._jobs = jobs
        self._registrations = registrations
        self._open_api = open_api

    async def look(self) -> None:
        """Look at every list once. What fails for one list is noted there and does not keep others from their turn."""
        wanted, complete = await self._wanted()
        for one in wanted.values():
            await self._mend(one)
        if complete:
            for list_id, known in self._registrations().items():
                if list_id not in wanted:
                    await self._remove(known)
        states = [known.state for known in self._registrations().values()]
        for state in ("active", "missing", "failed"):
            metrics.HOOKS.labels(state).set(states.count(state))

    async def _wanted(self) -> tuple[dict[str, Wanted], bool]:
        """Return the lists that need a webhook, and whether all jobs could be asked for theirs."""
        wanted: dict[str, Wanted] = {}
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
                log.warning("lists not read, webhooks stay as they are", job=job.id, reason=str(error))
                continue
            for list_id in wanted_lists(job, refs):
                others = wanted[list_id].jobs if list_id in wanted else ()
                wanted[list_id] = Wanted(refs[list_id], client, (*others, job))
        return wanted, complete

    async def _mend(self, one: Wanted) -> None:
        list_id = one.ref.list_id
        known = self._registrations().get(list_id)
        now = datetime.now(UTC)
        url = self._settings.public_url.rstrip("/") + path_of(self._settings.secret, list_id)
        made = WebhookRegistration(
            list_id=list_id,
            list_name=one.ref.name,
            client_id=one.client.client_id,
            client_name=one.client.company_name,
            time_zone=one.client.time_zone,
            job_ids=[job.id for job in one.jobs],
            authorization_id=one.jobs[0].authorization_id,
            webhook_id=known.webhook_id if known else None,
            base_url=self._settings.public_url,
            seen_active_at=known.seen_active_at if known else None,
            updated_at=now,
        )
        if known is None:
            # Receivers must know the list before its first event comes.
            await self._write(made)
        try:
            api = await self._open_api(made.authorization_id)
            found = await api.webhooks.all(list_id)
            todo = steps(url, found, known, now)
            for step in todo:
                made = await self._do(api, step, made, url)
            if made.webhook_id is None or not todo:
                made = made.model_copy(update={"webhook_id": _id_at(url, found) or made.webhook_id})
            made = made.model_copy(update={"state": "active", "problem": None, "seen_active_at": now})
        except (CampaignMonitorError, LookupError) as error:
            problem = f"the webhook of list {one.ref.name or list_id} does not work: {error}"
            made = made.model_copy(update={"state": "failed", "problem": problem})
            log.warning("webhook does not work", list_id=list_id, reason=str(error))
        await self._write(made)

    async def _do(self, api: CampaignMonitor, step: Step, made: WebhookRegistration, url: str) -> WebhookRegistration:
        list_id = made.list_id
        match step:
            case Create():
                webhook_id = await api.webhooks.create(list_id, url)
                log.info("webhook registered", list_id=list_id, webhook_id=webhook_id)
                try:
                    await self._try_out(api, list_id)
                except CampaignMonitorError:
                    # What cannot be reached is taken back, so that the next look makes it, and tries it, again.
                    await api.webhooks.delete(list_id, webhook_id)
                    raise
                return made.model_copy(update={"webhook_id": webhook_id})
            case Activate(webhook_id):
                await api.webhooks.activate(list_id, webhook_id)
                log.warning("webhook switched on again", list_id=list_id, webhook_id=webhook_id)
                return made.model_copy(update={"webhook_id": webhook_id})
            case Delete(webhook_id):
                await api.webhooks.delete(list_id, webhook_id)
                log.info("webhook removed", list_id=list_id, webhook_id=webhook_id)
            case Poll(since):
                await self._poll(made, since)
        return made

    async def _try_out(self, api: CampaignMonitor, list_id: str) -> None:
        """Have sample events sent, to an address of their own: at the real one they would count as events of people."""
        path = path_of(self._settings.secret, list_id, sample=True)
        trial = await api.webhooks.create(list_id, self._settings.public_url.rstrip("/") + path)
        try:
            await api.webhooks.test(list_id, trial)
        finally:
            await api.webhooks.delete(list_id, trial)

    async def _poll(self, made: WebhookRegistration, since: datetime) -> None:
        """Ask the importer for what changed meanwhile; ids remove what was told after all."""
        metrics.GAPS.inc()
        task = ImportTask(
            job_id=made.job_ids[0],
            run=0,
            chain=f"gap/{made.list_id}",
            kind="gap",
            list_ids=[made.list_id],
            since=rfc3339(since),
            label="events that a webhook missed",
            group=f"list {made.list_name or made.list_id}",
            started_at=datetime.now(UTC),
        )
        await self._producer.publish(self._tasks, task_key(task), task.to_bytes())
        log.warning("gap of a webhook is polled", list_id=made.list_id, since=rfc3339(since))

    async def _remove(self, known: WebhookRegistration) -> None:
        try:
            api = await self._open_api(known.authorization_id)
            url = (known.base_url or self._settings.public_url).rstrip("/")
            url += path_of(self._settings.secret, known.list_id)
            for hook in await api.webhooks.all(known.list_id):
                if is_ours(hook.url, url):
                    await api.webhooks.delete(known.list_id, hook.webhook_id)
        except (CampaignMonitorError, LookupError) as error:
            # The list, or the access, is gone: nothing can be removed there any more, and its posts are refused here.
            log.warning("webhook not removed", list_id=known.list_id, reason=str(error))
        await self._producer.publish(self._topic, known.list_id.encode(), None)
        log.info("webhook of a list ended", list_id=known.list_id)

    async def _write(self, made: WebhookRegistration) -> None:
        await self._producer.publish(self._topic, made.list_id.encode(), made.to_bytes())


def _id_at(url: str, found: Iterable[Webhook]) -> str | None:
    return next((hook.webhook_id for hook in found if hook.url == url), None)


async def keep(manager: HookManager, changed: asyncio.Event, seconds: float) -> None:
    """Look when jobs change, and every so often."""
    while True:
        changed.clear()
        try:
            await manager.look()
        except Exception:
            log.exception("webhooks could not be looked at")
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            continue
