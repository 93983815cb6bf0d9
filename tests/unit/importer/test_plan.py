"""When runs begin and end."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.client.entities import ListRef, SegmentRef
from connectors.importer.progress import ProgressTable
from connectors.importer.tasks import plan, sources
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, ImportTask, RunProgress, Tally

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def job(**change) -> ImportJob:
    values = {"id": "j", "authorization_id": "a", "client_id": "c", "keep_updated": True}
    return ImportJob(**{**values, "created_at": NOW, "updated_at": NOW, **change})


def run(**change) -> RunProgress:
    values = {"job_id": "j", "run": 1, "state": "open", "planned_at": NOW, "started_at": NOW}
    return RunProgress(**{**values, **change})


def chain(name: str = "discover", **change) -> ChainProgress:
    values = {"job_id": "j", "run": 1, "chain": name, "started_at": NOW, "updated_at": NOW}
    return ChainProgress(**{**values, **change})


def act(job, run, chains=(), now=NOW):
    waiting = {chain.chain: chain for chain in chains if chain.state in ("open", "parked")}
    return plan.next_action(job, run, waiting, chains, now)


def test_a_new_job_runs_at_once_and_reads_everything():
    started = act(job(), None)
    assert isinstance(started, plan.StartRun)
    assert (started.run.run, started.run.full, started.task.kind, started.task.full) == (1, True, "discover", True)


def test_one_run_at_a_time():
    assert act(job(), run(), [chain(state="open")], NOW + 10 * HOUR) is None
    assert act(job(full_read=3), run(), [chain(state="open")], NOW + 10 * HOUR) is None


def test_a_stopped_job_does_nothing_and_goes_on_where_it_stopped():
    parked = chain(state="parked", task=plan._discover(job(), run(), NOW))
    assert act(job(state="stopped"), run(), [parked]) is None
    assert act(job(state="stopped"), None) is None
    assert act(job(), run(), [parked]) is None, "its partition goes on with it"


def test_a_full_read_is_followed_by_a_catch_up_then_ended():
    read = chain("users/l/active", state="done", full=True, tally=Tally(rows=5))
    swept = act(job(), run(), [read], NOW + timedelta(seconds=30))
    assert isinstance(swept, plan.StartCatchUp)
    assert swept.task.sweep
    assert not swept.task.full
    assert swept.task.list_ids == ["l"], "lists that were not read as a whole need no catch-up"
    later = NOW + timedelta(minutes=1)
    again = chain("users/l/active", state="done", tally=Tally(rows=1), started_at=later)
    report = chain("report/k/opens", state="done", tally=Tally(rows=3))
    ended = act(job(), swept.run.model_copy(update={"rows": 8}), [again, report], later)
    assert isinstance(ended, plan.FinishRun)
    assert (ended.run.state, ended.run.rows, ended.run.next_at) == ("done", 9, NOW + HOUR)


def test_an_increment_has_no_catch_up_and_failures_are_counted():
    chains = [chain("users/l/active", state="done"), chain("report/k/opens", state="failed"), chain("old", run=0)]
    ended = act(job(), run(), [read.model_copy(update={"state": read.state}) for read in chains[:2]])
    assert isinstance(ended, plan.FinishRun)
    assert (ended.run.problems, ended.run.state) == (1, "incomplete")


def test_what_could_not_be_read_is_named_as_attention_until_it_could():
    failed = [chain("report/k/opens", state="failed", group="campaign A", label="opens", problem="no permission")]
    found = plan.attention_change(job(), run(), failed)
    assert found == ("The last import could not read everything: campaign A, opens: no permission",)
    asking = job(attention=found[0])
    assert plan.attention_change(asking, run(), failed) is None
    assert plan.attention_change(asking, run(run=2, state="done"), failed) == (None,)
    assert plan.attention_change(job(), run(run=2, state="done"), failed) is None
    assert plan.attention_change(asking, run(run=2), failed) is None, "only the end of a run shows that all was read"
    assert plan.attention_change(job(attention="Webhooks: no URL"), run(), failed) == found
    both = job(attention=f"Webhooks: no URL\n{found[0]}")
    assert plan.attention_change(both, run(), failed) is None
    assert plan.attention_change(both, run(run=2, state="done"), failed) == (None,)
    assert plan.attention_change(job(), run(), failed * 5)[0].endswith("; and 2 more")


def test_what_waits_with_a_problem_is_named_while_the_run_is_open_and_its_job_runs():
    failed = [chain("report/k/opens", state="failed", group="campaign A", label="opens", problem="no permission")]
    waiting = [
        chain("discover", state="parked", group="list A", label="active", problem="refused"),
        chain("users/l/deleted", state="parked"),
        chain("users/l/active"),
    ]
    found = plan.attention_change(job(), run(), failed, waiting)
    assert found == ("The import waits and tries again: list A, active: refused",)
    asking = job(attention=found[0])
    assert plan.attention_change(asking, run(), failed, waiting) is None
    assert plan.attention_change(asking, run(), [], waiting[1:]) == (None,)
    assert plan.attention_change(asking, run(), failed, [])[0].startswith("The last import could not read")
    assert plan.attention_change(job(), run(state="done"), [], waiting) is None
    assert plan.attention_change(job(state="stopped", attention=found[0]), run(), [], waiting) == (None,)
    assert plan.attention_change(job(attention="Webhooks: no URL"), run(), [], waiting) == found


def test_a_job_that_is_not_kept_updated_runs_once_unless_requested():
    done = run(state="done", finished_at=NOW)
    assert act(job(keep_updated=False), done, now=NOW + 10 * HOUR) is None
    assert isinstance(act(job(keep_updated=False), done.model_copy(update={"requested": True})), plan.StartRun)
    full = act(job(keep_updated=False, full_read=1), done)
    assert isinstance(full, plan.StartRun)
    assert full.task.full
    switched_on = act(job(), done)
    assert switched_on == plan.RescheduleRun(done.model_copy(update={"next_at": NOW + HOUR}))


@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=40), st.integers(60, 7200))
def test_runs_do_not_drift_and_never_overlap(durations, interval):
    kept = job(interval_seconds=interval)
    planned, now = NOW, NOW
    for seconds in durations:
        finished = now + timedelta(seconds=seconds)
        following = plan.next_at(kept, run(planned_at=planned), finished)
        assert following is not None
        assert following > finished - timedelta(seconds=0)
        assert (following - NOW) % timedelta(seconds=interval) == timedelta(0)
        assert following - finished <= timedelta(seconds=interval)
        planned = now = following


def test_campaigns_cool_down():
    def due(age: timedelta, since_check: timedelta | None) -> bool:
        checked = None if since_check is None else NOW - since_check
        days = {"hot": timedelta(hours=72), "warm": timedelta(days=30), "interval": HOUR}
        return plan.campaign_is_due(NOW - age, checked, NOW, **days)

    assert due(timedelta(days=300), None)
    assert due(timedelta(hours=71), timedelta(minutes=1))
    assert not due(timedelta(days=4), timedelta(hours=20))
    assert due(timedelta(days=4), timedelta(hours=23, minutes=45))
    assert not due(timedelta(days=40), timedelta(days=6))
    assert due(timedelta(days=40), timedelta(days=7))


def test_tasks_and_progress_survive_the_topic():
    started = act(job(), None)
    assert ImportTask.from_bytes(started.task.to_bytes()) == started.task.model_copy(update={"started_at": NOW})


def test_lists_have_names_also_where_a_campaign_was_sent_to_segments():
    known = [ListRef("a", "News"), ListRef("b", "Offers"), ListRef("c", "Other")]
    segments = [
        SegmentRef("b", "s1", "Ghent"),
        SegmentRef("b", "s2", "Bruges"),
        SegmentRef("x", "s3", "Of one deleted"),
    ]
    assert sources.audience_names([known[0]], segments, known) == {"a": "News", "b": "Offers", "x": ""}
    assert sources.audience_names([known[0]], [], []) == {"a": "News"}


def waits(name: str = "report/k/opens", attempt: int = 3, **change) -> ChainProgress:
    task = ImportTask(job_id="j", run=1, chain=name, kind="read", attempt=attempt, started_at=NOW)
    values = {"state": "parked", "problem": "500", "retry_at": NOW + HOUR + timedelta(minutes=1), "task": task}
    return chain(name, **{**values, **change})


@pytest.mark.parametrize(
    ("change", "waiting", "minutes", "left"),
    [
        ({}, [waits()], 60, True),
        ({}, [waits(), waits("users/l/active")], 60, True),
        ({}, [waits()], 59, False),
        ({}, [waits(attempt=2)], 60, False),
        ({}, [waits(attempt=1, retry_at=NOW + 30 * HOUR)], 60, True),
        ({}, [waits(), chain("users/l/active")], 60, False),
        ({}, [waits(), waits("users/l/active", problem=None)], 60, False),
        ({}, [], 60, False),
        ({"keep_updated": False}, [waits()], 600, False),
        ({"keep_updated": False, "full_read": 1}, [waits(attempt=1)], 1, True),
        ({"state": "stopped"}, [waits()], 60, False),
    ],
)
def test_what_waits_with_a_problem_does_not_hold_up_the_next_run(change, waiting, minutes, left):
    now = NOW + timedelta(minutes=minutes)
    found = plan.left_to_next_run(job(**change), run(), waiting, now)
    assert [chain.chain for chain in found] == ([chain.chain for chain in waiting] if left else [])
    assert all(chain.state == "failed" and chain.task is not None and chain.problem for chain in found)
    assert not plan.left_to_next_run(job(**change), run(state="done"), waiting, now)


def test_a_run_that_only_waits_can_be_followed_by_one_that_is_asked_for():
    asked = ImportTask(job_id="j", run=0, chain="start", kind="start", started_at=NOW)
    table = ProgressTable()
    table.put(run())
    table.put(chain("users/l/active"))
    assert not plan.requested(asked, table).progress, "it is under way"
    table.put(waits("users/l/active", attempt=1))
    (following,) = plan.requested(asked, table).progress
    assert plan.left_to_next_run(job(keep_updated=False), following, [waits(attempt=1)], NOW)
    assert act(job(keep_updated=False), following, [waits(state="failed")]).run.requested, "its end keeps the request"
