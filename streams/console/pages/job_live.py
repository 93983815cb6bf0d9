"""A job's page while it is open: its state, progress and receipts as they come, by server-sent events."""

from functools import partial

from connectors.kafka.read_to_end import ReadError
from schemas.control import ExportJob
from streams.console.context import Route, Visit
from streams.console.live.events import LiveEvents, event_of, rendered
from streams.console.pages.job_pages import live_values, receipt_window
from streams.console.recent import Recent
from streams.control.receipts import ReceiptWindow

PARTS = ("state", "work", "receipts")
"""Of the page, each with its template: what is between them, as a form that somebody fills in, stays as it is."""
KEEP_SECONDS = 60.0
"""Receipts are read again after so long also where the topic's end is not known to have moved."""
ShownJob = tuple[str, str, str]
"""A job, and the outcome and reason of the receipts that are shown."""


class JobEvents(LiveEvents):
    """What open pages of jobs are sent. Receipts are read again when there are new ones of any job."""

    def __init__(self) -> None:
        super().__init__()
        self._windows = Recent()
        self._ends: dict[str, int] = {}
        """By job: the end of the topic before its receipts were read."""
        self._changes = -1
        self._rendered: dict[ShownJob, bytes] = {}
        """After the newest reading."""

    async def event(self, visit: Visit) -> bytes:
        """Return the parts that are known: without receipts where no broker answers. Raises LookupError."""
        job = visit.console.jobs.known(visit.request.match_info["id"])
        shown, changes = (job.id, visit.asked("outcome"), visit.asked("reason")), visit.console.collector.changes
        if self._changes != changes:
            self._changes = changes
            self._rendered.clear()
        if shown in self._rendered:
            return self._rendered[shown]
        window = await self._window(visit, job.id) if isinstance(job, ExportJob) else None
        is_known = window is not None or not isinstance(job, ExportJob)
        values = live_values(visit, job, window) | {"is_old": visit.console.is_old or not is_known}
        parts = PARTS if is_known else PARTS[:1]
        event = b"".join(event_of(rendered(visit, f"job_{part}.html", values), part) for part in parts)
        if self._changes == changes:  # and not another one since
            self._rendered[shown] = event
        return event

    def closed(self) -> None:
        """Keep no receipts that nobody looks at."""
        self._windows.forget()
        self._ends.clear()
        self._rendered.clear()

    async def _window(self, visit: Visit, job_id: str) -> ReceiptWindow | None:
        reading = visit.console.collector.reading
        end = -1 if reading is None else reading.ends["audience-delivery"]
        if self._ends.get(job_id) != end:
            self._ends[job_id] = end
            self._windows.forget((job_id,))
        try:
            return await self._windows.get((job_id,), partial(receipt_window, visit.console, job_id), KEEP_SECONDS)
        except (ReadError, TimeoutError):
            return None


LIVE = JobEvents()
ROUTES = (Route("GET", "/jobs/{id}/live", "viewer", LIVE.send),)
