"""The progress of a run by list, campaign and journey, and the size of an import before it starts (pure).

The size is an estimate of rows, pages, calls and time.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.caller import pages
from connectors.campaign_monitor.client.entities import JsonObject
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.tasks import sources
from connectors.importer.tasks.expand import SUMMARY_OF
from connectors.importer.tasks.plan import belongs_to
from connectors.importer.tasks.sources import undivided
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, RunProgress


@dataclass(frozen=True, slots=True)
class OverviewLine:
    """One list, campaign or journey of a run. Rows are those published; `expected` is known once a page was read."""

    group: str
    chains: int
    done: int
    failed: int
    waiting: int
    pages: int
    rows: int
    expected: int
    repeats: int
    problem: str | None
    """Of a chain that waits or failed, in a sentence."""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to read."""
        return self.done + self.failed == self.chains


@dataclass(frozen=True, slots=True)
class Overview:
    """A run, and its lines in the order of their names; what is still open comes first."""

    run: RunProgress
    lines: tuple[OverviewLine, ...]
    rows: int
    """Rows that the run has published so far."""
    expected: int
    """Rows that it will have published, as far as is known by now."""
    problems: int
    """Chains that could not be read; while the run is open, those so far, and those that wait with a problem."""

    def left(self, rows_per_second: float) -> timedelta | None:
        """Return the time left at this rate, None when nothing is read."""
        if rows_per_second <= 0:
            return None
        return timedelta(seconds=ceil(max(0, self.expected - self.rows) / rows_per_second))


def overview(run: RunProgress, chains: Iterable[ChainProgress]) -> Overview:
    """Return how far a run is; chains of earlier runs are left out."""
    groups: dict[str, list[ChainProgress]] = {}
    current = [chain for chain in chains if belongs_to(chain, run)]
    for chain in current:
        groups.setdefault(chain.group or chain.chain, []).append(chain)
    lines = sorted(
        (_line(group, members) for group, members in groups.items()), key=lambda line: (line.ended, line.group)
    )
    if run.state != "open":
        return Overview(run, tuple(lines), run.rows, run.rows, run.problems)
    own = [chain for chain in current if chain.run == run.run]
    # A catch-up reads listings a second time; what the run had published before is kept with the run.
    since = run.swept_at
    counted = [chain.tally.rows for chain in own if since is None or chain.started_at >= since]
    rows = run.rows + sum(counted)
    expected = sum(max(line.expected, line.rows) for line in lines)
    problems = sum(chain.state == "failed" or (chain.state == "parked" and bool(chain.problem)) for chain in current)
    return Overview(run, tuple(lines), rows, max(rows, expected), problems)


def _line(group: str, chains: list[ChainProgress]) -> OverviewLine:
    # Parts of a long read name the whole of it as their total, so it counts once.
    totals: dict[str, int] = {}
    for chain in chains:
        name = undivided(chain.chain)
        totals[name] = max(totals.get(name, 0), chain.tally.rows_total or 0)
    ended = {undivided(chain.chain): True for chain in chains}
    for chain in chains:
        ended[undivided(chain.chain)] &= chain.state == "done"
    published: dict[str, int] = {}
    for chain in chains:
        published[undivided(chain.chain)] = published.get(undivided(chain.chain), 0) + chain.tally.rows
    expected = sum(published[name] if ended[name] else max(total, published[name]) for name, total in totals.items())
    return OverviewLine(
        group=group,
        chains=len(chains),
        done=sum(chain.state == "done" for chain in chains),
        failed=sum(chain.state == "failed" for chain in chains),
        waiting=sum(chain.state == "parked" for chain in chains),
        pages=sum(chain.tally.pages for chain in chains),
        rows=sum(chain.tally.rows for chain in chains),
        expected=expected,
        repeats=sum(chain.tally.repeats for chain in chains),
        problem=next((chain.problem for chain in chains if chain.problem and chain.state != "done"), None),
    )


def earlier_run(run: RunProgress) -> str:
    """Return what there was before, so that rows which it has published are not missed in the run that is shown."""
    if run.state == "open":
        return f"Run {run.run} is under way."
    return f"Run {run.run} has published {run.rows:,} rows; the next run reads what is new since then."


MAX_REQUESTED = 100
"""Campaigns whose counters are requested; those of older ones are computed from their recipients."""
LIST_COUNTERS = ("TotalActiveSubscribers", "TotalUnsubscribes", "TotalBounces", "TotalDeleted")


