"""What a task leads to: pages become records and progress, clients become chains, failures wait or end their chain."""

import asyncio
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from connectors.campaign_monitor.client.entities import ClientDetails, Journey, JourneyEmail, JourneyRef, ListRef, Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Forbidden, Misconfigured, NotFound, Transient, Unauthorised
from connectors.importer.progress import ProgressTable
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import execute, expand
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.execute import TaskExecutor
from connectors.importer.tasks.page import TaskResult, process_page, progress_of, read_page
from connectors.importer.translate import RowTranslator
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, Cursor, ImportTask, Mark, Source, Tally

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
    translator = RowTranslator(read.source, "j", DATES, "2026-06-01T12:00:00.000Z")
    return process_page(read, read_page(read, answered, translator, 8), translator, NOW)


def test_the_last_page_ends_its_chain_and_leaves_a_mark_for_the_next_run():
    result = processed(task(), page([row(1), row(2)]))
    assert [record.topic for record in result.records] == ["cm_activity"] * 2
    mark, ended = result.progress
    assert isinstance(mark, Mark)
    assert (mark.chain, mark.accounted, mark.newest_date) == ("report/k/clicks", 2, "2026-05-01T10:02:00.000Z")
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


def test_a_gap_publishes_the_changes_that_a_webhook_missed_and_no_mark_of_the_list():
    missed = {"EmailAddress": "a@example.com", "Date": "2026-05-01 10:01:00", "State": "Unsubscribed"}
    result = processed(task(UNSUBSCRIBED, chain="gap/l/unsubscribed"), page([missed]))
    assert [orjson.loads(record.value)["status"] for record in result.records] == ["unsubscribe"]
    assert {record.chain for record in result.progress if isinstance(record, Mark)} <= {"gap/l/unsubscribed"}


def test_an_empty_listing_is_not_read_from_its_beginning_again():
    """Without a date it was, and swept, in every run."""
    source = UNSUBSCRIBED.model_copy(update={"gap": False})
    mark = processed(task(source, chain="users/l/unsubscribed"), page([])).progress[0]
    assert isinstance(mark, Mark)
    assert mark.known_from == "2026-05-31T12:00"
    table = ProgressTable()
    table.put(mark.model_copy(update={"chain": "users/l1/active"}))
    result = expand.discover(context(table=table), CLIENT, DATES, [ListRef("l1", "News")], None, [])
    begun = next(record for record in result.progress if record.chain == "users/l1/active")
    assert not begun.full
    assert begun.task.cursor.anchor == "2026-05-31T12:00"


def context(job: ImportJob = JOB, table: ProgressTable | None = None, **change: object) -> ExpansionContext:
    discover = task(None, chain="discover", kind="discover", **change)
    return ExpansionContext(job, discover, table or ProgressTable(), ImporterSettings(), NOW)


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
    other = {"job_id": "j", "run": 1, "chain": "report/other/opens", "state": "failed"}
    table.put(ChainProgress(**other, started_at=NOW, updated_at=NOW))
    if checked is not None:
        asked = list(JOB.activities)
        table.put(Mark(job_id="j", run=1, chain="campaign/k", checked_at=NOW - checked, activities=asked))
    sent = page([campaign_row("k", NOW - age)], pages=3)
    result = expand.discover(context(table=table, full=full, page=2), CLIENT, DATES, [], sent, [])
    assert [begun.chain for begun in result.tasks] == (["campaign/k"] if due else []) + ["discover"]
    assert result.tasks[-1].page == 3


