"""Whether a list may be sent to now: after failures it waits, and one request at a time probes whether they end."""

from streams.export.rules.outcome import PROBE_SECONDS, Blocked, RetryLater


class CircuitBreaker:
    """One list's failures: closed, open until a time, or blocked until a person has repaired something."""

    def __init__(self, probe_seconds: float) -> None:
        self._probe_seconds = probe_seconds
        self.retry_at = 0.0
        """Nothing is sent before this time."""
        self.failures = 0
        self.blocked: str | None = None
        """What a person has to do."""

    @property
    def probing(self) -> bool:
        """Whether the last request failed: then one at a time is enough."""
        return self.blocked is not None or self.failures > 0

    def is_open(self, now: float) -> bool:
        """Whether nothing may be sent yet."""
        return now < self.retry_at

    def holds_up(self, now: float, waiting: int) -> bool:
        """Whether those who wait get nothing through; also while a probe is under way, which may take half a minute."""
        return self.is_open(now) or (self.probing and waiting > 0)

    def record_failure(self, retry: RetryLater, now: float) -> None:
        """A request failed for a reason that concerns more than its subscribers."""
        self.failures += 1
        self.retry_at = max(self.retry_at, now + retry.after)

    def block(self, blocked: Blocked, now: float) -> bool:
        """Only a person can repair it; it is probed from time to time. True when the reason is a new one."""
        self.retry_at = now + min(self._probe_seconds, blocked.after)
        is_new = self.blocked != blocked.why
        self.blocked = blocked.why
        return is_new

    def record_success(self) -> bool:
        """A request succeeded. True when the list was blocked until now."""
        was_blocked = self.blocked is not None
        self.failures, self.blocked = 0, None
        return was_blocked

    def reset(self) -> None:
        """A person changed something: try at once."""
        self.retry_at = 0.0
        self.failures = 0


class BlockedAuthorizations:
    """The authorizations of one list that do not work, while others do: their people wait, those of others go on."""

    def __init__(self, probe_seconds: float) -> None:
        self._probe_seconds = min(probe_seconds, PROBE_SECONDS)
        self._retry_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._retry_at)

    def __contains__(self, authorization: object) -> bool:
        return authorization in self._retry_at

    def block(self, authorization: str, now: float) -> bool:
        """Only a person can repair it. True when that is new."""
        is_new = authorization not in self._retry_at
        self._retry_at[authorization] = now + self._probe_seconds
        return is_new

    def wait_until(self, authorization: str, now: float) -> float | None:
        """Return until when people wait for it; None: now, and others wait until this one request has probed it."""
        retry_at = self._retry_at.get(authorization)
        if retry_at is None or retry_at > now:
            return retry_at
        self._retry_at[authorization] = now + self._probe_seconds
        return None

    def record_success(self, authorization: str) -> bool:
        """A request was answered. True when the authorization was blocked until now."""
        return self._retry_at.pop(authorization, None) is not None

    def reset(self) -> None:
        """A person changed something: try at once."""
        self._retry_at = dict.fromkeys(self._retry_at, 0.0)
