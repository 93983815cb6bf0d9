"""When a job runs, and what a run still has to do: job + progress + now -> the next action (pure).

A run belongs to the owner of one task partition, its home. The home alone starts and ends runs, in transactions of
that partition's producer, so two processes can never start the same run.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.control.jobs import attention_of
from connectors.importer.progress import ProgressTable
from connectors.importer.tasks import gaps
from connectors.importer.tasks.page import TaskResult
from connectors.importer.tasks.sources import DISCOVER, SWEEP
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, ImportTask, RunProgress

DAILY, WEEKLY = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class StartRun:
    """Begin a run."""

    run: RunProgress
    task: ImportTask


@dataclass(frozen=True, slots=True)
class StartCatchUp:
    """Catch up: read what changed on the lists during the full read that is over now."""

    run: RunProgress
    task: ImportTask


@dataclass(frozen=True, slots=True)
class FinishRun:
    """End the run, and plan the next."""

    run: RunProgress


@dataclass(frozen=True, slots=True)
class RescheduleRun:
    """The job's schedule was changed after the run: keep the new time."""

    run: RunProgress


RunAction = StartRun | StartCatchUp | FinishRun | RescheduleRun


def next_action(
    job: ImportJob,
    run: RunProgress | None,
    waiting: Mapping[str, ChainProgress],
    read_in_run: Iterable[ChainProgress],
    now: datetime,
) -> RunAction | None:
    """Return what is to be done for a job now, None when nothing is.

    `waiting`: the job's open and parked chains by name; `read_in_run`: its chains of the current run, ended ones too.
    """
    if job.state == "stopped":
        return None
    if run is None:
        return _start(job, 1, now, now, full=True)
    if run.state == "open":
        return _in_run(job, run, waiting, read_in_run, now)
    if run.requested or job.full_read > run.full_read:
        return _start(job, run.run + 1, now, now, full=job.full_read > run.full_read)
    due_at = next_at(job, run, run.finished_at or now)
    if due_at != run.next_at:
        return RescheduleRun(run.model_copy(update={"next_at": due_at}))
    if run.next_at is not None and run.next_at <= now:
        return _start(job, run.run + 1, run.next_at, now, full=False)
    return None


