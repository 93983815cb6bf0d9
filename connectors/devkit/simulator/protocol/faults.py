"""Faults on request: which calls they meet, how often, and what they do to them.

Throttles are faults that a real account has always: on writes of one address, and optionally on all calls together.
"""

import random
from collections import deque
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.settings import SimulatorSettings

FaultKind = Literal["status", "delay", "hang", "reset", "truncate", "slow", "mutate"]


class Fault(BaseModel):
    """One fault.

    `method` and `path` are shell patterns; `path` is compared with the path below the version, suffix included
    (`/lists/*/active.json`), and with the endpoint's name without it (`/lists/{listid}/active`). OAuth calls are
    `/oauth` and `/oauth/token`. Of several faults the one that was injected first acts.

    * status: answer `status` with `code` and `message` as JSON, or an HTML page, or nothing, or `text` as it is
    * delay: wait `seconds`, then answer as always
    * hang: wait `seconds`, then cut the connection
    * reset: cut the connection at once
    * truncate: announce the whole answer and send half of it
    * slow: send the answer at `bytes_per_second`
    * mutate: do `acts` (verbs of `Controls` with their arguments) before the call is answered

    With `after` a status, hang or reset comes when the call's write has been applied. With `late` the write is held
    instead: it is applied `late_seconds` later, or, without them, when `Controls.release_calls` is called.
    """

    model_config = ConfigDict(extra="forbid")

    kind: FaultKind
    method: str = "*"
    path: str = "*"
    address: str | None = None  # only calls that write this address
    skip: int = Field(default=0, ge=0)  # matching calls that pass first
    count: int | None = Field(default=1, ge=1)  # calls that are met; None is no end
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 1
    after: bool = False
    late: bool = False
    late_seconds: float | None = Field(default=None, ge=0)
    status: int = 500
    body: Literal["json", "html", "empty", "text"] = "json"
    code: int | None = None  # without one, the HTTP status
    message: str | None = None
    text: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(default=3_600.0, ge=0)
    bytes_per_second: int = Field(default=1, ge=1)
    acts: list[tuple[str, dict[str, Any]]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_late(self) -> Self:
        if self.late and (self.after or self.kind not in ("status", "hang", "reset")):
            raise ValueError("`late` goes with status, hang or reset, and not with `after`")
        return self


class _Active:
    __slots__ = ("chance", "fault", "met", "number", "seen")

    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.seen = 0
        self.met = 0
        self.chance = random.Random(fault.seed)


class FaultPlan:
    """The faults in force."""

    def __init__(self) -> None:
        self._active: list[_Active] = []
        self._injected = 0

    def inject(self, fault: Fault) -> int:
        """Put a fault in force and return its number."""
        self._injected += 1
        self._active.append(_Active(self._injected, fault))
        return self._injected

    def clear(self, number: int | None = None) -> None:
        """Take one fault, or all, out of force."""
        self._active = [active for active in self._active if number is not None and active.number != number]

    def __bool__(self) -> bool:
        return bool(self._active)

    def next_for(self, method: str, paths: Iterable[str], addresses: Iterable[str] = ()) -> Fault | None:
        """Return the fault that meets this call, and count it."""
        paths = tuple(paths)
        for active in self._active:
            fault = active.fault
            if not fnmatchcase(method, fault.method.upper()):
                continue
            if not any(fnmatchcase(path, fault.path) for path in paths):
                continue
            if fault.address is not None and fault.address.lower() not in addresses:
                continue
            active.seen += 1
            if active.seen <= fault.skip or (fault.probability < 1 and active.chance.random() >= fault.probability):
                continue
            active.met += 1
            if fault.count is not None and active.met >= fault.count:
                self._active.remove(active)
            return fault
        return None

    def shown(self) -> list[dict[str, Any]]:
        """Return what is in force and how often each fault has acted."""
        return [{"number": active.number, "met": active.met, **active.fault.model_dump()} for active in self._active]


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
