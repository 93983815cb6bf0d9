"""A pace for requests where no limit is announced: learned from refusals, pure.

The rate rises with every accepted request and falls with a refusal, as TCP's does; it remembers the rate of the last
refusal, so that it stays just below it most of the time and still finds out when the limit is raised.
"""

from dataclasses import dataclass, replace
from math import exp

from connectors.campaign_monitor.errors.backoff import backoff

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
