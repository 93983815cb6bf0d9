"""Convert one API page into the records and progress to publish, and the next task (pure).

A `TaskResult` is what any task leads to (pure): all of it is published in one transaction, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connectors.campaign_monitor.client.entities import Page
from connectors.importer.readers import late_rows, reader_for
from connectors.importer.readers.reader import OVERLAP, PageRead, minute_before, text_of
from connectors.importer.tasks.sources import part_name, undivided
from connectors.importer.translate import RowTranslator
from connectors.importer.translated import ImportedRecord
from schemas.import_task import ChainProgress, Claim, Cursor, ImportTask, Mark, RunProgress, Source, Tally

ProgressRecord = RunProgress | ChainProgress | Mark | Claim


@dataclass(slots=True)
class TaskResult:
    """Rows and progress. Chains that begin come before the end of the one that led to them: none is missed."""

    records: list[ImportedRecord] = field(default_factory=list)
    progress: list[ProgressRecord] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)
    """Keys of progress records to delete."""
    requests: list[ImportTask] = field(default_factory=list)
    """What other jobs are asked for."""

    def begin(self, task: ImportTask, *, full: bool = False) -> None:
        """Begin a chain with its first task. `full`: whether it reads its source from the beginning."""
        self.progress.append(progress_of(task, {"full": full}))

    @property
    def tasks(self) -> list[ImportTask]:
        """The tasks of the chains that begin or go on."""
        chains = (record for record in self.progress if isinstance(record, ChainProgress))
        return [chain.task for chain in chains if chain.state == "open" and chain.task is not None]

    def next_task(self, chain: str) -> ImportTask | None:
        """Return the next task of a chain, None when the chain does not go on."""
        return next((task for task in self.tasks if task.chain == chain), None)


def progress_of(task: ImportTask, change: Mapping[str, Any]) -> ChainProgress:
    """Return the progress of the chain that a task belongs to; `change` overrides what the task holds.

    It holds the task, as the step to go on with, unless the chain is done.
    """
    values: dict[str, Any] = {
        "job_id": task.job_id,
        "run": task.run,
        "chain": task.chain,
        "step": task.step,
        "label": task.label,
        "group": task.group,
        "tally": task.tally,
        "started_at": task.started_at,
        "updated_at": task.started_at,
        "task": None if change.get("state") == "done" else task,
    }
    return ChainProgress(**{**values, **change})


def read_page(task: ImportTask, page: Page, translator: RowTranslator, max_chains: int) -> PageRead:
    """Return what to publish of a page and what to read next. Raises ValueError when the task has no source or cursor.

    `max_chains`: how many chains may share a long read.
    """
    source, cursor = _needed(task)
    fresh = task.tally.rows + task.tally.left_out
    return reader_for(source).read_page(cursor, page, translator.translate, fresh, max_chains)


def process_page(task: ImportTask, read: PageRead, translator: RowTranslator, now: datetime) -> TaskResult:
    """Return what a page leads to. Raises ValueError when the task has no source or cursor."""
    source, cursor = _needed(task)
    result = TaskResult([row.record for row in read.new_rows if row.record is not None])
    result.records += translator.removed(read.removed, cursor.last_seen or task.started_at)
    tally = _counted(task.tally, read, len(result.records))
    for number, part in enumerate(read.divided, start=_next_part(task, read)):
        divided = task.model_copy(
            update={
                "chain": part_name(task.chain, number),
                "label": f"{task.label} {number + 1}",
                "step": 0,
                "cursor": part,
                "tally": Tally(),
                "started_at": now,
            }
        )
        result.begin(divided)
    if read.known_rows is not None and not source.again:
        known_from, known = read.known_rows
        if source.unreported_before is not None:
            # The listing holds later rows, too. Of the minute of the read it held some.
            known_from = max(known_from or "", minute_before(source.unreported_before))
            known_from = min(known_from, source.unreported_before)
        elif known_from is None and source.resource in ("users", "suppression"):
            # Nobody was there. Without a date, it would be read from the beginning and swept in every run.
            known_from = text_of(task.started_at - OVERLAP)
        result.progress.append(
            Mark(
                job_id=task.job_id,
                run=task.run,
                chain=undivided(task.chain),
                known_from=known_from,
                known=known,
                newest_date=read.newest_date,
                sketch=read.sketch,
                acts=read.acts,
                accounted=read.accounted_before + tally.rows + tally.left_out,
                checked_at=now if source.resource != "suppression" else _all_there(task, read),
                lists=source.lists,
                since=cursor.floor if source.gap else source.since,
                read_since=source.read_since,
                earlier=late_rows.lacking(source.earlier, read.late_left_out),
            )
        )
    full = cursor.known_from is None and cursor.expected is None
    if read.next is None:
        ended: dict[str, Any] = {"full": full, "tally": tally, "state": "done", "updated_at": now}
        if read.unnamed:
            problem = f"{read.unnamed} or more people were taken off it since the last read, too many to be named"
            ended |= {"state": "failed", "problem": problem, "task": None}
        result.progress.append(progress_of(task, ended))
    else:
        following = task.model_copy(update={"cursor": read.next, "step": task.step + 1, "tally": tally, "attempt": 0})
        result.progress.append(progress_of(following, {"full": full, "updated_at": now}))
    return result


def _all_there(task: ImportTask, read: PageRead) -> datetime:
    """Return when all that was read of a suppression list was on it: not before the newest entry came onto it.

    Its own clock may be ahead of ours.
    """
    newest = read.newest_date or ""
    if not newest.endswith("Z"):  # none, or one that cannot be read
        return task.started_at
    return max(task.started_at, datetime.fromisoformat(newest) + timedelta(milliseconds=1))


def _counted(tally: Tally, read: PageRead, published: int) -> Tally:
    return tally.model_copy(
        update={
            "pages": tally.pages + 1,
            "pages_total": tally.pages_total or read.pages_total,
            "rows": tally.rows + published,
            "rows_total": read.rows_total if read.rows_total is not None else tally.rows_total,
            "repeats": tally.repeats + read.repeats,
            "left_out": tally.left_out + read.left_out,
            "restarts": tally.restarts + read.restarted,
        }
    )


def _next_part(task: ImportTask, read: PageRead) -> int:
    """Return the number of the next part, from 1. A listing is divided border by border; its cursor counts them."""
    if not read.divided or task.cursor is None or task.cursor.phase != "borders":
        return 1
    return task.cursor.parts + 1


def _needed(task: ImportTask) -> tuple[Source, Cursor]:
    if task.source is None or task.cursor is None:
        raise ValueError(f"the task of chain {task.chain} has no source or cursor to read")
    return task.source, task.cursor
