"""What is retried, after how long, and when retrying ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.errors.backoff import MALFORMED_ATTEMPTS, call_with_retries, retry_after
from connectors.campaign_monitor.errors.exceptions import ApiError, CampaignMonitorError, MalformedAnswer, error_of
from connectors.campaign_monitor.errors.verdicts import (
    Accepted,
    Forbidden,
    Misconfigured,
    NotFound,
    PartialFailure,
    RowRefused,
    Transient,
    Unauthorised,
    Verdict,
)
from streams.export.rules.outcome import classify

PERMANENT: list[Verdict] = [
    Accepted(),
    RowRefused(206, "unsubscribed"),
    PartialFailure(),
    Unauthorised(100, "reconnect"),
    Forbidden(102, "foreign_id"),
    NotFound(404, "resource"),
    Misconfigured(256),
]


@pytest.mark.parametrize("verdict", PERMANENT)
def test_the_permanent_is_not_repeated(verdict: Verdict) -> None:
    assert retry_after(verdict, 5, 0.5) is None


@given(attempt=st.integers(1, 100_000), jitter=st.floats(0, 1), asked=st.floats(0, 1000))
def test_the_transient_is_repeated_for_ever_and_never_too_soon(attempt: int, jitter: float, asked: float) -> None:
    after = retry_after(Transient("rate_limited", asked), attempt, jitter)
    assert after is not None
    assert max(0.5, asked) <= after <= max(60, asked * 1.1)


async def test_malformed_answers_get_a_few_tries() -> None:
    malformed = MalformedAnswer("GET /x", "html")
    assert (await run([*[malformed] * (MALFORMED_ATTEMPTS - 1), "done"]))[0] == "done"
    with pytest.raises(MalformedAnswer):
        await run([*[malformed] * MALFORMED_ATTEMPTS, "never"])


async def test_no_retry_begins_after_the_deadline() -> None:
    with pytest.raises(ApiError):
        await run([trouble(), "never"], seconds=0.4)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def run(answers: list[CampaignMonitorError | str], seconds: float = float("inf")) -> tuple[str, Clock]:
    clock = Clock()

    async def call() -> str:
        answer = answers.pop(0)
        if isinstance(answer, CampaignMonitorError):
            raise answer
        return answer

    return await call_with_retries(call, seconds=seconds, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0), clock


def trouble() -> CampaignMonitorError:
    return error_of("GET /x", 503, b"")


async def test_trouble_is_retried_until_it_ends() -> None:
    result, clock = await run([trouble(), trouble(), trouble(), "done"])
    assert (result, clock.now) == ("done", 1 + 2 + 4)


async def test_a_deadline_ends_it_with_the_last_error() -> None:
    with pytest.raises(ApiError):
        await run([trouble() for _ in range(99)], seconds=30)


async def test_a_permanent_error_ends_it_at_once() -> None:
    with pytest.raises(ApiError):
        await run([error_of("GET /x", 400, b'{"Code":206}'), "never"])


@pytest.mark.parametrize("verdict", [Transient("rate_limited", 20), Transient("gateway", 20, outcome_unknown=True)])
def test_the_exporter_spreads_the_wait_that_the_server_names(verdict: Verdict) -> None:
    """All workers of an account get the same answer: without a spread they would come back in the same instant."""
    early, late = classify(verdict, 1, 0.0), classify(verdict, 1, 1.0)
    assert (early.after, late.after) == (20, 22)


def test_the_bounds_are_the_callers() -> None:
    waits = [retry_after(Transient("network"), attempt, 1.0, first=0.5, longest=30.0) for attempt in (1, 2, 99)]
    assert waits == [0.5, 1.0, 30.0]
