"""One subscriber is read for each field and option that is new on a list: what was dropped shows only there.

A read settles everything that was written for its person. At most one is made for a request, and none while another is
under way, so that they are few: as many as there are fields and options. What was dropped is read again with each write
of it, until it is kept.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from connectors.campaign_monitor.client.entities import Subscriber
from streams.batches import BatchError
from streams.export.lists.attention import VALUES, BlockedReports, note
from streams.export.lists.shared_state import SharedState
from streams.export.rules.dropped import Dropped, ValueKind, kinds_of, not_kept, noted
from streams.export.rules.jobs import JobView
from streams.export.rules.outcome import Delivered
from streams.export.rules.values import field_name
from streams.export.sending.plan import WriteResult, texts_of
from streams.export.sending.writer import ListWriter
from streams.export.state import ExportState

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 2.0
"""A write may not be seen at once: whoever lacks a value is read a second time."""
REMEDY = "Look at the field's type, options and length; receipts name the people's values."


class SampleReads:
    """What is known to be kept on one list, and what is dropped."""

    def __init__(self, list_id: str, state: ExportState, shared: SharedState, reports: BlockedReports) -> None:
        self._list_id = list_id
        self._state = state
        self._shared = shared
        self._reports = reports
        self._kept: set[ValueKind] = set()
        self._epoch = 0
        self._reading = False

    @property
    def dropped(self) -> Dropped:
        """What is dropped, as far as any worker has seen."""
        return self._shared.dropped(self._list_id)

    @property
    def kept(self) -> frozenset[ValueKind]:
        """What is known to be kept; nothing while anything is dropped, for receipts name that."""
        return frozenset() if self.dropped else frozenset(self._kept)

    async def check(self, results: Sequence[WriteResult], writer: ListWriter, lost: Callable[[], None]) -> None:
        """Read one of the people if something is new, and note on all of them what is dropped. `lost`: it is news."""
        listed = self._state.listed(self._list_id)
        if listed is not None and listed.epoch != self._epoch:
            self._kept.clear()
            self._epoch = listed.epoch
        result, new = self._most_news(results)
        if result is not None and new and not self._reading:
            self._reading = True
            try:
                await self._read(result, new, writer, lost)
            finally:
                self._reading = False
        if self.dropped:
            for written in results:
                if written.write.state is not None:
                    written.write.state = noted(written.write.state, self.dropped)

    async def show(self) -> None:
        """Show on the jobs what is dropped of their values."""
        listed = self._state.listed(self._list_id)
        notes = {view.id: note(VALUES, self._named(view), REMEDY) for view in (listed.running if listed else ())}
        await self._reports.note(self._list_id, VALUES, notes)

    def _named(self, view: JobView) -> dict[str, str]:
        names = [view.job.custom_field_name, *(mapping.custom_field for mapping in view.job.field_mappings)]
        by_field = {field_name(name): name for name in names}
        named: dict[str, str] = {}
        for kind in sorted(self.dropped):
            if kind.field in by_field:
                name = by_field[kind.field]
                named[name] = ", ".join(text for text in (named.get(name), kind.what) if text)
        return named

    def _most_news(self, results: Sequence[WriteResult]) -> tuple[WriteResult | None, set[ValueKind]]:
        best: tuple[WriteResult | None, set[ValueKind]] = (None, set())
        kept = self._kept - self.dropped  # by what another worker saw later
        for result in results:
            state = result.write.state
            if isinstance(result.decision, Delivered) and state is not None and state.desired.present:
                new = kinds_of(state.desired) - kept
                if len(new) > len(best[1]):
                    best = result, new
        return best

    async def _read(
        self, result: WriteResult, new: set[ValueKind], writer: ListWriter, lost: Callable[[], None]
    ) -> None:
        state = result.write.state
        found = await writer.read_back(result.write)
        if found is None or state is None:
            return
        missing = not_kept(state.desired, texts_of(found))
        if missing:
            await asyncio.sleep(AGAIN_SECONDS)
            found = await writer.read_back(result.write) or found
            missing = not_kept(state.desired, texts_of(found))
        if not _is_readable(found):
            return
        self._kept = (self._kept | new) - missing
        dropped = (self.dropped - new) | missing
        if dropped == self.dropped:
            return
        log.error("values were not kept", list_id=self._list_id, fields=sorted({kind.field for kind in dropped}))
        lost()
        try:
            await self._shared.values_dropped(self._list_id, dropped)
        except BatchError as error:
            log.warning("dropped values not stored", list_id=self._list_id, error=str(error))
            return
        await self.show()


def _is_readable(found: Subscriber) -> bool:
    return found.state.casefold() in ("active", "unconfirmed")
