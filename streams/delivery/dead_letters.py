"""Dead letters of delivery: the records whose content Campaign Monitor can never take, bytes untouched.

Only what is invalid gets here. Who unsubscribed, bounced or is suppressed is no fault of a record: for them the
receipt is the whole answer. The record is read back from its topic by the position that the receipt names; one that
retention has removed meanwhile is told in the log.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog

from schemas.dead_letter import Stage
from streams.batches import DeadLetter, Record
from streams.delivery.parcel import Settled

log = structlog.get_logger(__name__)


class SourceTopic(Protocol):
    """Reads single records of `audience-membership`."""

    async def fetch(self, partition: int, offsets: Sequence[int]) -> Sequence[Record]:
        """Return those of the records that are still there."""
        ...


class Originals:
    """Finds refused records and keeps them."""

    def __init__(
        self, topic: str, source: SourceTopic, keep: Callable[[Sequence[DeadLetter]], Awaitable[None]]
    ) -> None:
        """`keep` returns when the letters are acknowledged."""
        self._topic = topic
        self._source = source
        self._keep = keep

    async def keep(self, partition: int, refused: Sequence[Settled]) -> None:
        """Keep the records that led to these refusals. Raises what `keep` and reading raise (`BatchError`)."""
        reasons = {
            answer.position: f"Campaign Monitor refused it: code {it.code}" + (f", {it.message}" if it.message else "")
            for it in refused
            for answer in it.carried.answers
            if not answer.overtaken and answer.position >= 0
        }
        found = await self._source.fetch(partition, sorted(reasons))
        if len(found) < len(reasons):
            log.warning("refused records are gone", partition=partition, records=len(reasons) - len(found))
        if found:
            await self._keep(
                [DeadLetter(self._topic, partition, it, Stage.DELIVERY, reasons[it.offset]) for it in found]
            )
