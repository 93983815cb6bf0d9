"""Jobs: all of them with their state in words, and one with its options and what can be done about it."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from connectors.control.jobs import ExportOrImportJob
from connectors.kafka.read_to_end import ReadError
from schemas.audience_delivery import DeliveryReceipt, Outcome
from schemas.control import ExportJob
from streams.console.context import Console, Route, Visit
from streams.console.pages.job_forms import label_of
from streams.console.pages.needs import need_of
from streams.console.plots import bars_over_time, latency_over_time
from streams.control.import_runs import span_text
from streams.control.receipts import ReceiptWindow, chosen, counted, newest_receipts, over_time

RECEIPT_SECONDS = 3.0
"""How old receipts may be: reading them is work, and several people may look at a job."""
MAX_SHOWN = 100
SLOTS = 60
PLOTTED = timedelta(hours=1)
NOT_SHOWN = frozenset({"id", "kind", "name", "state", "attention", "full_read"})
"""Fields that have a place of their own on the page, or are no option."""


class JobFilters(NamedTuple):
    """Which jobs are looked for; empty: all."""

    state: str
    """`attention`, `running` or `stopped`."""
    kind: str
    text: str
    """Part of a name, an id or an authorization, in any case."""

    def fits(self, job: ExportOrImportJob) -> bool:
        """Return whether a job is looked for (pure)."""
        text = f"{job.name}\n{job.id}\n{job.authorization_id}".casefold()
        return self.state in ("", kind_of_state(job)) and self.kind in ("", job.kind) and self.text.casefold() in text


async def show_all(visit: Visit) -> web.StreamResponse:
    """Show the jobs that are looked for, and first those that need a person."""
    console = visit.console
    filters = JobFilters(*(visit.asked(name) for name in JobFilters._fields))
    jobs = sorted(console.jobs.all().values(), key=lambda job: (job.attention is None, job.id))
    rows = [(job, state_of(job), console.authorizations.get(job.authorization_id)) for job in jobs if filters.fits(job)]
    return visit.page("jobs.html", rows=rows, total=len(jobs), filters=filters)


async def show_one(visit: Visit) -> web.StreamResponse:
    """Show a job: an export with its receipts, an import with its progress."""
    console = visit.console
    job = console.jobs.known(visit.request.match_info["id"])
    account = console.authorizations.get(job.authorization_id)
    window = None
    if isinstance(job, ExportJob):
        with contextlib.suppress(ReadError, TimeoutError):
            read = partial(receipt_window, console, job.id)
            window = await console.recent.get(("receipts", job.id), read, RECEIPT_SECONDS)
    return visit.page(
        "job.html",
        need=need_of(job, account),
        options=list(options(job)),
        history=console.trail.of("job", job.id),
        query=visit.request.rel_url.raw_query_string,
        **live_values(visit, job, window),
    )


def live_values(visit: Visit, job: ExportOrImportJob, window: ReceiptWindow | None) -> dict[str, Any]:
    """Return what changes on a job's page while it is open; without a window receipts could not be read."""
    console, outcome, reason = visit.console, visit.asked("outcome"), visit.asked("reason")
    now = datetime.fromtimestamp(console.clock(), UTC)
    return {
        "job": job,
        "path": f"/jobs/{quote(job.id, safe='')}",
        "state": state_of(job),
        "account": console.authorizations.get(job.authorization_id),
        "found": None if window is None else shown_receipts(window, outcome, reason, now),
        "chosen": {"outcome": outcome, "reason": reason, "outcomes": [*Outcome]},
        "run": console.imports.of(job.id),
        "runs": console.imports.runs(job.id),
        "span_text": span_text,
        "is_old": False,
    }


class ShownReceipts(NamedTuple):
    """What the page shows of a job's receipts."""

    receipts: int
    since: datetime | None
    shown: list[DeliveryReceipt]
    counts: list[tuple[str, str, int]]
    throughput: Markup
    latency: Markup


async def receipt_window(console: Console, job_id: str) -> ReceiptWindow:
    """Return a job's newest receipts. Raises ReadError, TimeoutError."""
    return await console.reads.of(lambda: newest_receipts(console.kafka, job_id))


def shown_receipts(window: ReceiptWindow, outcome: str, reason: str, now: datetime) -> ShownReceipts:
    """Return what is shown of receipts (pure); of those with an outcome and a reason where they are named."""
    since, until = plotted(window, now)
    slots = over_time(window.receipts, since, until, SLOTS)
    return ShownReceipts(
        len(window.receipts),
        window.since,
        chosen(window.receipts, outcome, reason)[:MAX_SHOWN],
        counted(window.receipts),
        bars_over_time("Receipts a second", slots, until),
        latency_over_time("Latency", slots, until),
    )


def plotted(window: ReceiptWindow, now: datetime) -> tuple[datetime, datetime]:
    """Return the time that plots show: the last hour, or as far back as receipts are whole; if it is empty, what is."""
    first = now - PLOTTED
    if window.receipts and window.receipts[0].at < first:
        return max(window.receipts[-1].at, window.since or window.receipts[-1].at), window.receipts[0].at
    return max(first, window.since or first, *([window.receipts[-1].at] if window.receipts else [])), now


def state_of(job: ExportOrImportJob) -> str:
    """Return a job's state in words."""
    if job.state == "stopped":
        return "stopped" if job.attention is None else "stopped, needs attention"
    return "running" if job.attention is None else "needs attention"


def kind_of_state(job: ExportOrImportJob) -> str:
    """Return what a job is looked for by: `attention`, also where it is stopped, `running` or `stopped`."""
    return "attention" if job.attention else job.state


def options(job: ExportOrImportJob) -> Iterator[tuple[str, str]]:
    """Yield name and value of each option, in words, as the page shows them."""
    for name in type(job).model_fields:
        if name not in NOT_SHOWN:
            yield label_of(name), _shown(job, name, getattr(job, name))


def _shown(job: ExportOrImportJob, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if name == "field_mappings" and isinstance(job, ExportJob):
        rows = [f"{row.user_field} → {row.custom_field} ({row.data_type})" for row in job.field_mappings]
        return ", ".join(rows) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("all" if name in ("audiences", "lists") else "none")
    return "none" if value in (None, "") else str(value)


ROUTES = (
    Route("GET", "/jobs", "viewer", show_all),
    Route("GET", "/jobs/{id}", "viewer", show_one),
)
