"""What became of changes, and who changed what: receipts and the audit, the newest first."""

from functools import partial
from typing import Literal

from pydantic import Field

from connectors.control.audit import newest_changes
from schemas.audience_delivery import DeliveryReceipt, Outcome, Refusal
from schemas.control import AuditRecord
from schemas.envelope import Instant
from schemas.identity import key_of, normalise_email
from streams.console.api.operation import ApiAnswer, Call, Operation, PartQuery
from streams.console.api.paging import cursor_of, read_place
from streams.console.api.problems import ApiRefusal
from streams.control.person_views import READ_SECONDS
from streams.control.receipts import PlacedWindow, meant, newest_of_person, newest_placed

KEEP_SECONDS = 3.0
"""How old receipts of a job may be: reading them is work, and pages follow each other."""


class ReceiptsQuery(PartQuery):
    """Which receipts."""

    email: str = Field(default="", max_length=320, description="Only this person's; the newest 10,000 of them.")
    job: str = Field(default="", max_length=100, description="Only this job's.")
    outcome: Outcome | Literal[""] = Field(default="", description="Only those with this outcome.")
    reason: Refusal | Literal[""] = Field(default="", description="Only those that were refused for this.")


class ReceiptsAnswer(ApiAnswer):
    """Receipts, the newest first."""

    items: list[DeliveryReceipt]
    next: str = Field(description="Cursor of the next page; empty on the last one.")
    since: Instant | None = Field(
        description="From then on all are here: without `email` the newest 10,000 of all jobs are looked through. "
        "Null: the topic holds no more."
    )


class AuditQuery(PartQuery):
    """Which changes."""

    kind: str = Field(
        default="", max_length=100, description="Only changes of this kind: job, authorization, user, ..."
    )
    id: str = Field(default="", max_length=250, description="Only changes of this one.")
    who: str = Field(default="", max_length=200, description="Only changes by this person or token.")


class AuditAnswer(ApiAnswer):
    """Changes, the newest first."""

    items: list[AuditRecord]
    next: str = Field(description="Cursor of the next page; empty on the last one.")


async def list_receipts(call: Call) -> ReceiptsAnswer:
    """List receipts, the newest first: what became of each change, for each job."""
    query = call.asked(ReceiptsQuery)
    before = read_place(query.cursor)
    window = await _window(call, query)
    found = meant(window.receipts, query.job, query.outcome, query.reason, before)
    page = found[: query.limit]
    return ReceiptsAnswer(
        items=[placed.receipt for placed in page],
        next=cursor_of(page[-1].place) if len(found) > len(page) else "",
        since=window.since,
    )


async def _window(call: Call, query: ReceiptsQuery) -> PlacedWindow:
    kafka, reads = call.console.kafka, call.console.reads
    if query.email:
        address = normalise_email(query.email)
        if address is None:
            raise ApiRefusal(400, "`email` is no e-mail address.")
        return await reads.of(lambda: newest_of_person(kafka, key_of(address), READ_SECONDS))
    read = partial(reads.of, lambda: newest_placed(kafka, query.job or None))
    return await call.console.recent.get(("placed receipts", query.job), read, KEEP_SECONDS)


async def list_changes(call: Call) -> AuditAnswer:
    """List the changes that people made, the newest first: who, when, what, before and after without secrets."""
    query, kafka = call.asked(AuditQuery), call.console.kafka
    before = read_place(query.cursor)
    found = await call.console.reads.of(
        lambda: newest_changes(
            kafka,
            query.limit + 1,
            kind=query.kind or None,
            changed=query.id or None,
            who=query.who or None,
            before=before,
        )
    )
    page = found[: query.limit]
    return AuditAnswer(
        items=[change.record for change in page],
        next=cursor_of(page[-1].place) if len(found) > len(page) else "",
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/receipts",
        needs="viewer",
        handle=list_receipts,
        query=ReceiptsQuery,
        answer=ReceiptsAnswer,
    ),
    Operation(method="GET", path="/audit", needs="admin", handle=list_changes, query=AuditQuery, answer=AuditAnswer),
)
