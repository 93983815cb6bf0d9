"""What a person has to do, shown on the jobs of a list: the reason why it waits, and notes on what goes on without it.

A job has one text. A reason stops people: a credential, the list, the removal guard. Notes do not stop the job:
segments that are refused, values that are dropped, people who wait for another job. They follow the reason, and stay
when it goes.
"""

from collections.abc import Awaitable, Callable, Mapping
from itertools import islice

import structlog

from schemas.control import ExportJob
from streams.export.state import ExportState

log = structlog.get_logger(__name__)

ReportBlocked = Callable[[str, str | None], Awaitable[None]]
"""Called with (job id, what a person has to do) whenever that changes; None: it is done."""

SEGMENTS = "Segments that Campaign Monitor refuses: "
VALUES = "Values that Campaign Monitor drops: "
WAITS = "Some people wait for an authorization of another job: "
KINDS = (WAITS, SEGMENTS, VALUES)
REMOVALS = "Look at the audiences, then confirm the removals"
"""The end of the reason that the removal guard gives: while a job shows it there is something to confirm."""
SHOWN = 5
"""Things that a note names; the others are counted."""


def reason_on(job: ExportJob) -> str | None:
    """Return what a job shows without its notes."""
    text = job.attention or ""
    for kind in KINDS:
        text = text.partition(kind)[0]
    return text.rstrip() or None


def note(kind: str, named: Mapping[str, str], remedy: str) -> str | None:
    """Return a note. `named`: what it is about -> why."""
    if not named:
        return None
    shown = [f'"{name}", {why}' if why else f'"{name}"' for name, why in islice(named.items(), SHOWN)]
    more = f"; and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return f"{kind}{'; '.join(shown)}{more}. {remedy}"


class BlockedReports:
    """Publishes on the jobs of a list what a person has to do. A failure is logged, never raised."""

    def __init__(self, state: ExportState, report_blocked: ReportBlocked) -> None:
        self._state = state
        self._report_blocked = report_blocked
        self._reasons: dict[str, str | None] = {}
        """By job: the reason that was published last, which the job itself may not show yet."""
        self._notes: dict[str, dict[str, str | None]] = {}
        """By job: its notes, by kind."""

    async def report(self, list_id: str, why: str | None, authorization: str | None = None) -> None:
        """Show for each running job of the list why people wait; None when that is over.

        `authorization`: only for the jobs that have it.
        """
        listed = self._state.listed(list_id)
        for view in listed.running if listed is not None else ():
            if authorization is None or view.job.authorization_id == authorization:
                self._reasons[view.id] = why
                await self._publish(view.id)

    async def note(self, list_id: str, kind: str, notes: Mapping[str, str | None]) -> None:
        """Show a note of this kind on the list's running jobs, by job id; none is removed from those without one."""
        listed = self._state.listed(list_id)
        for view in listed.running if listed is not None else ():
            text, shown = notes.get(view.id), view.job.attention or ""
            self._notes.setdefault(view.id, {})[kind] = text
            if (text not in shown) if text else (kind in shown):
                self._reasons.setdefault(view.id, reason_on(view.job))
                await self._publish(view.id)

    async def _publish(self, job_id: str) -> None:
        notes = self._notes.get(job_id, {})
        texts = [self._reasons.get(job_id), *(notes.get(kind) for kind in KINDS)]
        try:
            await self._report_blocked(job_id, " ".join(text for text in texts if text) or None)
        except Exception as error:
            log.warning("attention not shown on the job", job_id=job_id, error=repr(error))
