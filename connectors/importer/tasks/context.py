"""What an expansion depends on, and how it begins to read a source: with what is known of it (pure)."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from connectors.importer.progress import ProgressTable
from connectors.importer.readers import reader_for
from connectors.importer.settings import ImporterSettings
from connectors.importer.tasks import plan, sources
from connectors.importer.tasks.page import TaskResult, progress_of
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, Cursor, ImportTask, Mark, Published, Source, Tally, key_of


@dataclass(frozen=True, slots=True)
class ExpansionContext:
    """What an expansion depends on: the job, the task, what is known already, and the time."""

    job: ImportJob
    task: ImportTask
    table: ProgressTable
    settings: ImporterSettings
    now: datetime

    def done(self, result: TaskResult) -> TaskResult:
        """End the chain of the task."""
        tally = self.task.tally.model_copy(update={"pages": self.task.tally.pages + 1})
        result.progress.append(progress_of(self.task, {"state": "done", "tally": tally, "updated_at": self.now}))
        return result

    def read(self, result: TaskResult, chain: str, source: Source) -> None:
        """Begin to read a source, with what is known of it; in a full read also all that was read before, again."""
        mark = self.table.mark(self.job.id, chain)
        published = sources.elsewhere(self.table.marks_elsewhere(self.job.id, chain))
        source = source.model_copy(update={"elsewhere": published})
        self._read_again(result, sources.again_name(chain), source, known=mark is not None)
        left = self._left_by_failure(chain, source, mark)
        begun = left
        if begun is None:
            source = source.model_copy(update={"read_since": source.since})
            partly = self._partly_read(chain, mark)
            accounted = self.table.accounted(self.job.id, chain)
            if mark is None or sources.covers(mark, source.lists, source.since):
                source = source if mark is None else sources.following(source, mark)
                cursor = reader_for(source).first_cursor(mark, accounted)
            else:
                source = sources.widened(source, mark)
                cursor = reader_for(source).first_cursor(None)
                if source.read_since == mark.read_since:  # else it counted other rows
                    cursor = cursor.model_copy(
                        update={
                            "accounted": accounted,
                            "sketch": mark.sketch,
                            "acts": mark.acts,
                            "last_seen": mark.checked_at,
                        }
                    )
            begun = self._task(chain, sources.beside(source, partly), cursor)
        result.begin(begun, full=mark is None)
        if mark is not None or left is not None:
            self._read_failed_parts(result, chain, source, mark)

    def _task(self, chain: str, source: Source, cursor: Cursor) -> ImportTask:
        return ImportTask(
            job_id=self.job.id,
            run=self.task.run,
            chain=chain,
            kind="read",
            page_size=self.settings.page_size,
            label=sources.label(source),
            group=sources.group(source),
            source=source,
            cursor=cursor,
            started_at=self.now,
        )

    def _read_again(self, result: TaskResult, chain: str, source: Source, *, known: bool) -> None:
        """Read a source from its beginning, if that is asked for or has failed, and leave what is known as it is.

        What was never read is no repeat: it is read once.
        """
        again = source.model_copy(update={"again": True})
        left = self._left_by_failure(chain, again, None)
        if self.task.full and known:
            result.begin(self._task(chain, again, reader_for(again).first_cursor(None)), full=True)
        elif left is not None:
            result.begin(left)
        else:
            return
        if not self.task.full:
            self._read_failed_parts(result, chain, again, None)

    def _read_failed_parts(self, result: TaskResult, chain: str, source: Source, mark: Mark | None) -> None:
        """Read again the parts of a divided listing that failed, from where they failed: others were read."""
        chains = self.table.chains(self.job.id)
        for number in count(1):
            name = sources.part_name(chain, number)
            if name not in chains:
                return
            left = self._left_by_failure(name, source, mark)
            if left is not None:
                result.begin(left)

    def _left_by_failure(self, chain: str, source: Source, mark: Mark | None) -> ImportTask | None:
        """Return where a chain that failed in the last run goes on, None when it did not fail or reads other rows."""
        failed = self._failed(chain, mark)
        task = None if failed is None else failed.task
        if failed is None or task is None or task.source is None or task.cursor is None:
            return None
        if (task.source.lists, task.source.since) != (source.lists, source.since):
            return None
        accounted = task.cursor.accounted + failed.tally.rows + failed.tally.left_out
        change = {"run": self.task.run, "step": 0, "attempt": 0, "tally": Tally(), "started_at": self.now}
        cursor = task.cursor.model_copy(update={"accounted": accounted})
        source = source.model_copy(update={"published": task.source.published, "earlier": task.source.earlier})
        source = source.model_copy(update={"read_since": task.source.read_since})
        return task.model_copy(update={**change, "source": source, "cursor": cursor})

    def _failed(self, chain: str, mark: Mark | None) -> ChainProgress | None:
        """Return a chain that failed when it was read last."""
        failed = self.table.failed(self.job.id).get(chain)
        return None if failed is None or (mark is not None and failed.run < mark.run) else failed

    def _partly_read(self, chain: str, mark: Mark | None) -> list[Published]:
        """Return what a chain has published that failed, and is read for other lists or from another start now."""
        failed = self._failed(chain, mark)
        return [] if failed is None or failed.task is None else sources.partly_read(failed.task)

    def unfilled_from(self, chain: str) -> str | None:
        """Return since when a gap is not filled yet, or could not be, in RFC 3339; None when there is none."""
        left = self.table.gaps(self.job.id).get(chain)
        return left.task.since if left is not None and left.task is not None else None

    def fill_failed_gaps(self, result: TaskResult, list_ids: Set[str]) -> None:
        """Go on with gaps of webhooks that could not be filled; drop those of other lists, which nobody can read."""
        for name, chain in self.table.gaps(self.job.id).items():
            if not plan.is_failed_gap(chain):
                continue
            if chain.task is None or name.split("/")[1] not in list_ids:
                result.deleted.append(key_of(chain))
                continue
            change = {"run": self.task.run, "attempt": 0, "tally": Tally(), "started_at": self.now}
            result.begin(chain.task.model_copy(update=change))

    def look(self, result: TaskResult, chain: str, kind: str, source: Source) -> None:
        """Begin to look at a campaign or journey."""
        result.begin(
            ImportTask.model_validate(
                {
                    "job_id": self.job.id,
                    "run": self.task.run,
                    "chain": chain,
                    "kind": kind,
                    "label": "what is new",
                    "group": sources.group(source),
                    "full": self.task.full,
                    "source": source,
                    "started_at": self.now,
                }
            )
        )
