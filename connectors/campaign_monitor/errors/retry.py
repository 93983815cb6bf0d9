"""Retrying a call within a deadline: the shell around `backoff.retry_after`."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from connectors.campaign_monitor.errors.backoff import retry_after
from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Malformed

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
