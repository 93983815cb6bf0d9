"""How fast an account may be asked: pure arithmetic over values, the clock is an argument.

Two sources of knowledge, because Campaign Monitor announces its limit on some endpoints only:

* **Headers** (`X-RateLimit-Limit`, `-Remaining`, `-Reset`): a window. What is left is the least that an answer of
  this window reported, less what is in flight now; every request that the server counted later is in flight still,
  so the window is never overdrawn by us. After a refusal with a reset time one request probes the next window.
* **429 without headers**: a pace. The first refusal sets it a little below what was accepted lately; it then rises
  quickly to the rate of the last refusal, slowly beside it, quickly beyond it. Repeated refusals wait longer each
  time, with jitter.

Other processes on the same account show in both. They may also tell each other what they saw (`told`, `heard`).
Times are seconds of one monotonic clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from connectors.campaign_monitor.errors import read_error
from connectors.campaign_monitor.pace import NO_PACE, Pace
from connectors.campaign_monitor.verdicts import Transient, classify, seconds_to_wait

# The announced seconds are whole ones, and the answer was on its way: starting a blink too early costs a refusal.
RESET_MARGIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Seen:
    """What one answer says about the limit. `reset`: seconds from now; None where nothing was said."""

    throttled: bool = False
    limit: int | None = None
    remaining: int | None = None
    reset: float | None = None


NOTHING_SEEN = Seen()


def seen(status: int, headers: Mapping[str, str], body: bytes = b"") -> Seen:
    """Read an answer for its limiter. The throttle of one address is no word about the account."""
    throttled = False
    if status == 429:
        content = read_error(status, body)
        verdict = classify(status, content.code, message=content.message, headers=headers)
        throttled = isinstance(verdict, Transient) and verdict.cause == "rate_limited"
    named = "X-RateLimit-Reset" in headers or "Retry-After" in headers
    return Seen(
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
    """What is announced: `remaining` until `resets_at`. After that, `limit` is assumed until an answer says more."""

    began: float
    resets_at: float | None
    limit: int | None
    remaining: int


@dataclass(frozen=True, slots=True)
class Told:
    """What one process tells the others, as durations: their monotonic clocks differ. `at` is a Unix time."""

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
        if window is None or window.remaining > self.in_flight:
            return 0.0
        if window.resets_at is not None:
            return max(window.resets_at - now, 0.0)
        # No reset is known, and nothing that could tell one is in flight: one request has to ask.
        return float("inf") if self.in_flight else 0.0

    def started(self, now: float) -> "Allowance":
        """Count a request that starts now."""
        return replace(self, in_flight=self.in_flight + 1, window=self._current(now), pace=self.pace.started(now))

    def answered(self, what: Seen, started_at: float, now: float, jitter: float = 1.0) -> "Allowance":
        """Take in one answer, or `NOTHING_SEEN` when none came. `jitter`: 0 to 1, spreads workers that wait."""
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

    def told(self, now: float, unix_now: float) -> Told:
        """Return what other processes on this account should know."""
        window = self._current(now)
        resets_at = window.resets_at if window else None
        return Told(
            at=unix_now,
            limit=window.limit if window else None,
            remaining=window.remaining if window and resets_at is not None else None,
            resets_in=None if resets_at is None else resets_at - now,
            pause=max(self.paused_until - now, 0.0),
            interval=self.pace.interval,
        )

    def heard(self, told: Told, now: float, unix_now: float) -> "Allowance":
        """Merge what another process told; the stricter word counts, and old words count for nothing."""
        age = max(unix_now - told.at, 0.0)
        paused = max(self.paused_until, now + told.pause - age) if told.pause > age else self.paused_until
        merged = replace(self, paused_until=paused, pace=self.pace.not_faster_than(told.interval))
        if told.remaining is None or told.resets_in is None or told.resets_in <= age:
            return merged
        theirs = Window(now, now + told.resets_in - age, told.limit, told.remaining)
        ours = self._current(now)
        if ours is None or ours.resets_at is None:
            return replace(merged, window=theirs)
        return replace(merged, window=replace(ours, remaining=min(ours.remaining, theirs.remaining)))

    def _current(self, now: float) -> Window | None:
        window = self.window
        if window is None or window.resets_at is None or now < window.resets_at:
            return window
        return Window(window.resets_at, None, window.limit, window.limit) if window.limit else None

    def _learned(self, what: Seen, started_at: float, now: float) -> Window | None:
        window = self._current(now)
        if what.remaining is None or what.reset is None:
            if window is None or started_at < window.began:
                return window
            return replace(window, remaining=max(window.remaining - 1, 0))  # counted, as far as we know
        at_latest = now + what.reset + RESET_MARGIN_SECONDS
        fresh = Window(started_at, at_latest, what.limit, what.remaining)
        if window is None:
            return fresh
        if started_at < window.began:
            return window  # about the window before
        if window.resets_at is None:
            return replace(fresh, began=window.began, remaining=min(what.remaining, window.remaining))
        if started_at + what.reset > window.resets_at:
            return fresh  # the server began a new one
        return replace(
            window,
            limit=what.limit,
            remaining=min(window.remaining, what.remaining),
            resets_at=min(window.resets_at, at_latest),
        )
