"""From a client to what there is to read: lists, campaigns and journeys become chains (pure)."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from connectors.campaign_monitor.client.entities import ClientDetails, Journey, JourneyRef, JsonObject, ListRef, Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.readers import reader_for
from connectors.importer.tasks import gaps, plan, sources
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.page import TaskResult, progress_of
from connectors.importer.tasks.unreported import read_unreported
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ImportTask, Mark, Source

SUMMARY_OF = {
    "sent": "Recipients",
    "open": "TotalOpened",
    "click": "Clicks",
    "unsubscribe": "Unsubscribed",
    "bounce": "Bounced",
    "spam": "SpamComplaints",
}
"""Activity -> the campaign summary's counter."""


def discover(
    context: ExpansionContext,
    client: ClientDetails,
    dates: ClientDates,
    lists: list[ListRef] | None,
    campaigns: Page | None,
    journeys: Iterable[JourneyRef],
) -> TaskResult:
    """Begin the chains of a run: listings, the suppression list, and a look at each campaign and journey that is due.

    A step per page of the client's campaigns; lists (None: they could not be read) and journeys come with the first.
    The chain of a part begins that only.
    """
    job, task = context.job, context.task
    result, part = TaskResult(), sources.part_of(task.chain)
    if task.page == 1:
        if part in ("", "lists"):
            _lists(context, result, client, dates, lists)
        if not part and not task.sweep:
            context.read(result, *sources.suppression(job, client))
        names = {ref.list_id: ref.name for ref in lists or ()}
        for ref in journeys:
            if not job.lists or ref.list_id in job.lists:
                source = sources.journey(job, client, ref, names.get(ref.list_id, ""), dates)
                context.look(result, f"journey/{ref.journey_id}", "journey", source)
    for row in campaigns.rows if campaigns else ():
        if _is_due(context, row, dates):
            source = sources.campaign(job, client, row, dates)
            context.look(result, f"campaign/{source.campaign_id}", "campaign", source)
    if campaigns is None or campaigns.last:
        return context.done(result)
    tally = task.tally.model_copy(update={"pages": task.tally.pages + 1, "pages_total": campaigns.pages})
    following = task.model_copy(update={"page": task.page + 1, "step": task.step + 1, "tally": tally})
    result.progress.append(progress_of(following, {"updated_at": context.now}))
    return result


def _lists(
    context: ExpansionContext,
    result: TaskResult,
    client: ClientDetails,
    dates: ClientDates,
    lists: list[ListRef] | None,
) -> None:
    job, swept = context.job, context.task.list_ids if context.task.sweep else None
    for ref in lists or ():
        if (not job.lists or ref.list_id in job.lists) and (swept is None or ref.list_id in swept):
            for chain, source in sources.users(job, client, ref):
                context.read(result, chain, source)
                if source.state == "unsubscribed" and "unsubscribe" in job.activities:
                    read_unreported(context, result, source, dates)
    if swept is None and lists is not None:
        context.fill_failed_gaps(result, {ref.list_id for ref in lists if not job.lists or ref.list_id in job.lists})
    if lists is None:
        return
    for missing in sorted(set(job.lists) - {ref.list_id for ref in lists}):
        task = context.task.model_copy(update={"chain": f"users/{missing}", "group": f"list {missing}", "label": ""})
        problem = f"the client has no list {missing}: change the lists of job {job.id}"
        failed = {"state": "failed", "problem": problem, "updated_at": context.now}
        result.progress.append(progress_of(task, failed))


def _is_due(context: ExpansionContext, row: JsonObject, dates: ClientDates) -> bool:
    job, settings = context.job, context.settings
    try:
        sent = dates.utc(str(row.get("SentDate") or ""))
    except ValueError:
        sent = context.now  # no date that can be read: look at it in every run rather than never
    if job.since is not None and sent < job.since:
        return False
    if not job.activities:
        return False
    campaign_id = str(row.get("CampaignID") or "")
    mark = context.table.mark(job.id, f"campaign/{campaign_id}")
    if context.task.full or _has_failed(context, campaign_id):
        return True
    if mark is not None and not _was_asked(job, mark, job.lists, sources.since_text(job, dates)):
        return True
    return plan.campaign_is_due(
        sent,
        mark.checked_at if mark else None,
        context.now,
        hot=timedelta(hours=settings.hot_hours),
        warm=timedelta(days=settings.warm_days),
        interval=timedelta(seconds=job.interval_seconds),
    )


def _was_asked(job: ImportJob, mark: Mark, lists: list[str], since: str | None) -> bool:
    """Return whether a campaign or journey was looked at for all that the job asks for."""
    return sources.covers(mark, lists, since) and set(job.activities) <= set(mark.activities)


def _has_failed(context: ExpansionContext, campaign_id: str) -> bool:
    """Return whether the last look at a campaign, or the last read of one of its reports, failed."""
    names = (f"report/{campaign_id}/{report}" for report in sources.REPORT_OF.values())
    return _any_failed(context, (f"campaign/{campaign_id}", *names))


