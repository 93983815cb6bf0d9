"""Gaps of webhooks: one job reads a gap for all that import the list; another takes over when it does not (pure)."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from connectors.control.jobs import has_list
from connectors.importer.progress import ProgressTable
from connectors.importer.readers.reader import NewestRows
from connectors.importer.tasks import sources
from connectors.importer.tasks.page import TaskResult, progress_of
from schemas.control import ImportJob
from schemas.import_task import ChainProgress, ImportTask, Mark, key_of

MARGIN = timedelta(minutes=10)
"""A webhook was last seen to work when the gap begins; events of the moments before may have been on their way."""

MAX_ATTEMPTS = 3
"""Times that a read is put aside with a problem before a job with another authorization is asked."""


def requested_gap(task: ImportTask, table: ProgressTable) -> TaskResult:
    """Return the chain that fills a gap, and with it one of the list that was not filled yet, or could not be.

    It begins after the one before: of two reads of a chain the one that began later goes on.
    """
    earlier = table.chains(task.job_id).get(task.chain)
    if earlier is not None:
        later = max(task.started_at, earlier.started_at + timedelta(milliseconds=1))
        task = task.model_copy(update={"started_at": later})
    if earlier is not None and earlier.task is not None:
        before = earlier.task
        states = sorted({*task.states, *before.states}) if task.states and before.states else []
        since = min(filter(None, (task.since, before.since)), default=None)
        tried = sorted({*task.tried, *before.tried})
        task = task.model_copy(update={"since": since, "states": states, "tried": tried})
    return TaskResult(progress=[progress_of(task, {})])


def begun(chain: ChainProgress | None, table: ProgressTable, *, removed: bool = False) -> list[Mark]:
    """Return what a read that does not go on has published, as a mark; none when that is nothing.

    It remembers no more than a cursor does. `removed`: its job was.
    """
    if chain is None or chain.task is None or chain.task.cursor is None or not chain.task.cursor.newest:
        return []
    known, before = NewestRows(chain.task.cursor.newest).ids(), table.mark_of_any(chain.job_id, chain.chain)
    earlier = [] if before is None else [sources.published_by(before), *before.earlier][: sources.MAX_EARLIER]
    names = {"job_id": chain.job_id, "run": chain.run, "chain": chain.chain}
    return [Mark.model_validate({**names, "known": known, "earlier": earlier, "removed": removed})]


def take_over(
    chain: ChainProgress, jobs: Mapping[str, ImportJob], table: ProgressTable, now: datetime, result: TaskResult
) -> None:
    """Ask another job for a gap that its own does not read, and drop it here: both happen, or neither.

    A job reads no gap while it is stopped, nor of a list that it does not name any more: then one that runs takes over,
    and without one the gap stays. Of a removed job a stopped one takes it as well, and reads it when it is started;
    when no job has the list, the gap is dropped. What a running job cannot read is read with another authorization.
    """
    owner, task = jobs.get(chain.job_id), chain.task
    client_id, list_id = _list_of(task)
    having = [job for job in jobs.values() if has_list(job, client_id, list_id)]
    takers = _takers(chain, owner, having)
    if owner is not None and not takers:
        return
    result.deleted.append(key_of(chain))
    result.progress += begun(chain, table, removed=owner is None)
    if takers and task is not None:
        tried = [*task.tried, owner.authorization_id] if owner is not None and _cannot_read(chain) else task.tried
        result.requests.append(_request(task, min(job.id for job in takers), list_id, tried, now))


def _takers(chain: ChainProgress, owner: ImportJob | None, having: list[ImportJob]) -> list[ImportJob]:
    """Return the jobs, of those that have the list, that may read a gap instead of its own; none: it stays there."""
    others = [job for job in having if job.id != chain.job_id]
    running = [job for job in others if job.state == "running"]
    if owner is None:
        return running or others
    if chain.state == "open" or chain.task is None:
        return []
    if owner.state == "stopped" or owner not in having:
        return running
    tried = {*chain.task.tried, owner.authorization_id}
    return [job for job in running if _cannot_read(chain) and job.authorization_id not in tried]


def _cannot_read(chain: ChainProgress) -> bool:
    return chain.state == "failed" or (chain.task is not None and chain.task.attempt >= MAX_ATTEMPTS)


def _request(task: ImportTask, job_id: str, list_id: str, tried: list[str], now: datetime) -> ImportTask:
    return ImportTask(
        job_id=job_id,
        run=0,
        chain=f"gap/{list_id}",
        kind="gap",
        list_ids=[list_id],
        client_id=_list_of(task)[0],
        states=task.states if task.source is None or task.source.state is None else [task.source.state],
        tried=tried,
        since=task.since,
        label="events that a webhook missed",
        group=task.group,
        started_at=now,
    )


def _list_of(task: ImportTask | None) -> tuple[str, str]:
    """Return the client and the list of a gap."""
    if task is None:
        return "", ""
    if task.source is not None:
        return task.source.client_id, task.source.list_id or ""
    return task.client_id or "", next(iter(task.list_ids), "")
