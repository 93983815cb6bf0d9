"""What a job's page counts and draws of receipts, and how fast an import is."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kafka.settings import KafkaSettings
from schemas.audience_delivery import DeliveryReceipt
from schemas.import_task import ChainProgress, RunProgress, Tally
from streams.console.pages.job_pages import plotted
from streams.console.plots import bars_over_time, latency_over_time
from streams.control.import_runs import MAX_RUNS, ImportRuns
from streams.control.receipts import ReceiptWindow, chosen, counted, over_time

KAFKA = KafkaSettings(_env_file=None, bootstrap_servers="localhost:1")
NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)


def receipt(seconds_ago: float, **values: Any) -> DeliveryReceipt:
    body = {"job_id": "e", "list_id": "l", "email": "ann@example.com", "outcome": "added", **values}
    body |= {"at": (NOW - timedelta(seconds=seconds_ago)).isoformat()}
    return DeliveryReceipt.model_validate({**body, "source": {"topic": "t", "partition": 0, "offset": 1}}, strict=False)


def test_receipts_are_counted_and_chosen_by_outcome_and_reason() -> None:
    found = [receipt(1), receipt(2), receipt(3, outcome="refused", reason="bounced")]
    assert counted(found) == [("added", "", 2), ("refused", "bounced", 1)]
    assert len(chosen(found, "", "")) == 3
    assert chosen(found, "refused", "") == chosen(found, "", "bounced") == found[2:]
    assert chosen(found, "added", "bounced") == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-10, 4000), st.none() | st.integers(0, 10**6)), max_size=30), st.integers(1, 60))
def test_made_of_the_time_is_in_one_slot(rows: list[tuple[float, int | None]], slots: int) -> None:
    found = [receipt(ago, latency_ms=latency) for ago, latency in rows]
    since = NOW - timedelta(hours=1)
    drawn = over_time(found, since, NOW, slots)
    assert len(drawn) == slots
    assert sum(slot.receipts for slot in drawn) == sum(since <= made.at <= NOW for made in found)
    for slot in drawn:
        assert slot.median_ms is None or slot.median_ms <= (slot.high_ms or 0)
    for plot in (bars_over_time("Rate <1>", drawn, NOW), latency_over_time("Latency", drawn, NOW)):
        assert "<1>" not in plot
        assert not re.search(r"nan|inf|style=", plot)


@pytest.mark.parametrize(
    ("ago", "since", "first", "last"),
    [
        ([], None, 3600, 0),
        ([10, 20], None, 20, 0),
        ([10, 20], 15, 15, 0),
        ([10, 9000], None, 3600, 0),
        ([8000, 9000], None, 9000, 8000),
        ([8000, 9000], 8500, 8500, 8000),
    ],
)
def test_plots_show_the_time_of_which_all_receipts_were_read(
    ago: list[int], since: int | None, first: int, last: int
) -> None:
    window = ReceiptWindow([*map(receipt, ago)], None if since is None else NOW - timedelta(seconds=since))
    assert plotted(window, NOW) == (NOW - timedelta(seconds=first), NOW - timedelta(seconds=last))


def chain(run: int, rows: int, name: str = "users/l/active") -> ChainProgress:
    body = {"job_id": "i", "run": run, "chain": name, "state": "open", "step": 1, "started_at": NOW, "updated_at": NOW}
    return ChainProgress.model_construct(**body, tally=Tally(rows=rows))


def test_the_rate_is_that_of_the_last_minute() -> None:
    now = [0.0]
    runs = ImportRuns(KAFKA, lambda: now[0])
    runs.merge(chain(1, 500))
    runs._follows_since = 0.0
    now[0] = 10.0
    assert runs.rate("i") == 0, "what was published before is not counted"
    runs.merge(chain(1, 600))
    runs.merge(chain(1, 50, "users/l/deleted"))
    assert runs.rate("i") == 15
    now[0] = 65.0
    runs.merge(chain(2, 60))
    assert runs.rate("i") == pytest.approx(210 / 60)
    now[0] = 71.0
    assert runs.rate("i") == 1, "a minute later it does not count"


def test_the_newest_runs_are_kept_by_their_last_state() -> None:
    runs = ImportRuns(KAFKA)
    for number in range(1, MAX_RUNS + 3):
        for state in ("open", "done"):
            body = {"job_id": "i", "run": number, "planned_at": NOW, "started_at": NOW}
            runs.merge(RunProgress.model_validate({**body, "state": state}))
    assert [run.run for run in runs.runs("i")] == [*range(MAX_RUNS + 2, 2, -1)]
    assert {run.state for run in runs.runs("i")} == {"done"}
    assert (runs.runs("other"), runs.of("i")) == ([], None)
