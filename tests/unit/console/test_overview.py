"""What needs attention with what repairs it, and how often the collector reads."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.campaign_monitor.access import access_problem
from connectors.campaign_monitor.errors.verdicts import NotFound, Unauthorised
from connectors.importer.tasks.plan import NOT_READ
from connectors.kafka.settings import KafkaSettings
from schemas.control import Authorization, ExportJob, ImportJob
from streams.console.live import collector
from streams.console.live.collector import FlowCollector
from streams.console.pages.needs import MAX_NEEDS, first_needs, job_needs, need_of
from streams.console.reads import Reads
from streams.control.flows import FlowReading
from streams.export.lists.attention import REMOVALS, SEGMENTS, VALUES, WAITS, note
from streams.export.rules.outcome import classify
from streams.export.sending.connections import ADDS_THEM

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
JOB: dict[str, Any] = {"authorization_id": "a", "client_id": "c", "created_at": NOW, "updated_at": NOW}
KAFKA = KafkaSettings(_env_file=None, bootstrap_servers="localhost:1")


EXPORT: dict[str, Any] = {**JOB, "list_id": "l", "started_at": NOW}
ACCOUNT = Authorization(id="a", kind="oauth", sealed="", key_id="k", updated_at=NOW)
LATER = ACCOUNT.model_copy(update={"updated_at": NOW + timedelta(seconds=1)})
IS_GONE = classify(NotFound(101, "list"), 1, 0.0)
REVOKED = access_problem("a", Unauthorised(122, "reconnect"), oauth=True)
UNREAD = NOT_READ + "News: no answer"


@pytest.mark.parametrize("state", ["running", "stopped"])
@pytest.mark.parametrize(
    ("attention", "account", "path", "role", "is_form"),
    [
        (f"12 removals. {REMOVALS}", ACCOUNT, "/jobs/e/confirm-removals", "operator", True),
        (f"12. {REMOVALS} {note(SEGMENTS, {'A': ''}, '.')}", ACCOUNT, "/jobs/e/confirm-removals", "operator", True),
        (IS_GONE.why, ACCOUNT, "/jobs/e/edit", "operator", False),
        ("there is no such authorization", None, "/jobs/e/edit", "operator", False),
        (REVOKED, ACCOUNT, "/authorizations/a/login", "admin", False),
        (note(SEGMENTS, {"A": "no"}, "."), ACCOUNT, "/jobs/e/edit", "operator", False),
        (f"busy {note(SEGMENTS, {'A': 'no'}, '.')}", ACCOUNT, "/jobs/e", "viewer", False),
        (note(VALUES, {"A": "no"}, "."), ACCOUNT, "/jobs/e", "viewer", False),
        (note(WAITS, {"b": ""}, ADDS_THEM), ACCOUNT, "/jobs/e", "viewer", False),
        ("something else", ACCOUNT, "/jobs/e", "viewer", False),
    ],
)
def test_an_export_that_needs_a_person_has_the_click_that_repairs_it(
    state: str, attention: str, account: Authorization | None, path: str, role: str, is_form: bool
) -> None:
    """A start repairs none of these: an export that is stopped has the same click."""
    job = ExportJob(**EXPORT, id="e", state=state, attention=attention)
    [need] = job_needs([job], {"a": account} if account else {})
    assert (need.path, need.role, need.form is not None) == (path, role, is_form)


def test_an_export_is_started_whose_authorization_was_renewed_while_it_was_stopped() -> None:
    stopped = ExportJob(**EXPORT, id="e", state="stopped", attention=REVOKED)
    assert [need.path for need in job_needs([stopped], {"a": LATER})] == ["/jobs/e/start"]


@pytest.mark.parametrize(
    ("state", "attention", "path"),
    [
        ("running", UNREAD, "/jobs/i/run"),
        ("stopped", UNREAD, "/jobs/i/start"),
        ("running", f"{UNREAD}\nWebhooks: set WEBHOOK_PUBLIC_URL", "/jobs/i/run"),
        ("running", "Webhooks: set WEBHOOK_PUBLIC_URL", "/jobs/i"),
    ],
)
def test_an_import_that_could_not_read_everything_reads_again(state: str, attention: str, path: str) -> None:
    [need] = job_needs([ImportJob(**JOB, id="i", state=state, attention=attention)], {"a": ACCOUNT})
    assert need.path == path


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_jobs_own_page_names_the_repair(state: str) -> None:
    gone = ExportJob(**EXPORT, id="e", state=state, attention=IS_GONE.why)
    need = need_of(gone, ACCOUNT)
    assert need is not None
    assert (need.label, need.path, need.form) == ("Choose another list", "/jobs/e/edit", None)
    ended = need_of(gone, ACCOUNT.model_copy(update={"problem": "it was revoked"}))
    assert ended is not None
    assert ended.label == "Log in again", "nothing else helps before"
    assert need_of(ExportJob(**EXPORT, id="e", state=state, attention="something else"), ACCOUNT) is None
    assert need_of(ExportJob(**EXPORT, id="e", state=state), ACCOUNT) is None


def test_of_many_jobs_that_need_a_person_the_first_are_shown_and_a_link_to_all() -> None:
    jobs = [ExportJob(**EXPORT, id=f"e{number}", attention=IS_GONE.why) for number in range(MAX_NEEDS + 5)]
    needs = [*job_needs(jobs, {"a": ACCOUNT})]
    *shown, last = first_needs(needs)
    assert shown == needs[:MAX_NEEDS]
    assert (last.text, last.path) == ("5 more jobs need attention.", "/jobs?state=attention")
    assert first_needs(needs[: MAX_NEEDS + 1]) == needs[: MAX_NEEDS + 1]


def test_a_job_that_asks_for_nothing_is_not_shown() -> None:
    jobs = [ImportJob(**JOB, id="i"), ExportJob(**EXPORT, id="e", state="stopped")]
    assert not [*job_needs(jobs, {"a": ACCOUNT})]


class Reader:
    """Counts readings."""

    def __init__(self) -> None:
        self.readings = 0

    def read(self, now: float) -> FlowReading:
        """Nothing is behind."""
        self.readings += 1
        return FlowReading(now, {}, [], {})

    def letters(self) -> list[Any]:
        """None wait."""
        return []

    def close(self) -> None:
        """Nothing is open."""


def test_dead_letters_are_not_said_to_be_none_before_they_are_counted() -> None:
    assert FlowCollector(KAFKA, Reads(), clock=lambda: 0.0).letters is None


async def test_nobody_looks_and_readings_are_rare_until_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "READ_SECONDS", 0.01)
    monkeypatch.setattr(collector, "IDLE_SECONDS", 1_000.0)
    reader: Any = Reader()
    async with FlowCollector(KAFKA, Reads(), lambda: 100.0, reader) as collecting, asyncio.timeout(30):
        await collecting.change()
        await asyncio.sleep(0.2)
        assert reader.readings == 1
        collecting.look()
        while reader.readings < 4:
            await collecting.change()
