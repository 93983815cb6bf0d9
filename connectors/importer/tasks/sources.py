"""What an import reads: names of chains, and the source of each (pure)."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from connectors.campaign_monitor.client.entities import (
    ClientDetails,
    JourneyEmail,
    JourneyRef,
    JsonObject,
    ListRef,
    SegmentRef,
)
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.readers.reader import text_of
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask, Mark, Published, Report, Source, State

LIST_STATES: tuple[State, ...] = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
REPORT_OF: dict[str, Report] = {
    "sent": "recipients",
    "open": "opens",
    "click": "clicks",
    "unsubscribe": "unsubscribes",
    "bounce": "bounces",
    "spam": "spam",
}
"""A job's activity -> the report that holds it."""

MINUTE = timedelta(minutes=1)
DISCOVER = "discover"
SWEEP = "sweep"
LABELS: dict[str, str] = {"recipients": "sent"}


def users(job: ImportJob, client: ClientDetails, ref: ListRef) -> Iterator[tuple[str, Source]]:
    """Yield (chain, source) of a list's five listings."""
    for state in LIST_STATES:
        source = Source(
            resource="users",
            client_id=client.client_id,
            client_name=client.company_name,
            time_zone=client.time_zone,
            list_id=ref.list_id,
            list_name=ref.name,
            state=state,
        )
        yield f"users/{ref.list_id}/{state}", source


def unreported(of: Source, before: str, since: str | None) -> tuple[str, Source]:
    """Return (chain, source) of a list's unsubscribes from one minute to another that no report holds."""
    stretch = "" if since is None else "/" + since.replace(":", "")
    return f"unreported/{of.list_id}{stretch}", of.model_copy(update={"unreported_before": before, "since": since})


def suppression(job: ImportJob, client: ClientDetails) -> tuple[str, Source]:
    """Return (chain, source) of the client's suppression list."""
    source = Source(
        resource="suppression",
        client_id=client.client_id,
        client_name=client.company_name,
        time_zone=client.time_zone,
        lists=list(job.lists),
    )
    return f"suppression/{client.client_id}", source


def campaign(job: ImportJob, client: ClientDetails, row: JsonObject, dates: ClientDates) -> Source:
    """Return what the reports of a campaign have in common; `report` and the lists' names come later."""
    return Source(
        resource="report",
        client_id=client.client_id,
        client_name=client.company_name,
        time_zone=client.time_zone,
        campaign_id=str(row.get("CampaignID") or ""),
        campaign_name=str(row.get("Name") or row.get("Subject") or ""),
        sent_date=str(row.get("SentDate") or ""),
        lists=list(job.lists),
        since=since_text(job, dates),
    )


def audience_names(
    lists: Iterable[ListRef], segments: Iterable[SegmentRef], known: Iterable[ListRef]
) -> dict[str, str]:
    """Return the names of the lists that a campaign was sent to, by id. Segments name theirs by id only.

    `known`: the client's lists. The name of a list that was deleted is empty.
    """
    all_names = {ref.list_id: ref.name for ref in known}
    names = {segment.list_id: all_names.get(segment.list_id, "") for segment in segments}
    return names | {ref.list_id: ref.name for ref in lists}


def in_scope(lists: Collection[str], sent_to: Collection[str]) -> bool:
    """Return whether a campaign may have gone to lists that a job names; none: all. `sent_to`: empty if not known."""
    return not lists or not sent_to or not set(lists).isdisjoint(sent_to)


def journey(job: ImportJob, client: ClientDetails, ref: JourneyRef, list_name: str, dates: ClientDates) -> Source:
    """Return what the reports of a journey's e-mails have in common."""
    return Source(
        resource="journey_report",
        client_id=client.client_id,
        client_name=client.company_name,
        time_zone=client.time_zone,
        list_id=ref.list_id,
        list_name=list_name or None,
        journey_id=ref.journey_id,
        journey_name=ref.name,
        since=since_text(job, dates),
    )


def campaign_reports(job: ImportJob, of: Source) -> Iterator[tuple[str, Source]]:
    """Yield (chain, source) of each wanted report of a campaign."""
    for activity in job.activities:
        report = REPORT_OF[activity]
        yield f"report/{of.campaign_id}/{report}", of.model_copy(update={"report": report})


def journey_reports(job: ImportJob, of: Source, email: JourneyEmail) -> Iterator[tuple[str, Source]]:
    """Yield (chain, source) of each wanted report of a journey's e-mail; there is none for complaints."""
    for activity in job.activities:
        report = REPORT_OF[activity]
        if report != "spam":
            named = {"report": report, "email_id": email.email_id, "email_name": email.name}
            yield f"journey-report/{email.email_id}/{report}", of.model_copy(update=named)


def in_zone(source: Source, label: str, before: ClientDates, dates: ClientDates) -> Source:
    """Return a source whose client has chosen another zone. `before`, `dates`: of the one before and of this one."""
    sent = source.sent_date
    if sent is not None and (at := before.utc_text_or_none(sent)) is not None:
        sent = f"{dates.local(datetime.fromisoformat(at)):%Y-%m-%d %H:%M:%S}"
    return source.model_copy(update={"time_zone": label, "sent_date": sent})


