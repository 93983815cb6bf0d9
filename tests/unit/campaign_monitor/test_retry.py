"""What is repeated, after how long, and when it is given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.campaign_monitor.errors.backoff import Again, GiveUp, decide, persist
from connectors.campaign_monitor.errors.exceptions import ApiError, CampaignMonitorError, error_of
from connectors.campaign_monitor.errors.verdicts import (
    Accepted,
    Forbidden,
    Malformed,
    Misconfigured,
    NotFound,
    PartialFailure,
    RowRefused,
    Transient,
    Unauthorised,
    Verdict,
)

PERMANENT: list[Verdict] = [
    Accepted(),
    RowRefused(206, "unsubscribed"),
    PartialFailure(),
    Unauthorised(100, "reconnect"),
    Forbidden(102, "foreign_id"),
    NotFound(404, "resource"),
    Misconfigured(256),
    Malformed("html"),
]


@pytest.mark.parametrize("verdict", PERMANENT)
def test_the_permanent_is_not_repeated(verdict: Verdict) -> None:
    assert decide(verdict, 5, 0.5) == GiveUp()


@given(attempt=st.integers(1, 100_000), jitter=st.floats(0, 1), asked=st.floats(0, 1000))
def test_the_transient_is_repeated_for_ever_and_never_too_soon(attempt: int, jitter: float, asked: float) -> None:
    decision = decide(Transient("rate_limited", asked), attempt, jitter)
    assert isinstance(decision, Again)
    assert max(0.5, asked) <= decision.after <= max(60, asked * 1.1)


def test_malformed_answers_get_a_few_tries_and_time_is_respected() -> None:
    assert isinstance(decide(Malformed("html"), 4, 0.0), Again)
    assert decide(Transient("network"), 1, 0.0, time_left=0.4) == GiveUp()


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

    return await persist(call, seconds=seconds, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0), clock


def trouble() -> CampaignMonitorError:
    return error_of("GET /x", 503, b"")


async def test_persisting_through_trouble() -> None:
    result, clock = await run([trouble(), trouble(), trouble(), "done"])
    assert (result, clock.now) == ("done", 1 + 2 + 4)


async def test_a_deadline_ends_it_with_the_last_error() -> None:
    with pytest.raises(ApiError):
        await run([trouble() for _ in range(99)], seconds=30)


async def test_a_permanent_error_ends_it_at_once() -> None:
    with pytest.raises(ApiError):
        await run([error_of("GET /x", 400, b'{"Code":206}'), "never"])
