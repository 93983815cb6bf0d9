"""A list that needs a webhook, what is registered for it, and when it is polled while there can be none (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef
from schemas.control import ImportJob, WebhookRegistration

POLLED = ("active", "unsubscribed", "bounced", "deleted")
"""Listings whose people have had an event: who is unconfirmed has none."""


@dataclass(frozen=True, slots=True)
class WantedHook:
    """A list that needs a webhook, and the jobs that want it."""

    ref: ListRef
    client: ClientDetails
    jobs: tuple[ImportJob, ...]

    @property
    def begun(self) -> datetime:
        """Since when a job is there that wants its events."""
        return min(job.created_at for job in self.jobs)

    def registration(self, known: WebhookRegistration | None, base_url: str, now: datetime) -> WebhookRegistration:
        """Return what is stored for it, with what is known of it; `base_url`: the public address for a new one."""
        return WebhookRegistration(
            list_id=self.ref.list_id,
            list_name=self.ref.name,
            client_id=self.client.client_id,
            client_name=self.client.company_name,
            time_zone=self.client.time_zone,
            job_ids=[job.id for job in self.jobs],
            authorization_id=self.jobs[0].authorization_id,
            webhook_id=known.webhook_id if known else None,
            # The one before stays until its webhook was deleted.
            base_url=(known.base_url if known else "") or base_url,
            seen_active_at=known.seen_active_at if known else None,
            updated_at=now,
        )


def poll_since(hook: WantedHook, known: WebhookRegistration | None, now: datetime) -> datetime | None:
    """Return since when a list without a webhook is to be polled now, None while its next poll is not due."""
    since = (known.seen_active_at if known else None) or hook.begun
    interval = timedelta(seconds=min(job.interval_seconds for job in hook.jobs))
    return since if now - since >= interval else None


def polled_states(exported: bool) -> list[str]:
    """Return the listings to poll. Of a list that we write to, not who is active: most of them are our own writes."""
    return [state for state in POLLED if not (exported and state == "active")]


def polls(jobs: Iterable[ImportJob]) -> list[ImportJob]:
    """Return the jobs for which lists are polled: those that are kept updated."""
    return [job for job in jobs if job.keep_updated]
