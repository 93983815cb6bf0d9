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

Where no limit is announced, `Pace` is learned from refusals (pure): the rate rises with every accepted request and
falls with a refusal, as TCP's does; it remembers the rate of the last refusal, so that it stays just below it most of
the time and still finds out when the limit is raised.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp

from connectors.campaign_monitor.errors.backoff import backoff
from connectors.campaign_monitor.errors.exceptions import read_error
from connectors.campaign_monitor.errors.verdicts import Transient, classify, seconds_to_wait

# How long accepted requests are remembered to measure the rate that was good. Shorter: a burst within a minute's
# allowance looks like a rate. Longer: the first pace after an idle hour is far too slow.
MEMORY_SECONDS = 30.0
# One request a minute always goes out: something has to find out that the limit was lifted.
SLOWEST_INTERVAL = 60.0
FASTEST_INTERVAL = 0.001
# Nothing was measured when the first call after an idle hour is refused; a lone refusal should not cost a minute.
LOWEST_FIRST_RATE = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between two starts, 0 = as fast as one likes."""

    interval: float = 0.0
    next_start: float = 0.0
    refused_interval: float | None = None
    strikes: int = 0
    accepted_weight: float = 0.0
    accepted_at: float = 0.0
    began: float | None = None

    def started(self, now: float) -> "Pace":
        """Count a request that starts now."""
        began = now if self.began is None else self.began
        if not self.interval:
            return replace(self, began=began) if self.began is None else self
        return replace(self, began=began, next_start=max(now, self.next_start) + self.interval)

    def accepted(self, now: float) -> "Pace":
        """Count an accepted request, and go a little faster."""
        weight = self.accepted_weight * exp(-max(now - self.accepted_at, 0.0) / MEMORY_SECONDS) + 1
        interval = self.interval / (1 + self._growth())
        return replace(
            self,
            interval=0.0 if interval < FASTEST_INTERVAL else interval,
            strikes=0,
            accepted_weight=weight,
            accepted_at=now,
        )

    def refused(self, now: float, jitter: float) -> tuple["Pace", float]:
        """Return the slower pace after a refusal, and the seconds to pause: none for the first refusal in a row."""
        strikes = self.strikes + 1
        slowdown = 1.02 if strikes == 1 else 1.25
        interval = self.interval * slowdown if self.interval else 1.1 / max(self.measured(now), LOWEST_FIRST_RATE)
        slower = replace(
            self,
            interval=min(interval, SLOWEST_INTERVAL),
            refused_interval=self.interval or None,
            strikes=strikes,
            next_start=max(self.next_start, now + min(interval, SLOWEST_INTERVAL)),
        )
        return slower, 0.0 if strikes == 1 else backoff(strikes - 1, jitter, longest=LONGEST_PAUSE_SECONDS)

    def measured(self, now: float) -> float:
        """Return the requests per second that were accepted lately; never 0."""
        elapsed = max(now - (now if self.began is None else self.began), 1.0)
        remembered = MEMORY_SECONDS * (1 - exp(-elapsed / MEMORY_SECONDS))
        weight = self.accepted_weight * exp(-max(now - self.accepted_at, 0.0) / MEMORY_SECONDS)
        return max(weight / remembered, 1 / SLOWEST_INTERVAL)

    def not_faster_than(self, interval: float) -> "Pace":
        """Return the slower of both."""
        return self if interval <= self.interval else replace(self, interval=min(interval, SLOWEST_INTERVAL))

    def _growth(self) -> float:
        if self.refused_interval is None:
            return 0.10
        relative = self.refused_interval / self.interval if self.interval else float("inf")  # 1 = as fast as refused
        if relative < 0.95:
            return 0.10
        return 0.0005 if relative < 1.03 else 0.02


NO_PACE = Pace()


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
