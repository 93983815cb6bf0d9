"""A page that was read becomes records, progress and the next step (pure)."""

from datetime import datetime

from connectors.campaign_monitor.client.entities import Page
from connectors.importer import reading
from connectors.importer.outcome import Outcome, progress_of
from connectors.importer.sources import whole
from connectors.importer.step import Step
from connectors.importer.table import part_name
from connectors.importer.translate import Translator
from schemas.import_task import Cursor, ImportTask, Mark, Source, Tally


def turned(task: ImportTask, page: Page, translator: Translator, now: datetime, most_parts: int) -> Outcome:
    """Return what a page leads to."""
    source, cursor = _needed(task)
    rows = [translator.identify(row) for row in page.rows]
    fresh = task.tally.rows + task.tally.left_out
    step = reading.take(source, cursor, page, rows, fresh, most_parts)
    outcome = Outcome()
    for index, identity in step.keep:
        row, identified = page.rows[index], rows[index]
        if source.gap:
            # The subscribers themselves come with the next run; here only the events count that nobody told us.
            change = translator.change(row, identified)
            if change is not None:
                outcome.records.append(change)
        else:
            outcome.records.append(translator.record(row, identified, identity.hex()))
    tally = _counted(task.tally, step, len(outcome.records))
    for number, part in enumerate(step.divided, start=_next_part(task, step)):
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
        outcome.begin(divided)
    if step.window is not None and not source.gap:
        outcome.progress.append(
            Mark(
                job_id=task.job_id,
                run=task.run,
                chain=whole(task.chain),
                known_from=step.window.known_from,
                known=step.window.known,
                newest_date=step.newest_date,
                accounted=step.before + tally.rows + tally.left_out,
                written_by=task.chain,
                checked_at=now,
            )
        )
    full = cursor.known_from is None and cursor.expected is None
    if step.next is None:
        ended = {"full": full, "tally": tally, "state": "done", "updated_at": now}
        outcome.progress.append(progress_of(task, ended))
    else:
        following = task.model_copy(update={"cursor": step.next, "step": task.step + 1, "tally": tally, "attempt": 0})
        outcome.tasks.append(following)
        outcome.progress.append(progress_of(following, {"full": full, "updated_at": now}))
    return outcome


def _counted(tally: Tally, step: Step, published: int) -> Tally:
    return tally.model_copy(
        update={
            "pages": tally.pages + 1,
            "pages_total": tally.pages_total or step.pages_total,
            "rows": tally.rows + published,
            "rows_total": step.rows_total if step.rows_total is not None else tally.rows_total,
            "repeats": tally.repeats + step.repeats,
            "left_out": tally.left_out + step.left_out,
            "restarts": tally.restarts + step.restarted,
        }
    )


def _next_part(task: ImportTask, step: Step) -> int:
    """Parts are numbered from 1; a listing is divided at one border after the other, so its cursor says how many."""
    if not step.divided or task.cursor is None or task.cursor.phase != "borders":
        return 1
    return task.cursor.parts + 1


def _needed(task: ImportTask) -> tuple[Source, Cursor]:
    if task.source is None or task.cursor is None:
        raise ValueError(f"the task of chain {task.chain} says not what to read")
    return task.source, task.cursor
