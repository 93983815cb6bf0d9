"""Which way a source is read: listings backward, reports by date, recipients by address (pure)."""

from connectors.importer.readers.backward import BackwardReader
from connectors.importer.readers.by_date import DateReader
from connectors.importer.readers.by_email import EmailReader
from connectors.importer.readers.reader import SourceReader
from connectors.importer.readers.suppression import SuppressionReader
from schemas.import_task import Source


def reader_for(source: Source) -> SourceReader:
    """Return how the source is read. A reader has no state: all that it needs to go on is in the cursor."""
    if source.resource == "users":
        return BackwardReader(source)
    if source.resource == "suppression":
        return SuppressionReader(source)
    if source.resource == "report" and source.report == "recipients":
        return EmailReader()
    return DateReader(source)
