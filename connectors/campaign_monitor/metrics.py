"""Calls to Campaign Monitor as metrics: what was answered, how long it took, and how long calls waited before."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from connectors.campaign_monitor.errors.exceptions import CampaignMonitorError
from connectors.campaign_monitor.errors.verdicts import Accepted, Transient, Unauthorised, Verdict

CALLS = Counter(
    "cm_streams_api_calls_total",
    "Attempts at Campaign Monitor by endpoint and by what the answer meant: accepted, a transient cause such as "
    "rate_limited, server_error, network or timeout, or a refusal such as unauthorised. token_expired is "
    "followed by a refresh. Worry about a share of transient ones that stays, and about any unauthorised.",
    ["operation", "verdict"],
)
CALL_SECONDS = Histogram(
    "cm_streams_api_call_seconds",
    "From the start of an attempt to the end of its answer, by endpoint. Imports of 1,000 people take seconds; other "
    "calls well below one.",
    ["operation"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
LIMITER_WAIT = Histogram(
    "cm_streams_api_limiter_wait_seconds",
    "Time that calls waited for their turn: for a free slot, or for the account's rate limit. Near 0 while there is "
    "capacity; when it grows with 429s, the account's limit is what bounds the throughput.",
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300),
)
RATE_LIMITED = Counter(
    "cm_streams_api_rate_limited_total",
    "Answers with status 429. A few are how the limit is found; more than one in ten calls: something else uses up "
    "the account's limit.",
)
IN_FLIGHT = Gauge(
    "cm_streams_api_calls_in_flight",
    "Calls that are not answered yet. At CM_REQUESTS_IN_FLIGHT for long: Campaign Monitor is slow.",
)


def verdict_name(verdict: Verdict) -> str:
    """Return the label of a verdict: one of about twenty words."""
    match verdict:
        case Accepted():
            return "accepted"
        case Transient(cause=cause):
            return cause
        case Unauthorised(remedy="refresh"):
            return "token_expired"
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in type(verdict).__name__)[1:]


class MeasuredCall:
    """An attempt that is under way; `error`: what its answer meant, None for a good one."""

    error: CampaignMonitorError | None = None


@contextmanager
def measured(operation: str) -> Iterator[MeasuredCall]:
    """Count an attempt, its time and its verdict. One that was cancelled, as its process ends, is not counted."""
    call, began = MeasuredCall(), time.monotonic()
    IN_FLIGHT.inc()
    try:
        yield call
    except CampaignMonitorError as failure:
        call.error = failure
        raise
    except BaseException:
        operation = ""
        raise
    finally:
        IN_FLIGHT.dec()
        if operation:
            verdict = "accepted" if call.error is None else verdict_name(call.error.verdict)
            CALLS.labels(operation, verdict).inc()
            CALL_SECONDS.labels(operation).observe(time.monotonic() - began)
            if verdict in ("rate_limited", "subscriber_throttled"):
                RATE_LIMITED.inc()
