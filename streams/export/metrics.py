"""What the export worker does, as metrics: who waits for a delivery, what lists hold, which receipts were written."""

import time
from collections import Counter as Counts
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Histogram

from connectors.metrics import ScrapedGauge, ScrapedValues
from schemas.audience_delivery import Outcome, Refusal
from streams.export.state import ExportState

RECEIPTS = Counter(
    "cm_streams_export_receipts_total",
    "Receipts on audience-delivery by outcome, and by reason where a person was refused or not exported. A jump of "
    "refused ones: see their reason; invalid ones are addresses or values that the upstream should repair.",
    ["outcome", "reason"],
)
for _refusal in Refusal:
    RECEIPTS.labels(Outcome.REFUSED, _refusal)  # from zero on: else the first refusals would be no increase
ACCEPTANCE = Histogram(
    "cm_streams_export_acceptance_seconds",
    "From a membership event's time in Kafka to Campaign Monitor's acceptance, of up to sixteen receipts of each "
    "publication. A backfill's people have old events: look at it beside the due rows.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 86_400),
)
DUE = ScrapedGauge(
    "cm_streams_export_due_rows",
    "People of this worker who wait for a delivery to a list or are in a call. Falling is a backlog that is worked "
    "off; rising for an hour is a list that does not accept.",
    ("list_id",),
)
OLDEST = ScrapedGauge(
    "cm_streams_export_oldest_due_seconds",
    "How long the person who has waited longest for a delivery to a list has waited on this worker; 0: nobody waits.",
    ("list_id",),
    unite="max",
)
PEOPLE = ScrapedGauge(
    "cm_streams_export_list_people",
    "People of this worker's partitions that a list holds for us; the sum over workers is all of them. A sudden fall "
    "is a mass removal.",
    ("list_id",),
)
BLOCKED = ScrapedGauge(
    "cm_streams_export_list_blocked",
    "1 while nothing gets through to a list: its last call failed, the probes of its circuit breaker included, or an "
    "authorization is blocked.",
    ("list_id",),
    unite="max",
)

SAMPLES = 16
"""Receipts of a publication whose latency is observed: enough for a distribution, and nothing beside a thousand."""
OUTCOME, REASON, LATENCY = b'"outcome":"', b'"reason":"', b'"latency_ms":'


def count_receipts(values: Sequence[bytes | None]) -> None:
    """Count receipts as they were published, by the text of their records: it takes a third of a microsecond each."""
    receipts = [value for value in values if value is not None]
    for (outcome, reason), number in Counts(map(_kind, receipts)).items():
        RECEIPTS.labels(outcome.decode(), reason.decode()).inc(number)
    for value in receipts[:: -(-len(receipts) // SAMPLES) or 1]:
        start = value.find(LATENCY) + len(LATENCY)
        end = value.find(b",", start)
        ACCEPTANCE.observe(int(value[start:end].rstrip(b"}")) / 1000)


def _kind(value: bytes) -> tuple[bytes, bytes]:
    start = value.index(OUTCOME) + len(OUTCOME)
    outcome = value[start : value.index(b'"', start)]
    if outcome not in (b"refused", b"not_exported"):
        return outcome, b""
    reason = value.find(REASON)
    return outcome, b"" if reason < 0 else value[(at := reason + len(REASON)) : value.index(b'"', at)]


class Shown:
    """Shows the state of a worker until `end`."""

    def __init__(self, state: ExportState, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: of the queues."""
        self._state = state
        self._clock = clock
        self._shown = ((DUE, self._due), (OLDEST, self._oldest), (PEOPLE, self._people), (BLOCKED, self._blocked))
        for gauge, read in self._shown:
            gauge.add(read)

    def end(self) -> None:
        """Show nothing any more."""
        for gauge, read in self._shown:
            gauge.remove(read)

    def _due(self) -> ScrapedValues:
        return [((list_id,), len(opened.queue)) for list_id, opened in self._state.open.items()]

    def _oldest(self) -> ScrapedValues:
        now = self._clock()
        since = {list_id: opened.queue.oldest_since() for list_id, opened in self._state.open.items()}
        return [((list_id,), 0.0 if at is None else max(0.0, now - at)) for list_id, at in since.items()]

    def _people(self) -> ScrapedValues:
        found: Counts[str] = Counts()
        for owned in self._state.owned.values():
            found.update(owned.receipts.people)
        return [((list_id,), found[list_id]) for list_id in self._state.open]

    def _blocked(self) -> ScrapedValues:
        now = self._clock()
        return [
            ((list_id,), bool(opened.breaker.holds_up(now, len(opened.queue)) or opened.blocked))
            for list_id, opened in self._state.open.items()
        ]
