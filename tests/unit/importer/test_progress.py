"""Progress records as a table, and how far a run is, as people see it."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.importer.overview import overview
from connectors.importer.progress import ProgressTable
from schemas.import_task import ChainProgress, Mark, RunProgress, Tally, key_of

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)


def run(**change) -> RunProgress:
    return RunProgress(**{"job_id": "j", "run": 2, "state": "open", "planned_at": NOW, "started_at": NOW, **change})


def chain(name: str, group: str = "list News", **change) -> ChainProgress:
    values = {"job_id": "j", "run": 2, "chain": name, "group": group, "started_at": NOW, "updated_at": NOW}
    return ChainProgress(**{**values, **change})


def test_lines_are_lists_and_campaigns_and_open_ones_come_first():
    found = overview(
        run(),
        [
            chain("users/l/active", tally=Tally(rows=10, rows_total=100, pages=1)),
            chain("users/l/deleted", state="done", tally=Tally(rows=3, rows_total=3, pages=1)),
            chain("report/k/opens", "campaign A", state="done", tally=Tally(rows=7, rows_total=50, repeats=43)),
            chain("report/k/clicks", "campaign A", state="failed", problem="removed"),
            chain("users/old/active", "list Old", run=1, tally=Tally(rows=99)),
        ],
    )
    news, campaign = found.lines
    assert (news.group, news.rows, news.expected) == ("list News", 13, 103)
    assert (news.done, news.chains, news.ended) == (1, 2, False)
    assert (campaign.rows, campaign.expected, campaign.failed, campaign.problem) == (7, 7, 1, "removed")
    assert campaign.ended
    assert (found.rows, found.expected) == (20, 110)
    assert found.left(10) == timedelta(seconds=9)
    assert found.left(0) is None


def test_parts_of_a_long_read_count_its_total_once():
    parts = [
        chain("users/l/active", tally=Tally(rows=100, rows_total=1000)),
        chain("users/l/active#1", tally=Tally(rows=50, rows_total=1000)),
    ]
    found = overview(run(), parts)
    assert (found.rows, found.expected) == (150, 1000)


def test_a_catch_up_adds_to_what_was_read():
    swept = NOW + timedelta(minutes=1)
    chains = [
        chain("users/l/active", tally=Tally(rows=2), started_at=swept),
        chain("report/k/opens", "campaign A", state="done", tally=Tally(rows=7)),
    ]
    assert overview(run(swept_at=swept, rows=500), chains).rows == 502


@pytest.mark.parametrize("job", ["j", "acme:news", ":", "a::b"])
def test_what_is_kept_for_a_job_is_forgotten_by_its_keys(job):
    table = ProgressTable()
    mark = Mark(job_id=job, run=2, chain="report/k/opens", accounted=40)
    records = [mark, chain("report/k/opens", tally=Tally(rows=10, left_out=5)), chain("users/l/active"), run()]
    records = [record.model_copy(update={"job_id": job}) for record in records]
    for record in records:
        table.apply(key_of(record), record.to_bytes())
    assert table.accounted(job, "report/k/opens") == 40
    assert table.accounted(job, "report/k/clicks") == 0
    assert set(table.waiting(job)) == {record.chain for record in records[1:3]}
    for key in table.keys(job):
        table.apply(key, None)
    assert not table.keys(job)
    assert not table.waiting(job)
    assert not table.jobs()