def next_at(job: ImportJob, run: RunProgress, finished: datetime) -> datetime | None:
    """Return when the run after this one begins: a whole number of intervals after this one was planned to begin.

    So it does not drift. A run that took longer than the interval skips the times that it missed.
    """
    if not job.keep_updated:
        return None
    interval = timedelta(seconds=job.interval_seconds)
    missed = max(0, (finished - run.planned_at) // interval)
    return run.planned_at + interval * (missed + 1)


def left_to_next_run(
    job: ImportJob, run: RunProgress | None, waiting: Iterable[ChainProgress], now: datetime
) -> list[ChainProgress]:
    """Return the chains that wait with a problem, as failed, when nothing else of a run is open and another is due.

    The next one goes on with them; else a single report that is never answered would hold up all that is new. When no
    person asks for it, what may soon be read is waited for: what was put aside a few times, or for longer than until
    the next run, is not.
    """
    chains = list(waiting)
    if job.state == "stopped" or run is None or run.state != "open" or not _all_wait(chains):
        return []
    interval = timedelta(seconds=job.interval_seconds)
    asked = run.requested or job.full_read > run.full_read
    due = job.keep_updated and run.planned_at + interval <= now
    if not asked and not (due and all(_is_put_off(chain, now + interval) for chain in chains)):
        return []
    return [chain.model_copy(update={"state": "failed", "retry_at": None, "updated_at": now}) for chain in chains]


def _all_wait(chains: list[ChainProgress]) -> bool:
    return bool(chains) and all(chain.state == "parked" and chain.problem for chain in chains)


def _is_put_off(chain: ChainProgress, until: datetime) -> bool:
    often = chain.task is not None and chain.task.attempt >= gaps.MAX_ATTEMPTS
    return often or (chain.retry_at is not None and chain.retry_at > until)


def requested(task: ImportTask, table: ProgressTable) -> TaskResult:
    """Return what a request leads to: a run at once, or a chain that fills the gap of a webhook."""
    if task.kind == "gap":
        return gaps.requested_gap(task, table)
    run = table.runs.get(task.job_id)
    if task.kind != "start" or run is None or run.requested:
        return TaskResult()  # it begins by itself
    if run.state == "open" and not _all_wait(list(table.waiting(task.job_id).values())):
        return TaskResult()  # it is under way
    return TaskResult(progress=[run.model_copy(update={"requested": True})])


NOT_READ = "The last import could not read everything: "
WAITS = "The import waits and tries again: "
OURS = (NOT_READ, WAITS)
"""How sentences of ours begin: attention that others ask for is neither overwritten nor cleared."""

MAX_NAMED = 3
"""Resources that a sentence names; `import status` names all."""


def attention_change(
    job: ImportJob, run: RunProgress, chains: Iterable[ChainProgress], waiting: Iterable[ChainProgress] = ()
) -> tuple[str | None] | None:
    """Return the line of attention that a job needs in a run or after it, as a tuple of one; None: it stays as it is.

    While the run is open it shows what waits with a problem, or else what could not be read so far; only its end shows
    that all was. `chains`: of the job; `waiting`: those that are open or parked.
    """
    failed = [chain for chain in chains if chain.state == "failed" and belongs_to(chain, run)]
    running = job.state == "running" and run.state == "open"
    parked = [chain for chain in waiting if running and chain.state == "parked" and chain.problem]
    wanted = _sentence(WAITS, parked) or _sentence(NOT_READ, failed)
    before = attention_of(job, OURS)
    if run.state == "open" and wanted is None and not (before or "").startswith(WAITS):
        return None
    return None if wanted == before else (wanted,)


def attention_kind(attention: str | None) -> str | None:
    """Return how a sentence of ours begins."""
    return next((begin for begin in OURS if (attention or "").startswith(begin)), None)


def _sentence(begin: str, chains: list[ChainProgress]) -> str | None:
    named = [f"{', '.join(filter(None, (chain.group, chain.label)))}: {chain.problem}" for chain in chains[:MAX_NAMED]]
    more = [f"and {len(chains) - MAX_NAMED} more"] if len(chains) > MAX_NAMED else []
    return begin + " ".join("; ".join(named + more).split()) if named else None


def belongs_to(chain: ChainProgress, run: RunProgress) -> bool:
    """Return whether a chain counts for a run: one of its own, or the gap of a webhook that could not be filled."""
    return chain.run == run.run or is_failed_gap(chain)


def is_failed_gap(chain: ChainProgress) -> bool:
    """Return whether a chain was to fill the gap of a webhook and could not. The next run tries again."""
    return chain.state == "failed" and chain.chain.startswith("gap/")


def campaign_is_due(
    sent: datetime, checked: datetime | None, now: datetime, *, hot: timedelta, warm: timedelta, interval: timedelta
) -> bool:
    """Return whether a campaign is to be checked: in every run while hot, then daily, then weekly.

    Half an interval early counts as due, or a run that starts a second early would wait for the next one.
    """
    if checked is None or now - sent < hot:
        return True
    pause = DAILY if now - sent < warm else WEEKLY
    return now - checked >= pause - interval / 2


def _start(job: ImportJob, number: int, planned: datetime, now: datetime, *, full: bool) -> StartRun:
    run = RunProgress(
        job_id=job.id,
        run=number,
        state="open",
        full=full,
        full_read=job.full_read,
        planned_at=planned,
        started_at=now,
    )
    return StartRun(run, _discover(job, run, now))


def _discover(job: ImportJob, run: RunProgress, now: datetime) -> ImportTask:
    return ImportTask(
        job_id=job.id,
        run=run.run,
        chain=SWEEP if run.swept_at else DISCOVER,
        kind="discover",
        full=run.full and run.swept_at is None,
        sweep=run.swept_at is not None,
        label="lists" if run.swept_at else "lists, campaigns and journeys",
        group="what there is to read",
        started_at=now,
    )


def _in_run(
    job: ImportJob,
    run: RunProgress,
    waiting: Mapping[str, ChainProgress],
    read_in_run: Iterable[ChainProgress],
    now: datetime,
) -> RunAction | None:
    if waiting:
        return None
    chains = list(read_in_run)
    read = [chain for chain in chains if chain.run == run.run]
    begins = ("users/", "unreported/")
    whole = sorted({chain.chain.split("/")[1] for chain in read if chain.full and chain.chain.startswith(begins)})
    if run.swept_at is None and whole:
        swept = run.model_copy(update={"swept_at": now, "rows": _rows(read)})
        return StartCatchUp(swept, _discover(job, swept, now).model_copy(update={"list_ids": whole}))
    since, problems = run.swept_at, sum(chain.state == "failed" for chain in chains if belongs_to(chain, run))
    ended = {
        "state": "incomplete" if problems else "done",
        "finished_at": now,
        "rows": run.rows + _rows(chain for chain in read if since is None or chain.started_at >= since),
        "problems": problems,
        "next_at": next_at(job, run, now),
    }
    return FinishRun(run.model_copy(update=ended))


def _rows(chains: Iterable[ChainProgress]) -> int:
    return sum(chain.tally.rows for chain in chains)
