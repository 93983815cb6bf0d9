"""Counters that alerts ask for an increase of are there from zero on, so that the very first event is one."""

import pytest

from connectors.webhook.server import QUARANTINED
from schemas.audience_delivery import Outcome, Refusal
from schemas.dead_letter import Stage
from streams.batches import Metrics
from streams.batches.core.metrics import BATCH_METRICS
from streams.batches.process.measure import DEAD_LETTER_REASONS, begin_counters
from streams.export.metrics import RECEIPTS


def test_retries_and_dead_letters_of_a_topic() -> None:
    metrics = Metrics(BATCH_METRICS)
    begin_counters(metrics, ["a", "b"])
    shown = [(sample.declared.name, sample.labels) for sample in metrics.snapshot()]
    for topic in ("a", "b"):
        assert ("cm_streams_batches_retries_total", {"topic": topic}) in shown
        for reason in DEAD_LETTER_REASONS:
            assert ("cm_streams_batches_dead_letters_total", {"topic": topic, "reason": reason}) in shown


@pytest.mark.parametrize(
    ("counter", "wanted"),
    [
        (RECEIPTS, {(("outcome", Outcome.REFUSED.value), ("reason", refusal.value)) for refusal in Refusal}),
        (QUARANTINED, {(("reason", stage.value),) for stage in Stage}),
    ],
)
def test_refused_people_and_posts(counter, wanted) -> None:
    shown = {tuple(sorted(sample.labels.items())) for sample in counter.collect()[0].samples}
    assert wanted <= shown
