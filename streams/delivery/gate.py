"""Whether a list may be sent to now: after trouble it waits, and one request at a time finds out whether it is over."""

from streams.domain.outcome import Again


class Gate:
    """One list's trouble."""

    def __init__(self, probe_seconds: float) -> None:
        self._probe_seconds = probe_seconds
        self.opens_at = 0.0
        self.failures = 0
        self.halted: str | None = None
        """What a person has to do."""

    @property
    def troubled(self) -> bool:
        """Whether the last request failed: then one at a time is enough."""
        return self.halted is not None or self.failures > 0

    def closed(self, now: float) -> bool:
        """Whether nothing may be sent yet."""
        return now < self.opens_at

    def failed(self, again: Again, now: float) -> None:
        """A request did not come through, for a reason that concerns more than its people."""
        self.failures += 1
        self.opens_at = max(self.opens_at, now + again.after)

    def halt(self, why: str, now: float, after: float | None = None) -> bool:
        """Only a person can repair it; it is tried again from time to time. True when that is news."""
        self.opens_at = now + min(self._probe_seconds, after or self._probe_seconds)
        news = self.halted != why
        self.halted = why
        return news

    def succeeded(self) -> bool:
        """A request came through. True when a person was waiting for that."""
        was = self.halted is not None
        self.failures, self.halted = 0, None
        return was

    def open(self) -> None:
        """A person changed something: try at once."""
        self.opens_at = 0.0
        self.failures = 0
