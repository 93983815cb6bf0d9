"""Keeps one working webhook per list: created, tried out, switched on again, removed with the job.

One receiver does so, the owner of the only partition of `cm_webhooks` in the group; the others just receive.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter, Gauge

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.entities import Webhook
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, NotFound
from connectors.control.accounts import OpenApi
from connectors.control.jobs import has_list
from connectors.control.table import ControlTable
from connectors.webhook.body import path_of
from connectors.webhook.registration.hooks import (
    ActivateHook,
    CreateHook,
    DeleteHook,
    HookStep,
    RequestMissedChanges,
    attention_changes,
    hook_attention,
    hook_steps,
    list_prefix,
    own_prefixes,
    wanted_lists,
    wants_hooks,
)
from connectors.webhook.registration.loops import keep_checked
from connectors.webhook.registration.trial import Trial
from connectors.webhook.registration.wanted import WantedHook, poll_since, polled_states, polls
from connectors.webhook.settings import WebhookSettings
from schemas.control import ImportJob, WebhookRegistration
from schemas.envelope import rfc3339

log = structlog.get_logger(__name__)

HOOKS = Gauge(
    "cm_streams_webhook_hooks",
    "Lists by the state of their webhook, as the receiver that leads sees them. missing or failed for long: events "
    "come late, by polling.",
    ["state"],
)
GAPS = Counter(
    "cm_streams_webhook_gaps_total",
    "Times that a list's webhook had not worked for a while and what was missed was read by polling. Again and again: "
    "the receiver's public address is not reachable.",
)

LISTS_AT_A_TIME = 16
"""Lists of a client that are checked at the same time; how many calls an account takes is up to its limiter."""


class HookManager:
    """Compares what is wanted with what Campaign Monitor holds, and repairs it."""

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        jobs: Callable[[], Iterable[ImportJob]],
        registrations: ControlTable[WebhookRegistration],
        open_api: OpenApi,
        set_attention: Callable[[str, str | None], Awaitable[object]],
        request_run: Callable[[str], Awaitable[object]],
        request_missed_changes: Callable[[WebhookRegistration, datetime, list[str]], Awaitable[object]],
        exported: Callable[[str], bool] = lambda _list_id: False,
    ) -> None:
        self._settings = settings
        self._jobs = jobs
        self._registrations = registrations
        self._open_api = open_api
        self._set_attention = set_attention
        self._request_run = request_run
        self._request_changes = request_missed_changes
        self._exported = exported
        self._missed: set[str] = set()

    def clients(self) -> set[str]:
        """Return the clients that have a job or a registered webhook. A list is one client's, whoever opens it."""
        known = self._registrations.all().values()
        return {job.client_id for job in self._jobs()} | {registration.client_id for registration in known}

    async def check(self) -> bool:
        """Check every list once, and return whether all is as it should be. Raises what `check_client` raises."""
        return all(await asyncio.gather(*map(self.check_client, sorted(self.clients()))))

    async def check_client(self, client_id: str) -> bool:
        """Check the lists of a client once, and return whether all is as it should be.

        A failure for one list is stored with its registration; the others go on. Raises PublishError, TimeoutError.
        """
        jobs = [job for job in self._jobs() if job.client_id == client_id]
        done = True
        if self._settings.public_url:
            wanted, unread = await self._wanted(jobs)
            trial = Trial(self._settings)
            work = [self._repair(hook, trial) for hook in wanted.values()]
            for list_id, known in self._known_of(client_id):
                if list_id not in wanted and unread.isdisjoint(known.job_ids):
                    work.append(self._remove(known, forget=not self._is_named(known)))
            done = all(await self._together(work)) and not unread
            await self._read_reports(jobs)
        else:
            log.warning("WEBHOOK_PUBLIC_URL is not set: no webhooks are registered, lists are polled")
            done = await self._poll(client_id, jobs)
        await self._report(jobs)
        return done

    async def run(self, changed: asyncio.Event, seconds: float) -> None:
        """Check each client when jobs change, and every so often, until cancelled."""
        await keep_checked(self.clients, self.check_client, changed, seconds)

    def _known_of(self, client_id: str) -> list[tuple[str, WebhookRegistration]]:
        known = self._registrations.all().items()
        return [(list_id, registration) for list_id, registration in known if registration.client_id == client_id]

    def _is_named(self, known: WebhookRegistration) -> bool:
        return any(_names(job, known) for job in self._jobs())

    async def _together(self, work: Iterable[Coroutine[Any, Any, bool]]) -> list[bool]:
        """Return what each came to. A failure is raised when the others are done."""
        places = asyncio.Semaphore(LISTS_AT_A_TIME)

        async def in_place(one: Coroutine[Any, Any, bool]) -> bool:
            async with places:
                return await one

        outcomes = await asyncio.gather(*map(in_place, work), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, bool)]

    async def _report(self, jobs: Iterable[ImportJob]) -> None:
        """Show with each job what a person has to do about its webhooks, and how many there are in each state."""
        known = list(self._registrations.all().values())
        states = [registration.state for registration in known]
        for state in ("active", "missing", "failed"):
            HOOKS.labels(state).set(states.count(state))
        wanted = {job.id: hook_attention(job, self._settings.public_url, known) for job in jobs}
        for job_id, attention in attention_changes(self._jobs(), wanted).items():
            with suppress(LookupError):  # the job was removed meanwhile
                await self._set_attention(job_id, attention)

    async def _read_reports(self, jobs: Iterable[ImportJob]) -> None:
        """Ask for a run of each job whose lists have missed changes: reports hold what listings do not.

        A job that is kept updated has its next run soon.
        """
        for job in jobs:
            if job.id in self._missed:
                self._missed.remove(job.id)
                if not job.keep_updated:
                    await self._request_run(job.id)

    async def _wanted(self, jobs: Iterable[ImportJob]) -> tuple[dict[str, WantedHook], set[str]]:
        """Return the lists that need a webhook, by id, and the jobs whose lists could not be read."""
        wanted: dict[str, WantedHook] = {}
        unread: set[str] = set()
        for job in jobs:
            if not wants_hooks(job):
                continue
            try:
                api = await self._open_api(job.authorization_id)
                client = await api.clients.details(job.client_id)
                refs = {ref.list_id: ref for ref in await api.clients.lists(job.client_id)}
            except (CampaignMonitorError, LookupError) as error:
                unread.add(job.id)
                log.warning("lists not read, webhooks not changed", job=job.id, reason=str(error))
                continue
            for list_id in wanted_lists(job, refs):
                others = wanted[list_id].jobs if list_id in wanted else ()
                wanted[list_id] = WantedHook(refs[list_id], client, (*others, job))
        return wanted, unread

    async def _poll(self, client_id: str, jobs: Iterable[ImportJob]) -> bool:
        """Ask for what changed on lists since their last poll, and return whether all lists are known."""
        wanted, unread = await self._wanted(polls(jobs))
        for list_id, hook in wanted.items():
            known, now = self._registrations.get(list_id), datetime.now(UTC)
            since = poll_since(hook, known, now)
            if since is not None:
                registration = hook.registration(known, "", now)
                await self._request_changes(registration, since, polled_states(self._exported(list_id)))
                polled = registration.model_copy(update={"seen_active_at": now})
                await self._registrations.write(list_id, polled)
        for list_id, known in self._known_of(client_id):
            if not known.base_url and not self._is_named(known):
                await self._registrations.remove(list_id)
        return not unread

    async def _repair(self, hook: WantedHook, trial: Trial) -> bool:
        list_id = hook.ref.list_id
        known = self._registrations.get(list_id)
        now = datetime.now(UTC)
        url = self._settings.public_url.rstrip("/") + path_of(self._settings.secret, list_id)
        registration = hook.registration(known, self._settings.public_url, now)
        if known is None or known.state == "removed":
            # Receivers must know the list before its first event comes.
            await self._registrations.write(list_id, registration)
        try:
            api = await self._open_api(registration.authorization_id)
            found = await api.webhooks.all(list_id)
            todo = hook_steps(url, found, known, now, begun=hook.begun)
            for step in todo:
                registration = await self._apply(api, step, registration, url, trial)
            registration = registration.model_copy(
                update={
                    "webhook_id": _id_at(url, found) or registration.webhook_id,
                    "base_url": self._settings.public_url,
                    "state": "active",
                    "seen_active_at": now,
                }
            )
        except (CampaignMonitorError, LookupError) as error:
            problem = f"the webhook of list {hook.ref.name or list_id} does not work: {error}"
            registration = registration.model_copy(update={"state": "failed", "problem": problem})
            log.warning("webhook does not work", list_id=list_id, reason=str(error))
        await self._registrations.write(list_id, registration)
        return registration.state == "active"

    async def _apply(
        self, api: CampaignMonitor, step: HookStep, registration: WebhookRegistration, url: str, trial: Trial
    ) -> WebhookRegistration:
        list_id = registration.list_id
        match step:
            case CreateHook():
                await trial.passed(api, list_id, registration.authorization_id)
                webhook_id = await api.webhooks.create(list_id, url)
                log.info("webhook registered", list_id=list_id, webhook_id=webhook_id)
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

    async def _request_missed_changes(self, hook: WebhookRegistration, since: datetime) -> None:
        """Ask the importer for what changed meanwhile; event ids remove what was posted after all."""
        GAPS.inc()
        self._missed.update(hook.job_ids)
        await self._request_changes(hook, since, [])
        log.warning("missed changes requested", list_id=hook.list_id, since=rfc3339(since))

    async def _remove(self, known: WebhookRegistration, *, forget: bool) -> bool:
        """Remove a list's webhook, and return whether that is done.

        `forget`: no job has the list any more. Else its registration stays as `removed`: it holds since when events
        are missing, should one that is stopped be started.
        """
        if known.state != "removed":
            prefixes = own_prefixes(list_prefix(self._settings.public_url, known.list_id), known)
            try:
                api = await self._open_api(known.authorization_id)
                for hook in await api.webhooks.all(known.list_id):
                    if hook.url.startswith(prefixes):
                        await api.webhooks.delete(known.list_id, hook.webhook_id)
                        log.info("webhook removed", list_id=known.list_id, webhook_id=hook.webhook_id)
            except (CampaignMonitorError, LookupError) as error:
                # The list or the access was removed: nothing can be removed there any more, and posts are refused here.
                log.warning("webhook not removed", list_id=known.list_id, reason=str(error))
                if isinstance(error, CampaignMonitorError) and not isinstance(error.verdict, NotFound | Forbidden):
                    return False
        if forget:
            await self._registrations.remove(known.list_id)
        elif known.state != "removed":
            removed = {"state": "removed", "webhook_id": None, "problem": None, "updated_at": datetime.now(UTC)}
            await self._registrations.write(known.list_id, known.model_copy(update=removed))
        return True


def _names(job: ImportJob, known: WebhookRegistration) -> bool:
    """Return whether a job has a list, or had it when its webhook was registered."""
    return job.id in known.job_ids or has_list(job, known.client_id, known.list_id)


def _id_at(url: str, found: Iterable[Webhook]) -> str | None:
    return next((hook.webhook_id for hook in found if hook.url == url), None)