@pytest.mark.parametrize(
    ("read_for", "asked", "due"),
    [
        ({"lists": ["l"]}, {"lists": ["l", "m"]}, True),
        ({"lists": ["l"]}, {"lists": []}, True),
        ({"lists": ["l", "m"]}, {"lists": ["l"]}, False),
        ({"since": "2026-02-01 00:00"}, {"since": None}, True),
        ({"activities": ["open"]}, {}, True),
        ({}, {}, False),
    ],
)
def test_a_job_that_asks_for_more_looks_at_campaigns_again_however_old_they_are(read_for, asked, due):
    table = ProgressTable()
    values = {"activities": list(JOB.activities), **read_for}
    table.put(Mark(job_id="j", run=1, chain="campaign/k", checked_at=NOW, **values))
    sent = page([campaign_row("k", NOW - timedelta(days=90))])
    found = context(JOB.model_copy(update=asked), table, run=2)
    result = expand.discover(found, CLIENT, DATES, [], sent, [])
    assert ("campaign/k" in [begun.chain for begun in result.tasks]) is due


@pytest.mark.parametrize("chain", ["campaign/k", "report/k/clicks"])
def test_a_campaign_of_which_something_failed_is_due_however_old_it_is(chain):
    table = ProgressTable()
    asked = list(JOB.activities)
    table.put(Mark(job_id="j", run=1, chain="campaign/k", checked_at=NOW, activities=asked))
    failed = {"job_id": "j", "run": 1, "chain": chain, "state": "failed"}
    table.put(ChainProgress(**failed, started_at=NOW, updated_at=NOW))
    sent = page([campaign_row("k", NOW - timedelta(days=90))])
    result = expand.discover(context(table=table, run=2), CLIENT, DATES, [], sent, [])
    assert "campaign/k" in [begun.chain for begun in result.tasks]


@pytest.mark.parametrize(
    ("clicks", "failed", "read"), [(7, False, ["report/k/opens"]), (9, False, None), (7, True, None)]
)
def test_reports_are_read_again_when_their_counters_changed_or_the_last_read_failed(clicks, failed, read):
    table = ProgressTable()
    asked = ["open", "click"]
    counts = {"open": 1, "click": 7}
    table.put(Mark(job_id="j", run=1, chain="campaign/k", counts=counts, checked_at=NOW, activities=asked))
    if failed:
        record = {"job_id": "j", "run": 1, "chain": "report/k/clicks", "state": "failed"}
        table.put(ChainProgress(**record, started_at=NOW, updated_at=NOW))
    job = JOB.model_copy(update={"activities": ["open", "click"]})
    looked = task(CLICKS.model_copy(update={"report": None}), chain="campaign/k", kind="campaign", run=2)
    found = ExpansionContext(job, looked, table, ImporterSettings(), NOW)
    result = expand.campaign(found, {"TotalOpened": 2, "Clicks": clicks}, {}, DATES)
    assert [begun.chain for begun in result.tasks] == (read or ["report/k/opens", "report/k/clicks"])
    assert result.progress[-2].counts == {"open": 2, "click": clicks}


@pytest.mark.parametrize(("state", "read"), [("done", False), ("failed", True)])
def test_a_journey_whose_counters_are_known_is_read_again_when_its_last_read_failed(state, read):
    table = ProgressTable()
    asked = list(JOB.activities)
    table.put(Mark(job_id="j", run=1, chain="journey/w", counts={"e:Opened": 3}, checked_at=NOW, activities=asked))
    record = {"job_id": "j", "run": 1, "chain": "journey-report/e/opens", "state": state}
    table.put(ChainProgress(**record, started_at=NOW, updated_at=NOW))
    source = Source(resource="journey_report", client_id="c", time_zone=UTC_ZONE, journey_id="w")
    looked = ExpansionContext(
        JOB, task(source, chain="journey/w", kind="journey", run=2), table, ImporterSettings(), NOW
    )
    details = Journey("w", "Welcome", "On Subscription", "Active", (JourneyEmail("e", "Hello", {"Opened": 3}),))
    begun = [begun.chain for begun in expand.journey(looked, details).tasks]
    assert ("journey-report/e/opens" in begun) is read


