"""Which entry into an audience, and which consent, may make somebody active again who left the list. Pure.

The worker compares it with what Campaign Monitor states about the person (`sending/consent.py`); here is what the row
knows. A field, a job or a name that changes is no entry, nor is a snapshot of who was inside before.
"""

from collections.abc import Iterable

from schemas.control import ExportJob
from schemas.envelope import EpochMillis
from streams.export.rules.row import NEVER, Held, MembershipRow
from streams.export.rules.values import time_of

MINUTE_MS = 60_000
SECOND_MS = 1_000


def newest_entry(row: MembershipRow, audiences: Iterable[str], held: Held | None, list_id: str) -> EpochMillis:
    """Return the time of the newest entry into these audiences that may count; 0: there is none.

    It is later than the last one that was used, and than the person's own act, where a webhook reported that. Nobody
    entered later than the event was appended, whatever its producer's clock showed.
    """
    entries = (row.audiences[audience] for audience in audiences)
    newest = max((min(entry.entered, entry.appended) for entry in entries), default=0)
    used = 0 if held is None else held.used_entry
    return newest if newest > used and newest >= end_of(row.own_acts.get(list_id, NEVER)) else 0


def consented_at(row: MembershipRow, jobs: Iterable[ExportJob]) -> EpochMillis | None:
    """Return the earliest consent that the jobs' rules name; None: no job has a rule, or one finds no consent."""
    times: list[EpochMillis] = []
    for job in jobs:
        if job.consent_rule is not None:
            consent = time_of(row.fields.get(job.consent_rule.user_field, (None, 0))[0])
            if consent is None:
                return None
            times.append(int(consent.timestamp() * 1000))
    return min(times, default=None)


def end_of(date: EpochMillis) -> EpochMillis:
    """Return the first instant that is surely later than a date of Campaign Monitor: most have whole minutes."""
    return date + (MINUTE_MS if date % MINUTE_MS == 0 else SECOND_MS)
