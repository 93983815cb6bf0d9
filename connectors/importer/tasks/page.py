"""Convert one API page into the records, progress and next task to publish (pure).

A `TaskResult` is what any task leads to (pure): all of it is published in one transaction, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.campaign_monitor.client.entities import Page
from connectors.control.jobs import task_key
from connectors.importer.readers import reader_for
from connectors.importer.readers.reader import PageRead
from connectors.importer.tasks.sources import part_name, undivided
from connectors.importer.translate import ImportedRecord, RowTranslator
from connectors.kafka.records import OutgoingRecord
from schemas.import_task import ChainProgress, Claim, Cursor, ImportTask, Mark, RunProgress, Source, Tally, key_of
from schemas.topics import TopicNames

ProgressRecord = RunProgress | ChainProgress | Mark | Claim


@dataclass(slots=True)
class TaskResult:
    """Rows, progress and tasks. Chains that begin come before the end of the one that led to them: none is missed."""

    records: list[ImportedRecord] = field(default_factory=list)
    progress: list[ProgressRecord] = field(default_factory=list)
    tasks: list[ImportTask] = field(default_factory=list)
    deleted: list[bytes] = field(default_factory=list)
    """Keys of progress records to delete."""

    def begin(self, task: ImportTask, *, full: bool = False) -> None:
        """Begin a chain with its first task. `full`: whether it reads its source from the beginning."""
        self.tasks.append(task)
        self.progress.append(progress_of(task, {"full": full}))

    def next_task(self, chain: str) -> ImportTask | None:
        """Return the next task of a chain, None when the chain does not go on."""
        return next((task for task in self.tasks if task.chain == chain), None)

    def replace_next(self, later: "TaskResult", chain: str) -> None:
        """Add what the chain's next task has led to, in place of that task."""
        self.records += later.records
        self.tasks = [task for task in self.tasks if task.chain != chain] + later.tasks
        others = (
            record for record in self.progress if not (isinstance(record, ChainProgress) and record.chain == chain)
        )
        self.progress = [*others, *later.progress]

    def outgoing(self, names: TopicNames, chain: str | None, partition: int | None) -> list[OutgoingRecord]:
        """Return the Kafka records. The next task of `chain` goes to `partition`, where its last one came from."""
        users, activity = names["cm_user"], names["cm_activity"]
        progress, tasks = names["cm_import_progress"], names["cm_import_tasks"]
        out = [
            OutgoingRecord(users if record.topic == "cm_user" else activity, record.key, record.value)
            for record in self.records
        ]
        out += [OutgoingRecord(progress, key_of(record), record.to_bytes()) for record in self.progress]
        out += [OutgoingRecord(progress, key, None) for key in self.deleted]
        for task in self.tasks:
            where = partition if task.chain == chain else None
            out.append(OutgoingRecord(tasks, task_key(task), task.to_bytes(), None, where))
        return out


def progress_of(task: ImportTask, change: Mapping[str, Any]) -> ChainProgress:
    """Return the progress of the chain that a task belongs to; `change` overrides what the task holds."""
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
    }
    return ChainProgress(**{**values, **change})


def process_page(task: ImportTask, page: Page, translator: RowTranslator, now: datetime, max_chains: int) -> TaskResult:
    """Return what a page leads to. Raises ValueError when the task has no source or cursor."""
    source, cursor = _needed(task)
    fresh = task.tally.rows + task.tally.left_out
    read = reader_for(source).read_page(cursor, page, translator.translate, fresh, max_chains)
    result = TaskResult([row.record for row in read.new_rows if row.record is not None])
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
    if read.known_rows is not None and not source.gap:
        result.progress.append(
            Mark(
                job_id=task.job_id,
                run=task.run,
                chain=undivided(task.chain),
                known_from=read.known_rows.known_from,
                known=read.known_rows.known,
                newest_date=read.newest_date,
                accounted=read.accounted_before + tally.rows + tally.left_out,
                checked_at=now,
            )
        )
    full = cursor.known_from is None and cursor.expected is None
    if read.next is None:
        ended = {"full": full, "tally": tally, "state": "done", "updated_at": now}
        result.progress.append(progress_of(task, ended))
    else:
        following = task.model_copy(update={"cursor": read.next, "step": task.step + 1, "tally": tally, "attempt": 0})
        result.tasks.append(following)
        result.progress.append(progress_of(following, {"full": full, "updated_at": now}))
    return result


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
