"""What pages show, in words: rates, times, states, what was changed meanwhile, and what a plot shows."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.control import AuditRecord, ChangedField, ImportJob
from streams.console.context import utc_text
from streams.console.live.plots import rate_text
from streams.console.pages.job_edit_page import meanwhile
from streams.console.pages.job_pages import state_of
from streams.console.plots import latency_over_time
from streams.control.job_edits import OptionChange
from streams.control.letters import PlaceError, choice
from streams.control.receipts import TimeSlot

TEMPLATES = Path(__file__).parents[3] / "streams" / "console" / "templates"
NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
JOB: dict[str, Any] = {"id": "i", "authorization_id": "a", "client_id": "c", "created_at": NOW, "updated_at": NOW}


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "not known yet"),
        (0, "0 a second"),
        (1234.4, "1,234 a second"),
        (9.96, "10 a second"),
        (2.25, "2.2 a second"),
        (1, "1 a second"),
        (1 / 30, "2 a minute"),
        (0.0003, "1.1 an hour"),
        (0.00001, "less than 1 an hour"),
    ],
)
def test_a_rate_in_words(rate: float | None, text: str) -> None:
    assert rate_text(rate) == text


@given(st.floats(1e-9, 1e9))
def test_only_no_rate_is_shown_as_0(rate: float) -> None:
    assert not re.match(r"0[ .]", rate_text(rate))


def test_times_of_records_and_of_letters_look_alike() -> None:
    assert utc_text("2026-05-02T12:00:00.000Z") == utc_text(NOW) == "2026-05-02 12:00:00"


@pytest.mark.parametrize(
    ("state", "attention", "text"),
    [
        ("running", None, "running"),
        ("running", "x", "needs attention"),
        ("stopped", None, "stopped"),
        ("stopped", "x", "stopped, needs attention"),
    ],
)
def test_the_state_of_a_job_in_words(state: str, attention: str | None, text: str) -> None:
    assert state_of(ImportJob(**JOB, state=state, attention=attention)) == text


def test_a_stale_edit_names_who_changed_each_option_last_where_that_is_recorded() -> None:
    def made(who: str, field: str) -> AuditRecord:
        changes = [ChangedField(field=field, before="1", after="2")]
        return AuditRecord(at=NOW, who=who, via="console", kind="job", id="i", action="edit", changes=changes)

    history = [made("ann", "name"), made("bob", "name"), made("bob", "lists")]
    changes = [OptionChange(field, "1", "2") for field in ("name", "lists", "since")]
    _sentence, *lines = meanwhile(changes, history)
    assert [line.partition("2")[2] for line in lines] == [
        " (ann, 2026-05-02 12:00:00 UTC)",
        " (bob, 2026-05-02 12:00:00 UTC)",
        "",
    ]


def test_a_place_that_is_none_is_in_quotes() -> None:
    with pytest.raises(PlaceError, match=r'^"" is not PARTITION:OFFSET'):
        choice([""])


def test_a_plot_of_latency_shows_every_value_and_what_its_bars_are() -> None:
    slots = [TimeSlot(NOW + timedelta(minutes=number), 1, 10, 20) for number in range(3)]
    slots[1] = TimeSlot(NOW + timedelta(minutes=1), 0, None, None)
    plot = latency_over_time("Latency", slots, NOW + timedelta(minutes=3))
    assert (plot.count('<rect class="bar"'), plot.count('<rect class="high"')) == (2, 2)
    assert "20 ms at most, from 12:00:00 to 12:03:00 UTC" in plot
    assert plot.index("the median") > plot.index('class="key bar"') > plot.index("95 of 100 are below")
    assert plot.rindex("20 ms at most") < plot.index('class="key high"'), "words first, then what the bars are"
    assert "<text" not in plot, "text in a drawing that is stretched is not readable on a phone"


def test_a_plot_without_a_value_is_not_one_of_zeros() -> None:
    empty = [TimeSlot(NOW, 0, None, None)]
    assert "nothing, from" in latency_over_time("Latency", empty, NOW + timedelta(minutes=1))


def test_tables_are_made_in_one_place() -> None:
    """There they can be scrolled on a phone, by keyboard, and have a name."""
    made = [path.name for path in TEMPLATES.glob("*.html") if "<table" in path.read_text(encoding="utf-8")]
    assert made == ["parts.html"]
