"""Gaps of webhooks: none is left out when another one is found meanwhile; one that failed is filled by the next run."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import ClientDetails, ListRef, Page
from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.overview import overview
from connectors.importer.progress import ProgressTable
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import expand, plan
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.page import TaskResult, read_page
from connectors.importer.tasks.plan import requested
from connectors.importer.translate import RowTranslator
from schemas.control import ImportJob
from schemas.envelope import rfc3339
from schemas.import_task import ChainProgress, ImportTask, RunProgress, key_of

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
ZONE = "(GMT) Coordinated Universal Time"
DATES = ClientDates.of(ZONE)
CLIENT = ClientDetails("c", "Acme", ZONE, "BE", {})
JOB = ImportJob(id="j", authorization_id="a", client_id="c", created_at=NOW, updated_at=NOW)
STATES = ("active", "unconfirmed", "unsubscribed", "bounced", "deleted")


def gap(since: datetime) -> ImportTask:
    return ImportTask(
        job_id="j", run=0, chain="gap/l", kind="gap", list_ids=["l"], since=rfc3339(since), started_at=NOW
    )


def context(table: ProgressTable, task: ImportTask, now: datetime = NOW) -> ExpansionContext:
    return ExpansionContext(JOB, task, table, ImporterSettings(), now)


def commit(table: ProgressTable, result: TaskResult) -> None:
    for record in result.progress:
        table.apply(key_of(record), record.to_bytes())
    for key in result.deleted:
        table.apply(key, None)


def end(table: ProgressTable, chain: ChainProgress, state: str) -> None:
    change = {"state": state, "problem": "no" if state == "failed" else None}
    table.put(chain.model_copy(update=change | ({"task": None} if state == "done" else {})))


def fill(table: ProgressTable) -> None:
    """Take the steps that begin the five reads of a gap."""
    open_gap = table.waiting("j").get("gap/l")
    if open_gap is None or open_gap.task is None:
        return
    since = datetime.fromisoformat(open_gap.task.since or "")
    commit(table, expand.gap(context(table, open_gap.task), CLIENT, DATES, [ListRef("l", "News")], since))


def discover(table: ProgressTable, run: int, *lists: str) -> TaskResult:
    task = ImportTask(job_id="j", run=run, chain="discover", kind="discover", started_at=NOW)
    refs = [ListRef(name, name) for name in lists]
    return expand.discover(context(table, task), CLIENT, DATES, refs, None, [])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("gap"), st.integers(1, 500)),
            st.tuples(st.just("fill"), st.just(0)),
            st.tuples(st.sampled_from(["done", "failed", "parked"]), st.integers(0, 5)),
            st.tuples(st.just("run"), st.just(0)),
        ),
        max_size=25,
    )
)
@example([("gap", 100), ("failed", 5), ("gap", 1)])
@example([("gap", 2), ("fill", 0), ("gap", 1), ("done", 0)])
@example([("gap", 2), ("fill", 0), ("gap", 1), ("failed", 0)])
def test_every_state_is_read_from_the_beginning_of_the_oldest_gap_that_was_not_filled(acts):
    table, runs = ProgressTable(), 0
    unfilled: dict[str, datetime] = {}
    for act, number in acts:
        match act:
            case "gap":
                since = NOW - timedelta(hours=number)
                commit(table, requested(gap(since), table))
                unfilled = {state: min(since, unfilled.get(state, since)) for state in STATES}
            case "fill":
                fill(table)
            case "run":
                runs += 1
                commit(table, discover(table, runs, "l"))
            case state:
                name = "gap/l" if number == 5 else f"gap/l/{STATES[number]}"
                chain = table.waiting("j").get(name)
                if chain is not None and not (number == 5 and state == "done"):
                    end(table, chain, state)
                    if state == "done":
                        later = table.chains("j").get("gap/l")  # what was asked for since then is still to be read
                        if later is None or later.task is None:
                            del unfilled[STATES[number]]
                        else:
                            unfilled[STATES[number]] = datetime.fromisoformat(later.task.since or "")
    commit(table, discover(table, runs + 1, "l"))
    fill(table)
    for state in STATES:
        chain = table.waiting("j").get(f"gap/l/{state}")
        start = chain.task.cursor.known_from if chain is not None else None
        if state in unfilled:
            assert start is not None
            assert start <= DATES.date_from(unfilled[state])


def test_a_gap_that_failed_is_a_problem_of_runs_until_it_is_filled_or_its_list_is_not_wanted():
    table = ProgressTable()
    commit(table, requested(gap(NOW - timedelta(days=2)), table))
    fill(table)
    end(table, table.chains("j")["gap/l/active"], "failed")
    for state in STATES[1:]:
        end(table, table.chains("j")[f"gap/l/{state}"], "done")
    run = RunProgress(job_id="j", run=4, state="open", swept_at=NOW, planned_at=NOW, started_at=NOW)
    chains = list(table.chains("j").values())
    ended = plan.next_action(JOB, run, {}, chains, NOW)
    assert isinstance(ended, plan.FinishRun)
    assert (ended.run.state, ended.run.problems, ended.run.rows) == ("incomplete", 1, 0)
    (attention,) = plan.attention_change(JOB, ended.run, chains) or ("",)
    assert "missed: active" in (attention or "")
    assert [line.failed for line in overview(run, chains).lines] == [1]
    assert [begun.chain for begun in discover(table, 5, "l").tasks if begun.chain.startswith("gap/")] == [
        "gap/l/active"
    ]
    gone = discover(table, 5, "other")
    assert gone.deleted == [b"chain:j:gap/l/active"]


@given(st.lists(st.integers(-30, 300), max_size=12), st.integers(0, 120), st.sampled_from(STATES))
def test_of_a_gap_only_what_happened_in_it_is_no_repeat(minutes, length, state):
    """Profiles forget the ids of events after 8 days, and would count twice what they had before the gap."""
    since, table = NOW - timedelta(minutes=length), ProgressTable()
    commit(table, requested(gap(since), table))
    fill(table)
    task = table.chains("j")[f"gap/l/{state}"].task
    assert task is not None
    assert task.source is not None
    happened = sorted(NOW - timedelta(minutes=minute) for minute in minutes)
    rows = [{"EmailAddress": "a@b.example", "Date": f"{at:%Y-%m-%d %H:%M}:00"} for at in happened]
    translator = RowTranslator(task.source, "j", DATES, "")
    page = Page(rows, "date", "asc", 1, 1000, len(rows), len(rows), 1)
    read = read_page(task, page, translator, 1)
    published = [orjson.loads(row.record.value) for row in read.new_rows if row.record is not None]
    if state == "unconfirmed":
        assert published == []
        return
    within = {rfc3339(at) for at in happened if at >= since}
    shortly_before = {rfc3339(at) for at in happened if since - timedelta(minutes=10) <= at < since}
    assert {value["at"] for value in published if not value.get("repeat")} == within
    assert {value["at"] for value in published if value.get("repeat")} == shortly_before


@pytest.mark.parametrize("state", ["open", "parked", "failed"])
def test_a_gap_that_is_found_before_another_one_is_filled_begins_where_that_one_did(state):
    table = ProgressTable()
    commit(table, requested(gap(NOW - timedelta(days=9)), table))
    fill(table)
    end(table, table.chains("j")["gap/l/active"], state)
    commit(table, requested(gap(NOW - timedelta(hours=1)), table))
    fill(table)
    chain = table.chains("j")["gap/l/active"]
    assert chain.task is not None
    assert chain.task.cursor is not None
    assert chain.task.cursor.known_from == "2026-05-23T11:50"
