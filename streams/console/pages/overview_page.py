"""Overview: how records flow, the state of each job, what needs attention, and what repairs it."""

from collections import Counter
from typing import Any, NamedTuple

from aiohttp import web

from streams.console.context import Console, Route, Visit
from streams.console.live.events import LivePart
from streams.console.live.plots import age_text, rate_text
from streams.console.pages.job_pages import kind_of_state, state_of
from streams.console.pages.needs import account_needs, first_needs, job_needs, letter_needs, place_needs
from streams.control.flows import rates, reading_faults
from streams.export.rules.waiting import Undelivered

LATE_SECONDS = 60.0
"""A record that waits longer is shown as late; workers read within a second of a record."""


class Box(NamedTuple):
    """A box of the picture: what it is, and up to two lines about it."""

    name: str
    lines: list[str]
    late: bool = False
    style: str = "system"
    """A class of the stylesheet: a `topic`, a `worker`, or another `system`."""


async def show(visit: Visit) -> web.StreamResponse:
    """Show the flows, what needs attention, and all jobs."""
    console = visit.console
    console.collector.look()
    jobs = sorted(console.jobs.all().values(), key=lambda job: (job.attention is None, job.id))
    faults = reading_faults(console.collector.reading.lags) if console.collector.reading else []
    needs = [
        *account_needs(console.authorizations.all().values(), jobs),
        *first_needs([*job_needs(jobs, console.authorizations.all())]),
        *place_needs(faults),
        *letter_needs(console.collector.letters or ()),
    ]
    shown = [(job, state_of(job)) for job in jobs]
    counts = Counter(kind_of_state(job) for job in jobs)
    return visit.page("overview.html", needs=needs, jobs=shown, counts=counts, **live_values(console))


def live_values(console: Console) -> dict[str, Any]:
    """Return what the picture shows."""
    collector, names = console.collector, console.kafka.names()
    now, before = collector.reading, collector.before
    known = rates(before, now) if now and before else {}
    counts = collector.letters
    letters = None if counts is None else sum(group.letters for group in counts)

    def topic(*roles: str) -> Box:
        rate = sum(known[role] for role in roles) if known else None
        return Box(" + ".join(roles), [rate_text(rate)], style="topic")

    def worker(name: str, *roles: str) -> Box:
        if now is None:
            return Box(name, ["not known yet"], style="worker")
        topics = [names[role] for role in roles]
        behind, since = now.lag(*topics), now.oldest(*topics)
        waits = "reads as it comes" if not behind else f"oldest waits {age_text(since and now.at - since)}"
        late = since is not None and now.at - since > LATE_SECONDS
        return Box(name, [f"{behind:,} behind", waits], late, "worker")

    def lists() -> Box:
        waiting = now.undelivered if now else Undelivered()
        lines = [f"receipts {rate_text(known.get('audience-delivery'))}"]
        if now and waiting.since is None:
            lines.append("delivered as it is read")
        elif now and waiting.since is not None:
            lines.append(f"{waiting.people:,} wait, oldest {age_text(now.at - waiting.since)}")
        return Box(
            "Campaign Monitor lists", lines, bool(now and waiting.since and now.at - waiting.since > LATE_SECONDS)
        )

    flows = [
        [
            Box("upstream systems", ["change audiences"]),
            topic("audience-membership"),
            worker("export worker", "audience-membership"),
            lists(),
        ],
        [
            Box("Campaign Monitor", ["lists, reports, webhooks"]),
            topic("cm_user", "cm_activity"),
            worker("profile worker", "cm_user", "cm_activity"),
            topic("cm_profile"),
        ],
    ]
    return {"flows": flows, "letters": letters, "is_old": console.is_old, "is_known": now is not None}


LIVE = LivePart("overview_live.html", live_values)
ROUTES = (
    Route("GET", "/overview", "viewer", show),
    Route("GET", "/overview/live", "viewer", LIVE.send),
)
