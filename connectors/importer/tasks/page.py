"""Convert one API page into the records, progress and next task to publish (pure)."""

from datetime import datetime

from connectors.campaign_monitor.client.entities import Page
from connectors.importer.readers import reader_for
from connectors.importer.readers.reader import PageRead
from connectors.importer.tasks.result import TaskResult, progress_of
from connectors.importer.tasks.sources import part_name, undivided
from connectors.importer.translate import RowTranslator
from schemas.import_task import Cursor, ImportTask, Mark, Source, Tally


def process_page(task: ImportTask, page: Page, translator: RowTranslator, now: datetime, max_chains: int) -> TaskResult:
    """Return what a page leads to. Raises ValueError when the task has no source or cursor."""
    source, cursor = _needed(task)
    rows = [translator.identify(row) for row in page.rows]
    fresh = task.tally.rows + task.tally.left_out
    read = reader_for(source).read_page(cursor, page, rows, fresh, max_chains)
    result = TaskResult()
    for index, event_id in read.new_rows:
        row, identified = page.rows[index], rows[index]
        if source.gap:
            # The subscribers themselves come with the next run; here only the events count that no webhook delivered.
            change = translator.change(row, identified)
            if change is not None:
                result.records.append(change)
        else:
            result.records.append(translator.record(row, identified, event_id.hex()))
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
                written_by=task.chain,
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
