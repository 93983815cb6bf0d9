"""A list that fails is shown as blocked without a gap, so that an alert which waits for minutes is reached."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.export.metrics import BLOCKED, Shown
from streams.export.rules.outcome import RetryLater
from streams.export.sending.breaker import CircuitBreaker
from streams.export.state import ExportState


def failed() -> CircuitBreaker:
    breaker = CircuitBreaker(60.0)
    breaker.record_failure(RetryLater(5.0, "list"), now=100.0)
    return breaker


def test_a_list_is_held_up_between_the_probes_and_while_one_is_under_way() -> None:
    breaker = failed()
    assert breaker.is_open(104.0)
    assert breaker.holds_up(104.0, waiting=1)
    assert not breaker.is_open(106.0), "a probe may be sent"
    assert breaker.holds_up(106.0, waiting=1)
    breaker.record_success()
    assert not breaker.holds_up(106.0, waiting=1)


def test_a_list_that_nobody_waits_for_is_not_held_up_for_ever() -> None:
    assert not failed().holds_up(106.0, waiting=0)


@pytest.mark.parametrize(("now", "waiting", "shown"), [(104.0, 0, 1.0), (106.0, 1, 1.0), (106.0, 0, 0.0)])
def test_the_metric_shows_a_list_that_is_held_up(now: float, waiting: int, shown: float) -> None:
    state = ExportState()
    queue = [object()] * waiting
    state.open["a-list"] = cast(Any, SimpleNamespace(breaker=failed(), queue=queue, blocked=()))
    shown_by = Shown(state, clock=lambda: now)
    try:
        (sample,) = (found for found in next(iter(BLOCKED.collect())).samples if found.labels["list_id"] == "a-list")
        assert sample.value == shown
    finally:
        shown_by.end()