def since_text(job: ImportJob, dates: ClientDates) -> str | None:
    """Return how far back the job reads, as a minute in UTC.

    Hours that some zone repeats are read from their beginning, so that it is the same in each zone that the client may
    choose.
    """
    if job.since is None:
        return None
    stretch = dates.stretch(rfc3339(job.since))
    return text_of(job.since if stretch is None else stretch.begin)


def covers(mark: Mark, lists: list[str], since: str | None) -> bool:
    """Return whether what a mark was read for holds all that is asked for now."""
    of_lists = not mark.lists or (bool(lists) and set(lists) <= set(mark.lists))
    return of_lists and (mark.since is None or (since is not None and since >= mark.since))


def widened(source: Source, mark: Mark) -> Source:
    """Return the source of a report whose job asks for more than its mark was read for: the rest is read."""
    return following(source, mark).model_copy(
        update={
            "published": [published_by(mark), *mark.earlier],
            "read_since": source.since,
            "read_counts": source.since == mark.read_since,
        }
    )


def following(source: Source, mark: Mark) -> Source:
    """Return the source of a report that was read before.

    A job that asks for less goes on where it was read from, so that totals stay comparable; what was published beyond
    is remembered, should it ask for more again.
    """
    before = [published_by(mark), *mark.earlier]
    earlier = [known for known in before if not _within(known, source)][:MAX_EARLIER]
    return source.model_copy(update={"earlier": earlier, "read_since": mark.read_since})


def partly_read(task: ImportTask) -> list[Published]:
    """Return what the failed read of a report has published, and what was published before it.

    Empty for a read of a listing, and of recipients that are too many to be remembered one by one.
    """
    source, cursor = task.source, task.cursor
    if source is None or cursor is None or source.report is None:
        return []
    scope = Published(lists=source.lists, since=source.since)
    if source.resource == "report" and source.report == "recipients":
        done = scope.model_copy(update={"known": cursor.newest}) if cursor.newest else None
    elif cursor.late is not None:
        done = scope.model_copy(update={"before": cursor.late.until, "known": cursor.late.known})
    else:
        done = scope.model_copy(update={"before": cursor.minute, "known": cursor.minute_ids}) if cursor.minute else None
    return [*([] if done is None else [done]), *source.published]


def beside(source: Source, published: list[Published]) -> Source:
    """Return a source of which a failed read has published something already."""
    known = [*source.published, *(other for other in published if other not in source.published)]
    beyond = [*source.earlier, *(other for other in published if other not in source.earlier)]
    earlier = [other for other in beyond if not _within(other, source)][:MAX_EARLIER]
    return source.model_copy(update={"published": known[: 2 * MAX_EARLIER], "earlier": earlier})


MAX_EARLIER = 4
"""Reads for other lists and dates that a mark remembers, each with up to 40 KB. What came before is published again."""


def elsewhere(marks: Iterable[Mark], first: Iterable[Mark] = ()) -> list[Published]:
    """Return what other reads have published, the latest first. `first`: marks that come before these."""
    latest = [*first, *sorted(marks, key=lambda mark: mark.known_from or "", reverse=True)]
    return [known for mark in latest for known in (published_by(mark), *mark.earlier)][:MAX_EARLIER]


def published_beyond(mark: Mark, removed: Mark | None) -> list[Published]:
    """Return what a job has published that its mark does not hold, and one that was removed before under its id."""
    before = [] if removed is None else [published_by(removed), *removed.earlier]
    return [known for known in (*mark.earlier, *before) if not _within(known, mark)][:MAX_EARLIER]


def published_by(mark: Mark) -> Published:
    """Return what the latest read of a mark has published."""
    return Published(lists=mark.lists, since=mark.since, before=mark.known_from, known=mark.known)


def _within(known: Published, source: Source | Mark) -> bool:
    of_lists = not source.lists or (bool(known.lists) and set(known.lists) <= set(source.lists))
    return of_lists and (source.since is None or (known.since is not None and known.since >= source.since))


def label(source: Source) -> str:
    """Return what people call a chain: its listing or report."""
    name = source.state or (LABELS.get(source.report or "", source.report) if source.report else "suppressed") or ""
    if source.unreported_before is not None:
        return f"{name}, not in a report"
    return f"{name}, again" if source.again else name


def group(source: Source) -> str:
    """Return the list, campaign or journey that a chain belongs to, as people call it."""
    match source.resource:
        case "users":
            return f"list {source.list_name or source.list_id}"
        case "suppression":
            return "suppression list"
        case "report":
            return f"campaign {source.campaign_name or source.campaign_id}"
        case "journey_report":
            return f"journey {source.journey_name or source.journey_id}: {source.email_name or source.email_id or ''}"


def again_name(chain: str) -> str:
    """Return the chain that reads on request what another one has read before."""
    return f"again/{chain}"


def undivided(chain: str) -> str:
    """Return the chain that this one is a part of, or itself: parts end in `#2`."""
    return chain.partition("#")[0]


def part_name(chain: str, number: int) -> str:
    """Return the name of the n-th part (from 1) that was divided off a chain."""
    return f"{undivided(chain)}#{number}"


def part_chain(chain: str, part: str) -> str:
    """Return the chain of a part of the discovery: the client's lists, campaigns or journeys."""
    return f"{chain}/{part}"


def part_of(chain: str) -> str:
    """Return the part of the discovery that a chain looks for; empty: all of it."""
    return chain.partition("/")[2]