def failed_part(run: int, **change: object) -> ChainProgress:
    source = Source(resource="users", client_id="c", time_zone=UTC_ZONE, list_id="l1", state="active")
    cursor = Cursor(phase="down", page=7, low=3, divided=True, pages=40)
    part = task(source, cursor, chain="users/l1/active#1", run=run, step=4, label="active 2", page_size=500)
    return progress_of(part, {"state": "failed", "problem": "cannot be read", "tally": Tally(rows=9), **change})


def test_unsubscribes_that_no_report_holds_become_activity_with_the_state_s_date_and_others_do_not():
    unsubscribes = CLICKS.model_copy(update={"report": "unsubscribes"})
    reported = processed(task(unsubscribes, chain="report/k/unsubscribes"), page([row(1)])).progress[0]
    table = ProgressTable()
    table.put(reported)
    source = UNSUBSCRIBED.model_copy(
        update={"gap": False, "unreported_before": "2026-05-01T10:05", "since": "2026-05-01T09:00"}
    )
    people = [
        {"EmailAddress": email, "Date": f"2026-05-01 {at}:00", "State": "Unsubscribed"}
        for email, at in (
            ("old@example.com", "08:00"),
            ("a@example.com", "10:01"),
            ("other@example.com", "10:02"),
            ("later@example.com", "10:06"),
        )
    ]
    translator = RowTranslator(source, "j", DATES, "2026-06-01T12:00:00.000Z", table.reported_unsubscribes("j"))
    reading = task(source, chain="unreported/l")
    result = process_page(reading, read_page(reading, page(people), translator, 8), translator, NOW)
    (value,) = [orjson.loads(record.value) for record in result.records]
    assert (value["email"], value["event"], value["status"]) == ("other@example.com", "deactivate", "unsubscribe")
    assert value["at"] == "2026-05-01T10:02:00.000Z"
    assert isinstance(result.progress[0], Mark), "they are not looked for again"


