"""The announced window is never overdrawn, a pace is found where none is announced, and there is always progress."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.campaign_monitor.errors.backoff import backoff
from connectors.campaign_monitor.limits.allowance import (
    NO_PACE,
    NO_SIGNAL,
    Allowance,
    Pace,
    RateLimitSignal,
    read_signal,
)

THROTTLED = RateLimitSignal(throttled=True)
ANNOUNCED = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "9"}


@dataclass
class Server:
    """Counts requests in fixed windows, in virtual time; answers with or without headers."""

    limit: int
    window: float
    headers: bool
    taken: dict[int, int] = field(default_factory=dict)
    refused: int = 0
    accepted: list[float] = field(default_factory=list)
    others: Callable[[int], int] = lambda _number: 0

    def answer(self, now: float) -> RateLimitSignal:
        number = int(now // self.window)
        used = self.taken.get(number, self.others(number)) + 1
        self.taken[number] = used
        reset = (number + 1) * self.window - now
        refused = used > self.limit
        if refused:
            self.refused += 1
        else:
            self.accepted.append(now)
        if not self.headers:
            return RateLimitSignal(throttled=refused)
        return RateLimitSignal(refused, self.limit, max(self.limit - used, 0), reset)


def drive(server: Server, *, seconds: float, in_flight: int, latency: Callable[[int], float]) -> Allowance:
    """Send as fast as the allowance lets us. The server counts a request half-way through its latency."""
    allowance, now, number = Allowance(), 0.0, 0
    arriving: list[tuple[float, int, float, float]] = []
    answering: list[tuple[float, int, float, RateLimitSignal]] = []
    while now < seconds:
        while arriving and arriving[0][0] <= now:
            at, serial, started, taken = heapq.heappop(arriving)
            heapq.heappush(answering, (at + taken / 2, serial, started, server.answer(at)))
        while answering and answering[0][0] <= now:
            _, _, started, what = heapq.heappop(answering)
            allowance = allowance.answered(what, started, now, jitter=(number * 0.37) % 1)
        while allowance.in_flight < in_flight and allowance.wait(now) <= 0:
            number += 1
            taken = latency(number)
            allowance = allowance.started(now)
            heapq.heappush(arriving, (now + taken / 2, number, now, taken))
        wait = allowance.wait(now) if allowance.in_flight < in_flight else float("inf")
        events = [entry[0][0] for entry in (arriving, answering) if entry]
        following = min([now + wait, *events])
        assert following < float("inf"), "nothing is in flight and nothing may start: no progress"
        now = max(following, now + 1e-9)
    return allowance


@settings(deadline=None, max_examples=60)
@given(
    limit=st.integers(1, 60),
    window=st.sampled_from([5.0, 10.0, 60.0]),
    in_flight=st.integers(1, 8),
    slowness=st.lists(st.floats(0.01, 4.0), min_size=1, max_size=5),
)
def test_an_announced_window_is_not_overdrawn(limit: int, window: float, in_flight: int, slowness: list[float]) -> None:
    server = Server(limit, window, headers=True)
    drive(server, seconds=window * 8, in_flight=in_flight, latency=lambda n: slowness[n % len(slowness)])
    # Before the first answer nothing is known: what starts then may be too much, once.
    assert server.refused <= max(in_flight - limit, 0)
    assert len([at for at in server.accepted if at > window]) >= 3, "progress in every few windows"


@pytest.mark.parametrize(("limit", "window"), [(20, 10.0), (60, 60.0)])
def test_an_announced_window_is_used(limit: int, window: float) -> None:
    server = Server(limit, window, headers=True)
    drive(server, seconds=window * 20, in_flight=4, latency=lambda _: 0.2)
    assert len(server.accepted) >= 0.95 * limit * 20


def test_others_on_the_account_are_respected() -> None:
    server = Server(30, 10.0, headers=True, others=lambda number: 20 if number else 0)
    drive(server, seconds=200, in_flight=4, latency=lambda _: 0.2)
    assert server.refused <= 1 * 20, "at most one refusal a window, when somebody else used it up"
    assert len(server.accepted) >= 0.8 * 10 * 20


def test_one_request_probes_each_window_while_everything_is_refused() -> None:
    server = Server(0, 10.0, headers=True)
    drive(server, seconds=600, in_flight=8, latency=lambda _: 0.1)
    assert server.refused <= 8 + 60, "one per announced window, after the first burst"
    assert server.refused >= 50, "but it does ask"


@pytest.mark.parametrize("in_flight", [1, 4])
def test_an_unannounced_rate_is_found(in_flight: int) -> None:
    server = Server(1, 1.0, headers=False)
    drive(server, seconds=1000, in_flight=in_flight, latency=lambda n: 0.1 + 0.05 * (n % 3))
    late = [at for at in server.accepted if at > 100]
    assert len(late) >= 0.9 * 900, f"{len(late)} of 900"
    assert server.refused <= 0.1 * 1000


@settings(deadline=None, max_examples=40)
@given(
    limit=st.integers(1, 50),
    window=st.sampled_from([1.0, 10.0, 60.0]),
    in_flight=st.integers(1, 8),
    slow=st.floats(0.01, 2.0),
)
def test_there_is_always_progress_without_headers(limit: int, window: float, in_flight: int, slow: float) -> None:
    server = Server(limit, window, headers=False)
    drive(server, seconds=900, in_flight=in_flight, latency=lambda _: slow)
    possible = min(limit / window, in_flight / slow) * 900
    assert len(server.accepted) >= 0.4 * possible
    assert server.refused <= 0.35 * len(server.accepted) + 40


def test_it_recovers_when_the_limit_is_gone() -> None:
    server = Server(1, 1.0, headers=False)
    free = Server(10_000, 1.0, headers=False)

    class Both(Server):
        def answer(self, now: float) -> RateLimitSignal:
            return (server if now < 300 else free).answer(now)

    drive(Both(0, 1.0, headers=False), seconds=700, in_flight=4, latency=lambda _: 0.1)
    assert len([at for at in free.accepted if at > 690]) > 200, "40 a second are possible"


def test_one_stray_refusal_costs_seconds_not_minutes() -> None:
    class Stray(Server):
        def answer(self, now: float) -> RateLimitSignal:
            stray = not self.taken
            self.taken[0] = 1
            self.accepted += [] if stray else [now]
            return RateLimitSignal(throttled=stray)

    server = Stray(10_000, 1.0, headers=False)
    drive(server, seconds=20, in_flight=4, latency=lambda _: 0.1)
    assert server.accepted[0] < 2
    assert len([at for at in server.accepted if at > 18]) > 50, "40 a second are possible"


def test_a_long_outage_is_asked_about_ever_more_rarely() -> None:
    server = Server(0, 1.0, headers=False)
    drive(server, seconds=7200, in_flight=4, latency=lambda _: 0.1)
    assert 60 < server.refused < 360


def test_refusals_of_one_burst_count_once() -> None:
    allowance = Allowance()
    for _ in range(4):
        allowance = allowance.started(10.0)
    first = allowance.answered(THROTTLED, 10.0, 10.2)
    later = first.answered(THROTTLED, 10.0, 10.3).answered(THROTTLED, 10.0, 10.4)
    assert later.pace.strikes == first.pace.strikes == 1


def test_a_stale_answer_does_not_open_a_window_again() -> None:
    """An answer about the window before, with `reset` 0, comes late; the new window must not look fresh after it."""
    allowance = Allowance().started(0.0).answered(RateLimitSignal(False, 10, 9, 10.0), 0.0, 0.1).started(9.5)
    sent, now = 0, 10.5
    while now < 19:
        if allowance.wait(now) <= 0:
            sent += 1
            allowance = allowance.started(now).answered(NO_SIGNAL, now, now)
        if sent == 5 and allowance.in_flight:
            allowance = allowance.answered(RateLimitSignal(False, 10, 8, 0.0), 9.5, now)
        now += 0.1
    assert 9 <= sent <= 10


def test_the_stricter_word_of_two_processes_counts() -> None:
    ours = Allowance().started(0.0).answered(RateLimitSignal(False, 60, 30, 20.0), 0.0, 0.0)
    theirs = Allowance().started(500.0).answered(RateLimitSignal(False, 60, 10, 20.0), 500.0, 500.0)
    merged = ours.merge_report(theirs.report(500.0, 1_000_000.0), 1.0, 1_000_001.0)
    assert merged.window is not None
    assert merged.window.remaining == 10
    assert theirs.merge_report(ours.report(0.0, 1.0), 501.0, 2.0).window == theirs.window
    paused = Allowance().started(0.0).answered(RateLimitSignal(True, 60, 0, 30.0), 0.0, 0.0)
    assert 25 <= Allowance().merge_report(paused.report(0.0, 100.0), 7.0, 102.0).wait(7.0) <= 30
    old = Allowance().merge_report(paused.report(0.0, 100.0), 7.0, 200.0)
    assert old.wait(7.0) == 0, "old news"
    slower = Allowance().merge_report(Allowance(pace=Pace(interval=2.0)).report(0.0, 0.0), 0.0, 0.0)
    assert slower.pace.interval == 2.0


@given(
    readings=st.lists(
        st.tuples(st.integers(0, 60), st.floats(0, 60), st.floats(0, 60), st.floats(0, 10)), min_size=2, max_size=4
    )
)
def test_merging_a_report_twice_is_merging_it_once(readings: list[tuple[int, float, float, float]]) -> None:
    reports = [
        Allowance(pace=Pace(interval=interval), paused_until=pause)
        .started(0.0)
        .answered(RateLimitSignal(False, 60, remaining, reset), 0.0, 0.0)
        .report(0.0, 50.0)
        for remaining, reset, pause, interval in readings
    ]
    once = twice = Allowance()
    for report in reports:
        once = once.merge_report(report, 5.0, 51.0)
        twice = twice.merge_report(report, 5.0, 51.0).merge_report(report, 5.0, 51.0)
    assert once == twice


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, b"", NO_SIGNAL),
        (200, ANNOUNCED, b"", RateLimitSignal(False, 60, 5, 9)),
        (200, {"X-RateLimit-Remaining": "many"}, b"", NO_SIGNAL),
        (429, {}, b"", THROTTLED),
        (429, {"Retry-After": "4"}, b"<html>", RateLimitSignal(True, None, None, 4)),
        (429, {}, b'{"Code":429,"Message":"Subscriber was added too many times too quickly"}', NO_SIGNAL),
        (503, {}, b"", NO_SIGNAL),
    ],
)
def test_what_an_answer_says(status: int, headers: dict[str, str], body: bytes, expected: RateLimitSignal) -> None:
    assert read_signal(status, headers, body) == expected


@given(attempt=st.integers(-3, 10_000), jitter=st.floats(0, 1))
def test_backoff_grows_to_a_bound_and_never_vanishes(attempt: int, jitter: float) -> None:
    wait = backoff(attempt, jitter)
    assert 0.5 <= wait <= 60
    assert backoff(attempt + 1, jitter) >= wait


def test_no_pace_is_no_wait() -> None:
    pace = NO_PACE
    for number in range(100):
        pace = pace.started(number * 0.001).accepted(number * 0.001)
    assert pace.next_start == 0