def _any_failed(context: ExpansionContext, names: Iterable[str]) -> bool:
    chains = context.table.chains(context.job.id)
    return any(name in chains and chains[name].state == "failed" for name in names)


def campaign(
    context: ExpansionContext, summary: JsonObject, list_names: dict[str, str], dates: ClientDates
) -> TaskResult:
    """Begin to read the reports of a campaign whose counters have changed since they were last read."""
    job, task = context.job, context.task
    result = TaskResult()
    source = task.source or Source(resource="report", client_id=job.client_id, time_zone="")
    mark = context.table.mark(job.id, task.chain)
    counts: dict[str, int] = {kind: _number(summary.get(SUMMARY_OF[kind])) for kind in job.activities}
    # As it was when the look began: an edit since then is a matter of the next one.
    lists = source.lists
    if sources.in_scope(lists, list_names):
        asked = mark is not None and _was_asked(job, mark, lists, source.since)
        known = mark.counts if mark is not None and asked and not task.full else {}
        retry = _has_failed(context, source.campaign_id or "")
        source = source.model_copy(update={"list_names": list_names})
        for activity, (chain, report) in zip(job.activities, sources.campaign_reports(job, source), strict=True):
            if activity == "sent" and _still_sending(context, source, dates):
                counts[activity] = -1
            elif retry or known.get(activity) != counts[activity]:
                context.read(result, chain, report)
    result.progress.append(
        Mark(
            job_id=job.id,
            run=task.run,
            chain=task.chain,
            counts=counts,
            list_names=list_names,
            checked_at=context.now,
            lists=lists,
            since=source.since,
            activities=list(job.activities),
        )
    )
    return context.done(result)


def _still_sending(context: ExpansionContext, source: Source, dates: ClientDates) -> bool:
    """Return whether recipients have to wait.

    They have no date: if they were read while a campaign is being sent, all of them would have to be read again.
    """
    if not context.job.keep_updated:
        return False
    try:
        sent = dates.utc(source.sent_date or "")
    except ValueError:
        return False
    return context.now - sent < timedelta(seconds=context.settings.recipients_after_seconds)


def journey(context: ExpansionContext, details: Journey) -> TaskResult:
    """Begin to read the reports of a journey's e-mails whose counters have changed."""
    job, task = context.job, context.task
    result = TaskResult()
    source = task.source or Source(resource="journey_report", client_id=job.client_id, time_zone="")
    mark = context.table.mark(job.id, task.chain)
    if mark is not None and not _was_asked(job, mark, [], source.since):
        mark = None
    counts: dict[str, int] = {}
    for email in details.emails:
        seen = {f"{email.email_id}:{name}": value for name, value in email.counts.items()}
        counts |= seen
        known = mark is not None and not task.full and all(mark.counts.get(name) == seen[name] for name in seen)
        reports = dict(sources.journey_reports(job, source, email))
        if seen and known and not _any_failed(context, reports):
            continue
        for chain, report in reports.items():
            context.read(result, chain, report)
    result.progress.append(
        Mark(
            job_id=job.id,
            run=task.run,
            chain=task.chain,
            counts=counts,
            checked_at=context.now,
            since=source.since,
            activities=list(job.activities),
        )
    )
    return context.done(result)


def gap(
    context: ExpansionContext, client: ClientDetails, dates: ClientDates, lists: list[ListRef], since: datetime
) -> TaskResult:
    """Begin to read who changed state on lists since a webhook was last seen to work, and shortly before."""
    result = TaskResult()
    for ref in lists:
        if ref.list_id not in context.task.list_ids:
            continue
        for chain, source in sources.users(context.job, client, ref):
            if context.task.states and source.state not in context.task.states:
                continue
            chain = f"gap/{chain.removeprefix('users/')}"
            earlier = context.unfilled_from(chain)
            first = since if earlier is None else min(since, datetime.fromisoformat(earlier))
            replaced = gaps.begun(context.table.gaps(context.job.id).get(chain), context.table)
            result.progress += replaced
            published = sources.elsewhere(context.table.marks_elsewhere(context.job.id, chain), first=replaced)
            filling = source.model_copy(
                update={"gap": True, "repeats_before": dates.date_from(first), "elsewhere": published}
            )
            known_from = dates.date_from(first - gaps.MARGIN)
            known = Mark(job_id=context.job.id, run=context.task.run, chain="", known_from=known_from)
            result.begin(
                ImportTask(
                    job_id=context.job.id,
                    run=context.task.run,
                    chain=chain,
                    kind="read",
                    page_size=context.settings.page_size,
                    label=f"missed: {source.state}",
                    group=sources.group(source),
                    source=filling,
                    cursor=reader_for(filling).first_cursor(known),
                    since=rfc3339(first),
                    tried=context.task.tried,
                    started_at=context.now,
                )
            )
    return context.done(result)


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
