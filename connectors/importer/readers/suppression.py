"""Reading a client's suppression list (pure): backward, as a listing, and whose entry is gone since the last read.

Nothing reports who is taken off the list. Its total shows it: fewer entries than were read. Then the whole list is read
and compared with a sketch of the addresses that were on it. It is not divided, as one chain has to see all of it.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from connectors.campaign_monitor import events
from connectors.campaign_monitor.client.entities import JsonObject, Page
from connectors.campaign_monitor.events import unpack
from connectors.importer.readers.address_sketch import AddressSketch
from connectors.importer.readers.backward import BackwardReader
from connectors.importer.readers.reader import PageRead
from connectors.importer.translated import Translate, TranslatedRow
from schemas.import_task import Cursor, Mark


class SuppressionReader(BackwardReader):
    """Reads the suppression list, newest entries first."""

    def first_cursor(self, mark: Mark | None, accounted: int = 0) -> Cursor:
        """Return where a read begins: with a mark, at what is new; without, a read of the whole list."""
        cursor = super().first_cursor(mark)
        if mark is None or mark.known_from is None:
            return cursor.model_copy(update={"whole": True})
        return cursor.model_copy(update={"sketch": mark.sketch, "last_seen": mark.checked_at})

    def read_page(self, cursor: Cursor, page: Page, translate: Translate, fresh: int, max_chains: int) -> PageRead:
        """Return what to publish of a page and what to read next."""
        rows: list[TranslatedRow] = []

        def translated(
            page_rows: Sequence[JsonObject], minute: str | None, held: AbstractSet[bytes], clock: str = ""
        ) -> list[TranslatedRow]:
            rows.extend(translate(page_rows, minute, held, clock))
            return rows

        read = super().read_page(cursor, page, translated, fresh, 1)
        if cursor.whole:
            previous = unpack(cursor.previous)
            found = [row for row in rows if row.event_id[: events.SHORT_BYTES] not in previous]
        else:
            found = read.new_rows
        sketch = AddressSketch(cursor.seen if cursor.whole else cursor.sketch)
        sketch.add(row.record.key for row in found if row.record is not None and row.record.key)
        if read.next is not None:
            read.next = read.next.model_copy(update={"seen" if cursor.whole else "sketch": sketch.packed()})
        elif cursor.whole:
            _compare(cursor, sketch, read)
        elif page.total < sketch.count and read.known_rows is not None:
            known_from, known = read.known_rows
            whole = Cursor(phase="first", whole=True, known_from=known_from, known=known, floor=known_from)
            compared = {"sketch": sketch.packed(), "last_seen": cursor.last_seen}
            read.next, read.known_rows = whole.model_copy(update=compared), None
        else:
            read.sketch = sketch.packed()
        return read


def _compare(cursor: Cursor, now: AddressSketch, read: PageRead) -> None:
    """Name who is gone since the last read. The first one has nothing to compare with."""
    read.sketch = now.packed()
    if not cursor.sketch:
        return
    before = AddressSketch(cursor.sketch)
    gone = before.gone(now)
    if gone is None:
        read.unnamed = max(1, before.count - now.count)
    else:
        read.removed = [address.decode() for address in gone]
