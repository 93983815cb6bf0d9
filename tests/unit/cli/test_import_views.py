"""What `import run` shows of runs before, and of one that has ended."""

from datetime import UTC, datetime, timedelta

from rich.console import Console

from connectors.importer.overview import earlier_run, overview
from schemas.import_task import RunProgress
from streams.cli.imports import view_of
from streams.cli.jobs import _repeated

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def a_run(state: str, rows: int = 0) -> RunProgress:
    return RunProgress.model_validate(
        {"job_id": "j", "run": 2, "state": state, "rows": rows, "planned_at": NOW, "started_at": NOW}
    )


def shown(run: RunProgress) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(view_of(overview(run, []), 0, NOW, NOW + timedelta(seconds=1)))
    return capture.get()


def test_an_open_run_shows_how_much_is_expected_and_one_that_ended_does_not():
    assert " of 0 rows" in shown(a_run("open"))
    assert " of " not in shown(a_run("done")).replace("of\n", "").split("run 2")[1]


def test_what_earlier_runs_have_published_is_shown_before_the_run():
    assert earlier_run(a_run("open")) == "Run 2 is under way."
    text = "Run 2 has published 4,711 rows; the next run reads what is new since then."
    assert earlier_run(a_run("done", 4711)) == text


def test_a_full_read_says_what_comes_again():
    assert _repeated(0, 0, 0, of_all=True) == "Nothing was read to its end yet, so nothing comes again."
    text = "It publishes again, marked as repeat: all people of 10 listings, and 1,234 rows of 6 reports."
    assert _repeated(10, 6, 1234, of_all=True) == text
    assert "at most 1,234 rows" in _repeated(10, 6, 1234, of_all=False), "rows of lists that it does not name are read"
