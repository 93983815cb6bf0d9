"""What is to be done about a list's webhooks at Campaign Monitor: wanted + found -> steps (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.campaign_monitor.client.entities import Webhook
from connectors.campaign_monitor.client.list_endpoints import WEBHOOK_EVENTS
from connectors.webhook.body import ROOT
from schemas.control import ExportJob, ImportJob, WebhookRegistration

FAILED_FOR = timedelta(days=8)
"""Campaign Monitor switches a webhook off after more than a week of errors: so far back events may be missing."""
MARGIN = timedelta(minutes=10)
"""A webhook that is missing was there at the last check; events of the moments before may have been on their way."""


@dataclass(frozen=True, slots=True)
class CreateHook:
    """Register a webhook."""


@dataclass(frozen=True, slots=True)
class ActivateHook:
    """Switch a webhook on again."""

    webhook_id: str


@dataclass(frozen=True, slots=True)
class DeleteHook:
    """Remove a webhook of ours that is of no use any more."""

    webhook_id: str


@dataclass(frozen=True, slots=True)
class RequestMissedChanges:
    """Events may be missing since then: ask for the changes of state."""

    since: datetime


HookStep = CreateHook | ActivateHook | DeleteHook | RequestMissedChanges


def hook_steps(url: str, found: Sequence[Webhook], known: WebhookRegistration | None, now: datetime) -> list[HookStep]:
    """Return what brings a list to exactly one active webhook at `url`, in the order in which nothing is missed.

    Webhooks of others, and ours of another deployment, are left alone: only those below our own address are touched.
    """
    ours = [hook for hook in found if is_ours(hook.url, url)]
    right = [hook for hook in ours if hook.url == url and {event.casefold() for event in hook.events} >= _EVENTS]
    right.sort(key=lambda hook: not hook.active)
    todo: list[HookStep] = []
    if not right:
        todo.append(CreateHook())
        if known is not None and known.seen_active_at is not None:
            todo.append(RequestMissedChanges(known.seen_active_at - MARGIN))
    elif not right[0].active:
        todo.append(ActivateHook(right[0].webhook_id))
        seen = known.seen_active_at if known is not None else None
        todo.append(RequestMissedChanges((seen or now) - FAILED_FOR))
    keep = right[0].webhook_id if right else None
    todo += [DeleteHook(hook.webhook_id) for hook in ours if hook.webhook_id != keep]
    return todo


def is_ours(url: str, wanted: str) -> bool:
    """Return whether a webhook's address is one of this deployment for the same list, whatever its token."""
    base, root, rest = wanted.partition(ROOT + "/")
    return bool(root) and url.startswith(f"{base}{ROOT}/{rest.partition('/')[0]}/")


def wanted_lists(job: ImportJob, lists: Iterable[str]) -> list[str]:
    """Return the lists of a job that need a webhook; `lists` are those that its client has."""
    if job.state != "running" or not job.keep_updated:
        return []
    return [list_id for list_id in lists if not job.lists or list_id in job.lists]


def exported_lists(jobs: Iterable[ExportJob]) -> set[str]:
    """Return the lists that we write to, whose events may be echoes. Stopped jobs count: their last writes may come."""
    return {job.list_id for job in jobs}


_EVENTS = {event.casefold() for event in WEBHOOK_EVENTS}