@dataclass(slots=True)
class Estimate:
    """A full read. `rows` by what they are; `seconds` with the latency that was measured."""

    rows: dict[str, int] = field(default_factory=dict)
    pages: int = 0
    calls: int = 0
    asked: int = 0
    """Calls that the estimate itself took."""
    call_seconds: float = 0.0
    seconds: float = 0.0
    computed: int = 0
    """Campaigns whose rows are computed, not requested."""

    def add(self, name: str, rows: int, size: int) -> None:
        """Add a listing or report. One of several pages takes a call more, to learn their number."""
        count = max(1, ceil(rows / size))
        self.rows[name] = self.rows.get(name, 0) + rows
        self.pages += count
        self.calls += count + (count > 1)


async def estimate(
    api: CampaignMonitor, job: ImportJob, page_size: int, in_flight: int, zone_overrides: dict[str, str]
) -> Estimate:
    """Ask what there is and return what a full read takes. Raises CampaignMonitorError, UnknownZone."""
    began = time.perf_counter()
    found = Estimate()
    client = await api.clients.details(job.client_id)
    dates = ClientDates.of(client.time_zone, zone_overrides)
    lists = [ref for ref in await api.clients.lists(job.client_id) if not job.lists or ref.list_id in job.lists]
    found.asked += 2
    for ref in lists:
        stats = await api.lists.stats(ref.list_id)
        unconfirmed = await api.lists.subscribers(ref.list_id, "unconfirmed", Paging(page_size=10))
        found.asked += 2
        for counter in LIST_COUNTERS:
            found.add("subscribers", stats.get(counter, 0), page_size)
        found.add("subscribers", unconfirmed.total, page_size)  # which no counter includes
    suppressed = await api.clients.suppression_list(job.client_id, Paging(page_size=10))
    found.asked += 1
    found.add("suppressed", suppressed.total, page_size)
    found.calls += suppressed.total if job.lists else 0  # on which lists each is
    campaigns: list[JsonObject] = []
    if job.activities:
        paging = Paging(direction="desc")
        async for page in pages(lambda paging: api.clients.campaigns(job.client_id, paging), paging):
            campaigns += page.rows
            found.asked += 1
        since = dates.minute_filter(job.since) if job.since else ""
        campaigns = [row for row in campaigns if str(row.get("SentDate") or "") >= since]
    await _campaigns(api, job, campaigns, page_size, found)
    if job.journeys and job.activities:
        await _journeys(api, job, page_size, found)
    # Two more calls for each campaign, and the catch-up that follows a full read.
    found.calls += 2 * len(campaigns) + 5 * len(lists) + 4
    found.call_seconds = (time.perf_counter() - began) / max(1, found.asked)
    found.seconds = found.calls * found.call_seconds / in_flight
    return found


async def _campaigns(
    api: CampaignMonitor, job: ImportJob, campaigns: Sequence[JsonObject], size: int, found: Estimate
) -> None:
    recipients, counted = 0, dict.fromkeys(job.activities, 0)
    for row in campaigns[:MAX_REQUESTED]:
        campaign_id = str(row.get("CampaignID"))
        summary = await api.campaigns.summary(campaign_id)
        found.asked += 1
        recipients += int(summary.get("Recipients") or 0)
        if job.lists:
            audience = await api.campaigns.lists_and_segments(campaign_id)
            found.asked += 1
            if not sources.in_scope(job.lists, sources.audience_names(audience.lists, audience.segments, ())):
                continue
        for activity in job.activities:
            count = int(summary.get(SUMMARY_OF[activity]) or 0)
            counted[activity] += count
            found.add(activity, count, size)
    for row in campaigns[MAX_REQUESTED:]:
        found.computed += 1
        share = int(row.get("TotalRecipients") or 0) / recipients if recipients else 0
        for activity in job.activities:
            found.add(activity, round(counted[activity] * share), size)


async def _journeys(api: CampaignMonitor, job: ImportJob, size: int, found: Estimate) -> None:
    counters = {
        "sent": "Sent",
        "open": "Opened",
        "click": "Clicked",
        "unsubscribe": "Unsubscribed",
        "bounce": "Bounced",
    }
    for ref in await api.clients.journeys(job.client_id):
        if job.lists and ref.list_id not in job.lists:
            continue
        details = await api.journeys.details(ref.journey_id)
        found.asked += 1
        found.calls += 1
        for email in details.emails:
            for activity in job.activities:
                if activity in counters:
                    found.add(activity, email.counts.get(counters[activity], 0), size)
    found.asked += 1
