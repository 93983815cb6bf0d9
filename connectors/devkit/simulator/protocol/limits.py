"""Throttles: writes of one address, and optionally all calls together."""

from collections import deque

from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.settings import SimulatorSettings

TOO_QUICK = "Subscriber was added too many times too quickly, try again later."


class SimulatedLimits:
    """Counts in sliding (addresses) and fixed (everybody) windows; `now` is an argument."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._writes: dict[tuple[str, str], deque[float]] = {}
        self._window_start = 0.0
        self._used = 0

    def write(self, now: float, list_id: str, email: str) -> None:
        """Count a write of one address on a list. Raises ApiError 429 when it is too quick."""
        limit = self._settings.address_limit
        if not limit:
            return
        times = self._writes.setdefault((list_id, fold(email)), deque())
        while times and times[0] <= now - self._settings.address_window_seconds:
            times.popleft()
        if len(times) >= limit:
            raise SimulatedApiError(429, TOO_QUICK)
        times.append(now)

    def call(self, now: float) -> tuple[bool, dict[str, str]]:
        """Count a call; return whether it may pass (False: answer 429), and the headers that announce the limit."""
        limit, window = self._settings.rate_limit, self._settings.rate_window_seconds
        if not limit:
            return True, {}
        if not self._window_start <= now < self._window_start + window:
            self._window_start, self._used = now, 0
        passes = self._used < limit
        self._used += passes
        if not self._settings.rate_limit_headers:
            return passes, {}
        reset = max(0, -int(-(self._window_start + window - now) // 1))
        return passes, {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - self._used),
            "X-RateLimit-Reset": str(reset),
        }
