"""Unsubscribes that no report holds, of the time before a list's webhook: which of them are still to be read (pure).

Each stretch of time is a chain of its own, named by its beginning, so that an earlier start of the job reads what was
added, and only that. Its mark holds the stretch that was published.
"""

from connectors.campaign_monitor.dates import ClientDates
from connectors.importer.readers.reader import text_of
from connectors.importer.tasks import sources
from connectors.importer.tasks.context import ExpansionContext
from connectors.importer.tasks.page import TaskResult, progress_of
from schemas.import_task import Source


def read_unreported(context: ExpansionContext, result: TaskResult, listing: Source, dates: ClientDates) -> None:
    """Begin to read what is missing of a list, once all reports were read: in a catch-up, which it asks for before.

    It reaches to the moment of its read: when the webhook began to work is not known here, and what both publish has
    one id.
    """
    failed = _read_failed(context, result, listing.list_id or "")
    job, table = context.job, context.table
    since = sources.since_text(job, dates)
    marks = table.unreported(job.id, listing.list_id or "")
    read_from = min([mark.since or "" for mark in marks] + [source.since or "" for source in failed], default=None)
    if read_from is not None and read_from <= (since or ""):
        return
    before = read_from or text_of(context.now + sources.MINUTE)
    chain, source = sources.unreported(listing, before, since)
    if chain in table.failed(job.id):
        return
    if context.task.sweep:
        context.read(result, chain, source)
        return
    begun = context.task.model_copy(update={"chain": chain, "label": sources.label(source)})
    waits = {"group": sources.group(source), "full": True, "state": "done", "updated_at": context.now}
    result.progress.append(progress_of(begun, waits))


def _read_failed(context: ExpansionContext, result: TaskResult, list_id: str) -> list[Source]:
    """Go on with what could not be read, also of a divided listing, and return it: reports were read then."""
    again: list[Source] = []
    first, stretches = f"unreported/{list_id}", f"unreported/{list_id}/"
    failed = {sources.undivided(name): chain for name, chain in context.table.failed(context.job.id).items()}
    for name, chain in failed.items():
        if (name == first or name.startswith(stretches)) and chain.task is not None and chain.task.source is not None:
            context.read(result, name, chain.task.source)
            again.append(chain.task.source)
    return again
