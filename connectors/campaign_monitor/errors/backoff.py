"""The only back-off and the only retry decision (pure): may a verdict be retried, and after how many seconds.

Who calls these bounds the retries: the importer by attempts, `retry.call_with_retries` by a deadline, the exporter not
at all: it comes back to its rows, whose desired state may have changed meanwhile.

`call_with_retries` is the shell around it: it retries a call within a deadline.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Malformed, Transient, Verdict

# Shorter, and a gateway that restarts is met several times over; longer, and a lone lost packet costs a change dearly.
FIRST_SECONDS = 1.0
# An outage of hours costs one call a minute; longer would leave the end of an outage unnoticed for minutes.
LONGEST_SECONDS = 60.0
# Workers that were asked to wait for one and the same moment must not all come back at it.
SERVER_WAIT_SPREAD = 0.1


def backoff(attempt: int, jitter: float, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> float:
    """Return the seconds before the next attempt: doubling from `first`, at most `longest`, half of it by chance.

    `attempt` counts from 1; `jitter` is a random number from 0 to 1, so that workers do not come back together.
    """
    whole = min(first * 2.0 ** min(max(attempt, 1) - 1, 30), longest)
    return whole * (0.5 + 0.5 * jitter)


def retry_after(
    verdict: Verdict, attempt: int, jitter: float, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS
) -> float | None:
    """Return the seconds after which a call that ended with `verdict` at its `attempt`-th try (from 1) may be retried.

    None: it would end the same way again. Transient verdicts may be retried for ever, and the server's own wait is a
    lower bound; so may malformed answers, though a caller with a deadline retries those a few times only.
    """
    match verdict:
        case Transient(after=asked):
            return max(
                backoff(attempt, jitter, first=first, longest=longest), asked * (1 + SERVER_WAIT_SPREAD * jitter)
            )
        case Malformed():
            return backoff(attempt, jitter, first=first, longest=longest)
        case _:
            return None


log = structlog.get_logger(__name__)

T = TypeVar("T")

# A half-broken gateway sends nonsense for a while; a permanent misreading of ours would repeat for ever.
MALFORMED_ATTEMPTS = 5


async def call_with_retries(
    call: Callable[[], Awaitable[T]],
    *,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> T:
    """Return what `call` returns, retrying it while that may help, for at most `seconds` (default: for ever).

    For reads, and for writes that may be repeated. Raises the last CampaignMonitorError: of a verdict that cannot be
    retried, after `MALFORMED_ATTEMPTS` malformed answers, or when the next wait would pass the deadline.
    """
    deadline = clock() + seconds
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except CampaignMonitorError as error:
            after = retry_after(error.verdict, attempt, jitter())
            exhausted = isinstance(error.verdict, Malformed) and attempt >= MALFORMED_ATTEMPTS
            if after is None or exhausted or after >= deadline - clock():
                raise
            log.info("campaign monitor call retried", reason=str(error), attempt=attempt, after_seconds=after)
        await sleep(after)
