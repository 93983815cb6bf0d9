"""How fast an account may be asked: pure arithmetic over values, the clock is an argument.

Two sources of knowledge, because Campaign Monitor announces its limit on some endpoints only:

* **Headers** (`X-RateLimit-Limit`, `-Remaining`, `-Reset`): a window. What is left is the least that an answer of
  this window reported, less what is in flight now; every request that the server counted later is in flight still,
  so the window is never overdrawn by us. After a refusal with a reset time one request probes the next window.
* **429 without headers**: a pace. The first refusal sets it a little below what was accepted lately; it then rises
  quickly to the rate of the last refusal, slowly beside it, quickly beyond it. Repeated refusals wait longer each
  time, with jitter.

Other processes on the same account show in both. They may also share what they saw (`report`, `merge_report`).
Times are seconds of one monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.campaign_monitor.errors.exceptions import read_error
from connectors.campaign_monitor.errors.verdicts import Transient, classify, seconds_to_wait
from connectors.campaign_monitor.limits.pace import NO_PACE, Pace

# The announced seconds are whole ones, and the answer was on its way: starting a blink too early costs a refusal.
RESET_MARGIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RateLimitSignal:
    """What one answer shows about the limit. `reset`: seconds from now; None where the answer had no such header."""

    throttled: bool = False
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


NO_SIGNAL = RateLimitSignal()


def read_signal(status: int, headers: Mapping[str, str], body: bytes = b"") -> RateLimitSignal:
    """Read an answer for its limiter. The throttle of one address shows nothing about the account."""
    throttled = False
    if status == 429:
        content = read_error(status, body)
        verdict = classify(status, content.code, message=content.message, headers=headers)
        throttled = isinstance(verdict, Transient) and verdict.cause == "rate_limited"
    named = "X-RateLimit-Reset" in headers or "Retry-After" in headers
    return RateLimitSignal(
        throttled,
        limit=_count(headers, "X-RateLimit-Limit"),
        remaining=_count(headers, "X-RateLimit-Remaining"),
        reset=seconds_to_wait(headers) if named else None,
    )


def _count(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "").strip()
    return int(value) if value.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Window:
    """What is announced: `remaining` until `resets_at`.

    After that a like window is assumed, `announced` false, until an answer announces another: same limit, same
    length (the longest reset that was announced).
    """

    began: float
    resets_at: float
    limit: int | None
    remaining: int
    length: float
    announced: bool = True


@dataclass(frozen=True, slots=True)
class RateLimitReport:
    """What one process reports to the others, as durations: their monotonic clocks differ. `at` is a Unix time."""

    at: float
    limit: int | None
    remaining: int | None
    resets_in: float | None
    pause: float
    interval: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """All that is known about one account's limit, and what is in flight."""

    in_flight: int = 0
    window: Window | None = None
    probing: bool = False
    paused_until: float = 0.0
    struck_at: float = float("-inf")
    pace: Pace = NO_PACE

    def wait(self, now: float) -> float:
        """Return the seconds until a request may start: 0 = now, infinity = when one in flight has been answered."""
        pause = max(self.paused_until, self.pace.next_start) - now
        if pause > 0:
            return pause
        if self.probing and self.in_flight:
            return float("inf")
        window = self._current(now)
        return 0.0 if window is None or window.remaining > self.in_flight else window.resets_at - now

    def started(self, now: float) -> "Allowance":
        """Count a request that starts now."""
        return replace(self, in_flight=self.in_flight + 1, window=self._current(now), pace=self.pace.started(now))

    def answered(self, what: RateLimitSignal, started_at: float, now: float, jitter: float = 1.0) -> "Allowance":
        """Record one answer, or `NO_SIGNAL` when none came. `jitter`: 0 to 1, spreads workers that wait."""
        known = replace(self, in_flight=self.in_flight - 1, window=self._learned(what, started_at, now))
        if not what.throttled:
            return replace(known, probing=False, pace=self.pace.accepted(now))
        if what.reset is not None:
            paused = max(self.paused_until, now + max(what.reset, 1.0) + RESET_MARGIN_SECONDS + 0.1 * jitter)
            return replace(known, probing=True, paused_until=paused, struck_at=now)
        if started_at <= self.struck_at:
            return known  # it was on its way when the last refusal came: the same news
        pace, pause = self.pace.refused(now, jitter)
        return replace(known, pace=pace, paused_until=max(self.paused_until, now + pause), struck_at=now)

    def report(self, now: float, unix_now: float) -> RateLimitReport:
        """Return what other processes on this account should know."""
        window = self._current(now)
        known = window if window is not None and window.announced else None
        return RateLimitReport(
            at=unix_now,
            limit=known.limit if known else None,
            remaining=known.remaining if known else None,
            resets_in=known.resets_at - now if known else None,
            pause=max(self.paused_until - now, 0.0),
            interval=self.pace.interval,
        )

    def merge_report(self, report: RateLimitReport, now: float, unix_now: float) -> "Allowance":
        """Merge a rate-limit report from another process of the account.

        The stricter limit counts; what has expired since the report is ignored.
        """
        age = max(unix_now - report.at, 0.0)
        paused = max(self.paused_until, now + report.pause - age) if report.pause > age else self.paused_until
        merged = replace(self, paused_until=paused, pace=self.pace.not_faster_than(report.interval))
        if report.remaining is None or report.resets_in is None or report.resets_in <= age:
            return merged
        left = report.resets_in - age
        theirs = Window(now, now + left, report.limit, report.remaining, left)
        ours = self._current(now)
        if ours is None or not ours.announced:
            return replace(merged, window=theirs)
        return replace(merged, window=replace(ours, remaining=min(ours.remaining, theirs.remaining)))

    def _current(self, now: float) -> Window | None:
        window = self.window
        if window is None or now < window.resets_at:
            return window
        if window.limit is None:
            return None
        length = max(window.length, 1.0)
        began = window.resets_at + (now - window.resets_at) // length * length
        return Window(began, began + length, window.limit, max(window.limit, 1), length, announced=False)

    def _learned(self, what: RateLimitSignal, started_at: float, now: float) -> Window | None:
        window = self._current(now)
        if what.remaining is None or what.reset is None:
            return window and replace(window, remaining=max(window.remaining - 1, 0))  # counted, as far as we know
        at_latest = now + what.reset + RESET_MARGIN_SECONDS
        fresh = Window(started_at, at_latest, what.limit, what.remaining, what.reset)
        if window is None:
            return fresh
        at_earliest = started_at + what.reset
        if started_at < window.began and at_earliest <= window.began:
            # Probably about the window before; the server may have counted it in this one all the same.
            return replace(window, remaining=max(window.remaining - 1, 0))
        length = max(window.length, what.reset)
        if not window.announced:
            least = min(window.remaining, what.remaining)
            return Window(window.began, at_latest, what.limit, least, length)
        if at_earliest > window.resets_at:
            return replace(fresh, length=length)  # the server began a new one
        return Window(
            window.began,
            min(window.resets_at, at_latest),
            what.limit,
            min(window.remaining, what.remaining),
            length,
        )
