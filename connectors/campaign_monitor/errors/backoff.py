"""Repeating a call: a pure decision, and a shell that carries it out within a deadline.

For reads and for writes that may be repeated. The exporter has a table of its own: there the state that is wanted may
change while it waits, so it comes back to its rows instead of holding a call.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Malformed, Transient, Verdict

log = structlog.get_logger(__name__)

T = TypeVar("T")

# A half-broken gateway sends nonsense for a while; a permanent misreading of ours would repeat for ever.
MALFORMED_ATTEMPTS = 5


def backoff(attempt: int, jitter: float, *, first: float = 1.0, longest: float = 60.0) -> float:
    """Return the seconds before the next attempt: doubling from `first`, at most `longest`, half of it by chance.

    `attempt` counts from 1; `jitter` is a random number from 0 to 1, so that workers do not come back together.
    """
    whole = min(first * 2.0 ** min(max(attempt, 1) - 1, 30), longest)
    return whole * (0.5 + 0.5 * jitter)


@dataclass(frozen=True, slots=True)
class Again:
    """Repeat after this many seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not repeat."""


Decision = Again | GiveUp


def decide(verdict: Verdict, attempt: int, jitter: float, *, time_left: float = float("inf")) -> Decision:
    """Say whether a call that ended with `verdict` at its `attempt`-th try (from 1) is to be repeated.

    Transient verdicts are repeated for as long as time is left; the server's own wait is a lower bound. Malformed
    answers are repeated a few times. Everything else would end the same way again.
    """
    match verdict:
        case Transient(after=asked):
            after = max(backoff(attempt, jitter), asked * (1 + 0.1 * jitter))
        case Malformed() if attempt < MALFORMED_ATTEMPTS:
            after = backoff(attempt, jitter)
        case _:
            return GiveUp()
    return Again(after) if after < time_left else GiveUp()


async def persist(
    call: Callable[[], Awaitable[T]],
    *,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Return what `call` returns, repeating it while that may help, for at most `seconds` (default: for ever).

    Raises the last error when it gives up.
    """
    deadline = clock() + seconds
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except CampaignMonitorError as error:
            decision = decide(error.verdict, attempt, jitter(), time_left=deadline - clock())
            if isinstance(decision, GiveUp):
                raise
            log.info("campaign monitor asked again", reason=str(error), attempt=attempt, after_seconds=decision.after)
        await sleep(decision.after)
