"""A list that fails is shown as blocked without a gap, so that an alert which waits for minutes is reached."""

from streams.export.rules.outcome import RetryLater
from streams.export.sending.breaker import CircuitBreaker


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
