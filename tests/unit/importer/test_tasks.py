"""What a task leads to: pages become records and progress, clients become chains, failures wait or end their chain."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Misconfigured, NotFound, Transient, Unauthorised
from connectors.importer.fetch import Fetcher
from connectors.importer.progress import ProgressTable
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import execute, expand
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import process_page
from connectors.importer.translate import RowTranslator
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, Cursor, ImportTask, Mark, RunProgress, Source, Tally

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
UTC_ZONE = "(GMT) Coordinated Universal Time"
DATES = ClientDates.of(UTC_ZONE)
CLICKS = Source(resource="report", client_id="c", time_zone=UTC_ZONE, campaign_id="k", report="clicks")
UNSUBSCRIBED = Source(resource="users", client_id="c", time_zone=UTC_ZONE, list_id="l", state="unsubscribed", gap=True)
CLIENT = ClientDetails("c", "Acme", UTC_ZONE, "BE", {})
JOB = ImportJob(id="j", authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)


def task(source: Source | None = CLICKS, cursor: Cursor | None = None, **change: object) -> ImportTask:
    values = {"job_id": "j", "run": 1, "chain": "report/k/clicks", "kind": "read", "started_at": NOW}
    return ImportTask(**{**values, "source": source, "cursor": cursor or Cursor(phase="first"), **change})


def row(minute: int, list_id: str = "l") -> dict:
    return {"EmailAddress": "a@example.com", "ListID": list_id, "Date": f"2026-05-01 10:{minute:02}:00", "URL": "u"}


def page(rows: list[dict], number: int = 1, pages: int = 1, total: int | None = None) -> Page:
    return Page(rows, "date", "asc", number, 1000, len(rows), len(rows) if total is None else total, pages)


def processed(read: ImportTask, answered: Page):
    return process_page(read, answered, RowTranslator(read.source, "j", DATES, "2026-06-01T12:00:00.000Z"), NOW, 8)


def test_the_last_page_ends_its_chain_and_leaves_a_mark_for_the_next_run():
    result = processed(task(), page([row(1), row(2)]))
    assert [record.topic for record in result.records] == ["cm_activity"] * 2
    mark, ended = result.progress
    assert isinstance(mark, Mark)
    assert (mark.chain, mark.accounted, mark.newest_date) == ("report/k/clicks", 2, "2026-05-01 10:02:00")
    assert (ended.state, ended.tally.rows, ended.tally.pages) == ("done", 2, 1)
    assert result.tasks == []


def test_a_page_in_the_middle_names_the_next_task_and_keeps_count():
    before = task(tally=Tally(rows=10, pages=1), attempt=3)
    result = processed(before, page([row(1)], pages=2, total=1001))
    (following,) = result.tasks
    assert (following.cursor.page, following.step, following.attempt) == (2, 1, 0)
    assert (following.tally.rows, following.tally.pages) == (11, 2)
    assert result.next_task("report/k/clicks") is following
    assert result.progress[0].state == "open"


def test_rows_of_other_lists_count_and_are_not_published():
    source = CLICKS.model_copy(update={"lists": ["l"]})
    result = processed(task(source), page([row(1), row(2, "other")]))
    assert len(result.records) == 1
    assert (result.progress[1].tally.left_out, result.progress[0].accounted) == (1, 2)


def test_a_long_report_is_read_by_one_chain():
    result = processed(task(), page([row(1)], pages=100, total=100_000))
    assert [(following.chain, following.cursor.page) for following in result.tasks] == [("report/k/clicks", 2)]


def test_a_gap_publishes_the_changes_that_a_webhook_missed_and_no_mark():
    missed = {"EmailAddress": "a@example.com", "Date": "2026-05-01 10:01:00", "State": "Unsubscribed"}
    result = processed(task(UNSUBSCRIBED, chain="gap/l/unsubscribed"), page([missed]))
    assert [orjson.loads(record.value)["status"] for record in result.records] == ["unsubscribe"]
    assert not any(isinstance(record, Mark) for record in result.progress)


def test_a_task_without_a_source_is_an_error():
    with pytest.raises(ValueError, match="has no source or cursor"):
        process_page(task(None), page([]), RowTranslator(CLICKS, "j", DATES, ""), NOW, 8)


def context(job: ImportJob = JOB, table: ProgressTable | None = None, **change: object) -> expand.ExpansionContext:
    discover = task(None, chain="discover", kind="discover", **change)
    return expand.ExpansionContext(job, discover, table or ProgressTable(), ImporterSettings(), NOW)


def campaign_row(campaign_id: str, sent: datetime) -> dict:
    return {"CampaignID": campaign_id, "Name": campaign_id, "SentDate": f"{sent:%Y-%m-%d %H:%M:%S}"}


def test_a_client_becomes_chains_and_a_list_that_it_lacks_is_a_problem():
    job = JOB.model_copy(update={"lists": ["l1", "missing"]})
    lists = [ListRef("l1", "News"), ListRef("l2", "Other")]
    result = expand.discover(context(job), CLIENT, DATES, lists, None, [])
    states = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")
    assert [begun.chain for begun in result.tasks] == [f"users/l1/{state}" for state in states] + ["suppression/c"]
    assert all(begun.cursor.known_from is None for begun in result.tasks)
    failed = [record for record in result.progress if record.state == "failed"]
    assert [record.chain for record in failed] == ["users/missing"]
    assert "the client has no list missing" in failed[0].problem
    assert (result.progress[-1].chain, result.progress[-1].state) == ("discover", "done")


@pytest.mark.parametrize(
    ("age", "checked", "full", "due"),
    [
        (timedelta(hours=1), timedelta(minutes=5), False, True),
        (timedelta(days=10), timedelta(hours=2), False, False),
        (timedelta(days=10), timedelta(days=1), False, True),
        (timedelta(days=90), timedelta(days=1), False, False),
        (timedelta(days=90), timedelta(days=1), True, True),
        (timedelta(days=90), None, False, True),
    ],
)
def test_campaigns_are_looked_at_when_they_are_due(age, checked, full, due):
    table = ProgressTable()
    if checked is not None:
        table.put(Mark(job_id="j", run=1, chain="campaign/k", checked_at=NOW - checked))
    sent = page([campaign_row("k", NOW - age)], pages=3)
    result = expand.discover(context(table=table, full=full, page=2), CLIENT, DATES, [], sent, [])
    assert [begun.chain for begun in result.tasks] == (["campaign/k"] if due else []) + ["discover"]
    assert result.tasks[-1].page == 3


@pytest.mark.parametrize(
    ("clicks", "failed", "read"), [(7, False, ["report/k/opens"]), (9, False, None), (7, True, None)]
)
def test_reports_are_read_again_when_their_counters_changed_or_the_last_read_failed(clicks, failed, read):
    table = ProgressTable()
    table.put(Mark(job_id="j", run=1, chain="campaign/k", counts={"open": 1, "click": 7}, checked_at=NOW))
    if failed:
        record = {"job_id": "j", "run": 1, "chain": "report/k/clicks", "state": "failed"}
        table.put(ChainProgress(**record, started_at=NOW, updated_at=NOW))
    job = JOB.model_copy(update={"activities": ["open", "click"]})
    looked = task(CLICKS.model_copy(update={"report": None}), chain="campaign/k", kind="campaign", run=2)
    found = expand.ExpansionContext(job, looked, table, ImporterSettings(), NOW)
    result = expand.campaign(found, {"TotalOpened": 2, "Clicks": clicks}, {}, DATES)
    assert [begun.chain for begun in result.tasks] == (read or ["report/k/opens", "report/k/clicks"])
    assert result.progress[-2].counts == {"open": 2, "click": clicks}


class FakeProgressView:
    """The progress table, complete at once."""

    def __init__(self) -> None:
        self.table = ProgressTable()

    async def until(self, holds) -> None:
        self.table.put(RunProgress(job_id="j", run=1, state="open", planned_at=NOW, started_at=NOW))
        assert holds(self.table)


class FakeCampaigns:
    """Answers `pages` in order; an exception among them is raised."""

    def __init__(self, *pages: Page | Exception) -> None:
        self.campaigns = self
        self._pages = list(pages)

    async def report(self, *_args: object, **_keywords: object) -> Page:
        answer = self._pages.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def executor(*pages: Page | Exception, **settings: object) -> TaskExecutor:
    api = FakeCampaigns(*pages)

    async def open_api(_authorization_id: str) -> FakeCampaigns:
        return api

    return TaskExecutor(ImporterSettings(**settings), FakeProgressView(), Fetcher(1), open_api, lambda _job_id: JOB)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Unauthorised(121, "refresh"), "parked"),
        (NotFound(102, "resource"), "failed"),
        (Misconfigured(1), "failed"),
        (Transient("rate_limited", after=120.0), "parked"),
    ],
)
async def test_a_failure_parks_or_ends_its_chain_only(verdict, state):
    result = await executor(CampaignMonitorError("no", verdict)).execute(task())
    (record,) = result.progress
    assert (record.state, record.chain, result.tasks, result.records) == (state, "report/k/clicks", [], [])
    assert (record.task is not None) is (state == "parked")


async def test_a_transient_failure_is_retried_at_once(monkeypatch):
    monkeypatch.setattr(execute, "retry_after", lambda _verdict, _attempt, _random: 0.0)
    failing = executor(CampaignMonitorError("later", Transient("server_error")), page([row(1)]))
    assert len((await failing.execute(task())).records) == 1


async def test_repeats_and_restarts_are_counted():
    """Two counters that nothing incremented."""
    repeats, restarts = execute.REPEATS._value.get(), execute.RESTARTS._value.get()
    first = processed(task(), page([row(1), row(2)])).progress[0]
    known = Cursor(phase="forward", known=first.known)
    await executor(page([row(1), row(2)])).execute(task(cursor=known))
    assert execute.REPEATS._value.get() - repeats == 2
    moved = Cursor(phase="forward", page=2, total=5, minute="2026-05-01 10:01")
    await executor(page([row(1)], number=2, total=4)).execute(task(cursor=moved))
    assert execute.RESTARTS._value.get() - restarts == 1
