"""A job that asks for more than before: what is missing is read, and nothing is published a second time."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.importer.readers import by_email
from connectors.importer.readers import reader as readers
from connectors.importer.tasks import sources
from schemas.import_task import Mark, Source
from tests.unit.importer.fake_pages import FakePages, ReadLoop, minute

CLICKS = Source(resource="report", client_id="c", time_zone="UTC", campaign_id="k", report="clicks")
RECIPIENTS = CLICKS.model_copy(update={"report": "recipients", "sent_date": minute(0)})
LISTS = ("a", "b", "c")


def row(number: int, at: int, list_id: str) -> dict:
    dated = {"EmailAddress": f"p{number:04}@example.com", "ListID": list_id, "URL": "u", "number": number}
    return dated | ({} if at < 0 else {"Date": minute(at)})


def instant(number: int) -> str:
    return minute(number).replace(" ", "T")


scopes = st.tuples(st.lists(st.sampled_from(LISTS), unique=True), st.sampled_from([None, 0, 1500, 3500]))


@settings(max_examples=150, deadline=None)
@given(
    report=st.sampled_from([CLICKS, RECIPIENTS]),
    rows=st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(LISTS)), max_size=120),
    scope=scopes,
    wider=scopes,
    few=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_wider_read_publishes_what_is_missing_and_only_that(report, rows, scope, wider, few, seed):
    dated = report is CLICKS
    key = (lambda row: (row["Date"], row["number"])) if dated else (lambda row: (row["EmailAddress"],))
    server = FakePages(key)
    server.rows = [row(number, at if dated else -1, list_id) for number, (at, list_id) in enumerate(rows)]

    def source(lists, since) -> Source:
        start = None if since is None else instant(since)[:16]
        return report.model_copy(update={"lists": lists, "since": start, "read_since": start})

    before, after = source(*scope), source(*wider)
    if not dated and before.since and before.since > instant(0):
        return  # the campaign is older than the job reads, so its reports were not read
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(readers, "MAX_REMEMBERED", 3 if few else 5_000)
        narrow = ReadLoop(server, before, seed=seed)
        published = narrow.run()
        mark = narrow.mark.model_copy(update={"lists": before.lists, "since": before.since, "read_since": before.since})
        if sources.covers(mark, after.lists, after.since):
            assert not wanted(server, after, dated) - Counter(_of(narrow.rows))
            return
        loop = ReadLoop(
            server, sources.widened(after, mark), seed=seed, accounted=narrow.accounted, sketch=narrow.sketch
        )
        added = loop.run(widen=before.since == after.since)
        assert not set(published) & set(added)
        assert Counter(_of(loop.rows)) == wanted(server, after, dated) - Counter(_of(narrow.rows))
        following = ReadLoop(server, after, seed=seed, mark=loop.mark, accounted=loop.accounted)
        assert following.run() == [], "and the next run has nothing to do"


def test_who_is_added_after_a_wider_read_of_many_recipients_comes_alone(monkeypatch):
    monkeypatch.setattr(readers, "MAX_REMEMBERED", 3)
    monkeypatch.setattr(by_email, "MAX_REMEMBERED", 3)
    server = FakePages(lambda row: (row["EmailAddress"],))
    server.rows = [row(number, -1, LISTS[number % 2]) for number in range(400)]
    narrow = ReadLoop(server, RECIPIENTS.model_copy(update={"lists": ["a"]}))
    narrow.run()
    mark = narrow.mark.model_copy(update={"lists": ["a"]})
    wide = ReadLoop(server, sources.widened(RECIPIENTS, mark), accounted=narrow.accounted, sketch=narrow.sketch)
    assert len(wide.run(widen=True)) == 200
    server.rows.append(row(999, -1, "a"))
    following = ReadLoop(server, RECIPIENTS, mark=wide.mark, accounted=wide.accounted)
    assert len(following.run()) == 1


def wanted(server: FakePages, source: Source, dated: bool) -> Counter:
    return Counter(
        found["number"]
        for found in server.rows
        if (not source.lists or found["ListID"] in source.lists)
        and (found["Date"].replace(" ", "T") if dated else instant(0)) >= (source.since or "")
    )


def _of(rows: list[dict]) -> list[int]:
    return [found["number"] for found in rows]


@pytest.mark.parametrize(
    ("lists", "since", "asked", "asked_since", "covered"),
    [
        ([], None, ["a"], None, True),
        ([], None, [], "2026-01-01 00:00", True),
        (["a"], None, ["a", "b"], None, False),
        (["a", "b"], None, ["a"], None, True),
        (["a"], None, [], None, False),
        ([], "2026-02-01 00:00", [], "2026-01-01 00:00", False),
        ([], "2026-02-01 00:00", [], None, False),
        ([], "2026-02-01 00:00", [], "2026-03-01 00:00", True),
    ],
)
def test_what_a_mark_covers(lists, since, asked, asked_since, covered):
    mark = Mark(job_id="j", run=1, chain="c", lists=lists, since=since)
    assert sources.covers(mark, asked, asked_since) is covered