@pytest.mark.parametrize(
    ("sweep", "known", "begins"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_they_are_looked_for_once_after_all_reports_were_read(sweep, known, begins):
    table = ProgressTable()
    if known:
        table.put(Mark(job_id="j", run=1, chain="unreported/l1", known_from="2026-05-01T00:00"))
    found = context(table=table, run=2, sweep=sweep, list_ids=["l1"])
    result = expand.discover(found, CLIENT, DATES, [ListRef("l1", "News")], None, [])
    assert ("unreported/l1" in [begun.chain for begun in result.tasks]) is begins


def test_a_full_read_repeats_what_was_read_marked_and_reads_once_what_was_not():
    table = ProgressTable()
    table.put(Mark(job_id="j", run=1, chain="users/l1/active", known_from="2026-05-01T00:00"))
    result = expand.discover(context(table=table, run=2, full=True), CLIENT, DATES, [ListRef("l1", "News")], None, [])
    begun = {begun.chain: begun for begun in result.tasks}
    assert begun["users/l1/active"].cursor.known_from == "2026-05-01T00:00"
    again = begun["again/users/l1/active"]
    assert (again.source.again, again.cursor.known_from) == (True, None)
    assert begun["users/l1/bounced"].cursor.known_from is None
    assert "again/users/l1/bounced" not in begun


@pytest.mark.parametrize("again", [True, False])
def test_what_is_read_again_is_marked_and_leaves_no_mark(again):
    source = UNSUBSCRIBED.model_copy(update={"gap": False, "again": again})
    person = {"EmailAddress": "a@example.com", "Date": "2026-05-01 10:01:00", "State": "Unsubscribed"}
    for result in (
        processed(task(source, chain="again/users/l/unsubscribed"), page([person])),
        processed(task(CLICKS.model_copy(update={"again": again}), chain="again/report/k/clicks"), page([row(1)])),
    ):
        assert [orjson.loads(record.value).get("repeat", False) for record in result.records] == [again]
        assert any(isinstance(record, Mark) for record in result.progress) is not again


@pytest.mark.parametrize(
    ("run", "full", "change", "again"),
    [
        (1, False, {}, True),
        (1, False, {"state": "done"}, False),
        (0, False, {}, False),
    ],
)
def test_a_part_that_failed_is_read_by_the_next_run_and_only_it(run, full, change, again):
    table = ProgressTable()
    table.put(Mark(job_id="j", run=1, chain="users/l1/active", known_from="2026-05-01T00:00"))
    table.put(failed_part(run, **change))
    result = expand.discover(context(table=table, run=2, full=full), CLIENT, DATES, [ListRef("l1", "News")], None, [])
    begun = {record.chain: record for record in result.progress}
    assert not begun["users/l1/active"].full, "what the mark covers is not read from its beginning"
    assert ("users/l1/active#1" in begun) is again
    if again:
        part = begun["users/l1/active#1"].task
        assert (part.run, part.step, part.page_size, part.tally) == (2, 0, 500, Tally())
        assert (part.cursor.page, part.cursor.low) == (7, 3)


class FakeProgressView:
    """The progress table, complete at once."""

    def __init__(self) -> None:
        self.table = ProgressTable()


class FakeCaller:
    """May always be called."""

    def wait(self) -> float:
        return 0.0


class FakeApi:
    """An account; what it answers is patched in."""

    caller = FakeCaller()


def executor(monkeypatch, *pages: Page | Exception, **settings: object) -> TaskExecutor:
    """An executor whose account answers `pages` in order; an exception among them is raised."""
    answers = list(pages)

    async def read(_api: object, _source: Source, _query: object, _dates: object) -> Page:
        answer = answers.pop(0) if answers else page([])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def open_api(_authorization_id: str) -> FakeApi:
        return FakeApi()

    monkeypatch.setattr(execute, "request_page", read)
    made = TaskExecutor(ImporterSettings(**settings), FakeProgressView(), open_api, {"j": JOB}.get)
    made.zones.see(CLIENT)
    return made


async def executed(running: TaskExecutor, step: ImportTask) -> TaskResult:
    return await running.execute(step, running.pages())


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Unauthorised(121, "refresh"), "parked"),
        (NotFound(102, "resource"), "failed"),
        (Misconfigured(1), "failed"),
        (Transient("rate_limited", after=120.0), "parked"),
    ],
)
async def test_a_failure_parks_or_ends_its_chain_only(monkeypatch, verdict, state):
    result = await executed(executor(monkeypatch, CampaignMonitorError("no", verdict)), task())
    (record,) = result.progress
    assert (record.state, record.chain, result.tasks, result.records) == (state, "report/k/clicks", [], [])
    assert record.task is not None, "where it goes on"


async def test_a_transient_failure_is_retried_at_once(monkeypatch):
    monkeypatch.setattr(execute, "retry_after", lambda _verdict, _attempt, _random: 0.0)
    failing = executor(monkeypatch, CampaignMonitorError("later", Transient("server_error")), page([row(1)]))
    assert len((await executed(failing, task())).records) == 1


async def test_an_error_of_ours_ends_its_chain_only(monkeypatch):
    (record,) = (await executed(executor(monkeypatch, RuntimeError("broken")), task())).progress
    assert (record.state, record.problem) == ("failed", "it met an error of the connector: RuntimeError")


async def test_a_task_of_a_removed_job_leads_to_nothing_at_once(monkeypatch):
    running = executor(monkeypatch)
    running.job = lambda _job_id: None
    assert await asyncio.wait_for(executed(running, task()), 0.5) == TaskResult()


