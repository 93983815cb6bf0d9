"""What is to be done about a list's webhooks at Campaign Monitor: wanted + found -> steps (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.campaign_monitor.client.entities import Webhook
from connectors.campaign_monitor.client.list_endpoints import WEBHOOK_EVENTS
from connectors.control.jobs import attention_of
from connectors.webhook.body import ROOT
from schemas.control import ExportJob, ImportJob, WebhookRegistration

FAILED_FOR = timedelta(days=8)
"""Campaign Monitor switches a webhook off after more than a week of errors: so far back events may be missing."""
AWAY = timedelta(hours=1)
"""Nobody looked for so long: no receiver was there either, and how long posts are repeated is not documented."""

AT_ONCE = timedelta(minutes=1)
"""A webhook that is registered so soon after its job was created is there from the beginning."""


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


def hook_steps(
    url: str, found: Sequence[Webhook], known: WebhookRegistration | None, now: datetime, *, begun: datetime
) -> list[HookStep]:
    """Return what brings a list to exactly one active webhook at `url`, in the order in which nothing is missed.

    `begun`: since when a job wants its events; none was reported before the first webhook.

    Webhooks of others, and ours of another deployment, are left alone: only those are touched that are for this list
    below our public address, or below the one that it was registered with before.
    """
    prefixes = own_prefixes(url.rpartition("/")[0] + "/", known)
    ours = [hook for hook in found if hook.url.startswith(prefixes)]
    right = [hook for hook in ours if hook.url == url and {event.casefold() for event in hook.events} >= _EVENTS]
    right.sort(key=lambda hook: not hook.active)
    seen = known.seen_active_at if known is not None else None
    todo: list[HookStep] = []
    if not right:
        todo.append(CreateHook())
        if seen is not None or now - begun > AT_ONCE:
            todo.append(RequestMissedChanges(seen or begun))
    elif not right[0].active:
        todo.append(ActivateHook(right[0].webhook_id))
        todo.append(RequestMissedChanges(min(seen or now, now - FAILED_FOR)))
    elif seen is not None and now - seen > AWAY:
        todo.append(RequestMissedChanges(seen))
    keep = right[0].webhook_id if right else None
    todo += [DeleteHook(hook.webhook_id) for hook in ours if hook.webhook_id != keep]
    return todo


def list_prefix(base_url: str, list_id: str) -> str:
    """Return what the addresses of a list's webhooks begin with, whatever their token."""
    return f"{base_url.rstrip('/')}{ROOT}/{list_id}/"


def own_prefixes(prefix: str, known: WebhookRegistration | None) -> tuple[str, ...]:
    """Return what addresses of ours for a list begin with: now, and where it was registered before."""
    before = list_prefix(known.base_url, known.list_id) if known is not None and known.base_url else prefix
    return prefix, before


def wants_hooks(job: ImportJob) -> bool:
    """Return whether a job's lists need webhooks: from its start on, also when it is not kept updated."""
    return job.state == "running"


def wanted_lists(job: ImportJob, lists: Iterable[str]) -> list[str]:
    """Return the lists of a job that need a webhook; `lists` are those that its client has."""
    if not wants_hooks(job):
        return []
    return [list_id for list_id in lists if not job.lists or list_id in job.lists]


def hook_attention(job: ImportJob, public_url: str, registrations: Iterable[WebhookRegistration]) -> str | None:
    """Return what a person has to do about a job's webhooks, in a sentence; None when there is nothing."""
    if not wants_hooks(job):
        return None
    if not public_url:
        return (
            f"{ATTENTION}set WEBHOOK_PUBLIC_URL to the address under which Campaign Monitor reaches the receiver; "
            "until then no webhook is registered, and who subscribes or leaves a list after the first run is on "
            f"cm_activity {'once an interval only' if job.keep_updated else 'when it is set'}, with the last change."
        )
    problems = [known.problem for known in registrations if job.id in known.job_ids and known.problem]
    if not problems:
        return None
    others = f" (and {len(problems) - 1} more)" if problems[1:] else ""
    return f"{ATTENTION}{' '.join(problems[0].split())}{others}"


ATTENTION = "Webhooks: "
"""How our line of a job's attention begins."""


def attention_changes(jobs: Iterable[ImportJob], wanted: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the attention to write, by job, where `wanted` differs from the line of ours that it shows."""
    return {
        job.id: wanted[job.id] for job in jobs if job.id in wanted and attention_of(job, (ATTENTION,)) != wanted[job.id]
    }


def exported_lists(jobs: Iterable[ExportJob]) -> set[str]:
    """Return the lists that we write to, whose events may be echoes. Stopped jobs count: their last writes may come."""
    return {job.list_id for job in jobs}


_EVENTS = {event.casefold() for event in WEBHOOK_EVENTS}