async def test_repeats_and_restarts_are_counted(monkeypatch):
    """Two counters that nothing incremented."""
    repeats, restarts = execute.REPEATS._value.get(), execute.RESTARTS._value.get()
    first = processed(task(), page([row(1), row(2)])).progress[0]
    known = Cursor(phase="forward", known=first.known)
    await executed(executor(monkeypatch, page([row(1), row(2)])), task(cursor=known))
    assert execute.REPEATS._value.get() - repeats == 2
    moved = Cursor(phase="forward", page=2, total=5, minute="2026-05-01 10:01")
    await executed(executor(monkeypatch, page([row(1)], number=2, total=4)), task(cursor=moved))
    assert execute.RESTARTS._value.get() - restarts == 1


async def test_every_chain_that_failed_is_counted(monkeypatch):
    """Of those that no call refused, none was: a list that the client lacks, people who cannot be named."""

    async def counted(running: TaskExecutor, step: ImportTask) -> tuple[float, int]:
        before = execute.FAILED._value.get()
        result = await executed(running, step)
        failed = [record for record in result.progress if isinstance(record, ChainProgress)]
        return execute.FAILED._value.get() - before, sum(record.state == "failed" for record in failed)

    refused = CampaignMonitorError("no", NotFound(102, "resource"))
    later = CampaignMonitorError("later", Unauthorised(121, "refresh"))
    assert await counted(executor(monkeypatch, refused), task()) == (1, 1)
    assert await counted(executor(monkeypatch, RuntimeError("broken")), task()) == (1, 1)
    assert await counted(executor(monkeypatch, later), task()) == (0, 0)
    assert await counted(executor(monkeypatch, page([row(1)])), task()) == (0, 0)

    class Api:
        clients = RefusingClients({"journeys", "campaigns"}, Forbidden(403, "agency_only"))

    async def api(_self: object, _job: ImportJob, _left: int = 0) -> Api:
        return Api()

    monkeypatch.setattr(TaskExecutor, "_api", api)
    running = executor(monkeypatch)
    running.job = {"j": JOB.model_copy(update={"lists": ["l1", "gone"]})}.get
    assert await counted(running, task(None, chain="discover", kind="discover")) == (3, 3)


class RefusingClients:
    """A client whose `refused` calls are not permitted."""

    def __init__(self, refused: set[str], verdict: object) -> None:
        self._refused = refused
        self._verdict = verdict

    def _answer(self, name: str, answer: object) -> object:
        if name in self._refused:
            raise CampaignMonitorError("not permitted", self._verdict)
        return answer

    async def details(self, _client_id: str) -> ClientDetails:
        return CLIENT

    async def lists(self, _client_id: str) -> object:
        return self._answer("lists", [ListRef("l1", "News")])

    async def campaigns(self, _client_id: str, _paging: object) -> object:
        return self._answer("campaigns", page([campaign_row("k", NOW)]))

    async def journeys(self, _client_id: str) -> object:
        return self._answer("journeys", [JourneyRef("l1", "w", "Welcome", "Active")])


@pytest.mark.parametrize("refused", [{"journeys"}, {"campaigns"}, {"lists"}, {"lists", "journeys"}, set()])
@pytest.mark.parametrize("verdict", [Unauthorised(60, "scope"), Forbidden(403, "agency_only")])
async def test_a_refused_call_stops_only_what_it_would_have_found(monkeypatch, refused, verdict):
    class Api:
        clients = RefusingClients(refused, verdict)

    async def api(_self: object, _job: ImportJob, _left: int = 0) -> Api:
        return Api()

    monkeypatch.setattr(TaskExecutor, "_api", api)
    result = await executed(executor(monkeypatch), task(None, chain="discover", kind="discover"))
    failed = {record.chain.split("/")[-1]: record.problem for record in result.progress if record.state == "failed"}
    assert set(failed) == refused
    assert all("cannot be read: not permitted" in problem for problem in failed.values())
    begun = {begun.chain.split("/")[0] for begun in result.tasks}
    expected = {"lists": "users", "campaigns": "campaign", "journeys": "journey"}
    assert begun == {"suppression"} | {chain for name, chain in expected.items() if name not in refused}
    assert [record.state for record in result.progress if record.chain == "discover"] == ["done"]
