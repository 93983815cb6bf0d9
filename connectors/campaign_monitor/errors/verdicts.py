"""What an answer means for the request that was made: verdicts are values, and `classify` is the whole table.

A verdict is what happened, never what to do next: `backoff.retry_after` and the exporter's decisions match on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connectors.campaign_monitor.errors.codes import CODES

Reason = Literal[
    "suppressed", "deleted", "unsubscribed", "bounced", "unconfirmed", "invalid", "not_a_subscriber",
    "already_subscribed",
]  # fmt: skip
Cause = Literal[
    "rate_limited", "subscriber_throttled", "server_error", "gateway", "segment_busy", "network", "timeout", "tokens"
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Campaign Monitor took the request."""


@dataclass(frozen=True, slots=True)
class Transient:
    """It may work later. `after`: seconds that the server asked to wait, 0 = it named none.

    `outcome_unknown`: a write may have been applied although no answer confirms it. Repeating an upsert is harmless;
    repeating one that restarts autoresponders is not: ask first, or repeat without the flag.
    `subscriber_throttled` concerns one address only; others may go on.
    """

    cause: Cause
    after: float = 0.0
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class RowRefused:
    """This subscriber is not taken, and will not be while its state is the same; others are not concerned."""

    code: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class PartialFailure:
    """An import stored its good rows and refused the others: `ResultData` names each."""

    code: int = 210


@dataclass(frozen=True, slots=True)
class Unauthorised:
    """The credential does not do: refresh it (121), let a person reconnect (100, 120, 122) or grant a scope (60).

    `problem`: a sentence for people that names the authorization and the command that repairs it, where they are known.
    """

    code: int | None
    remedy: Literal["refresh", "reconnect", "scope"]
    problem: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Forbidden:
    """The credential is fine, the thing asked for is not ours (102) or not for this kind of account (403)."""

    code: int | None
    cause: Literal["foreign_id", "agency_only", "denied"]


@dataclass(frozen=True, slots=True)
class NotFound:
    """The resource does not exist any more, or never did."""

    code: int | None
    what: Literal["resource", "list", "segment", "custom_field", "journey", "journey_email"]


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The request can never work as it is: somebody must change a job, a field, a segment or this code."""

    code: int | None


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer came that cannot be used: HTML with 200, cut JSON, a redirect, more bytes than we accept.

    A write may have been applied, as after a time-out.
    """

    cause: str


Verdict = (
    Accepted | Transient | RowRefused | PartialFailure | Unauthorised | Forbidden | NotFound | Misconfigured | Malformed
)

REFUSALS: dict[int, Reason] = {
    1: "invalid",
    201: "already_subscribed",
    203: "not_a_subscriber",
    204: "suppressed",
    205: "deleted",
    206: "unsubscribed",
    207: "bounced",
    208: "unconfirmed",
    211: "invalid",
    214: "invalid",
    215: "invalid",
    220: "invalid",
    221: "invalid",
}
"""What a row's code means for the subscriber."""

# A throttle of one address answers 429 as well, with this text and without rate headers; nothing else distinguishes it.
_SUBSCRIBER_THROTTLE = "added too many times"


def classify(
    status: int, code: int | None = None, *, message: str = "", headers: Mapping[str, str] | None = None
) -> Verdict:
    """Return what an answer means. The code counts; status and headers fill in where there is no known code.

    `headers` may be any mapping with case-insensitive or canonical names. 5xx is always transient, whatever the
    body holds, and the outcome of a write is then unknown. Unknown codes with 4xx are permanent.
    """
    if 200 <= status < 300:
        return Accepted()
    if status < 400:
        return Malformed(f"unexpected status {status}")
    if status >= 500:
        cause: Cause = "gateway" if status in (502, 503, 504) else "server_error"
        return Transient(cause, seconds_to_wait(headers or {}), outcome_unknown=True)
    if status == 429 or code == 429:
        cause = "subscriber_throttled" if _SUBSCRIBER_THROTTLE in message.casefold() else "rate_limited"
        return Transient(cause, seconds_to_wait(headers or {}))
    if status == 408:
        return Transient("timeout", outcome_unknown=True)
    return _permanent(status, code)


def refusal(code: int) -> RowRefused:
    """Return the verdict on one row of an import's `FailureDetails`; an unknown code counts as invalid."""
    return RowRefused(code, REFUSALS.get(code, "invalid"))


def _permanent(status: int, code: int | None) -> Verdict:
    match code:
        case 278 | 287:
            return Transient("segment_busy")
        case 210:
            return PartialFailure()
        case 121:
            return Unauthorised(code, "refresh")
        case 100 | 120 | 122:
            return Unauthorised(code, "reconnect")
        case 60:
            return Unauthorised(code, "scope")
        case 102:
            return Forbidden(code, "foreign_id")
        case 403:
            return Forbidden(code, "agency_only")
        case 101:
            return NotFound(code, "list")
        case 253:
            return NotFound(code, "custom_field")
        case 271:
            return NotFound(code, "segment")
        case 3000:
            return NotFound(code, "journey")
        case 3002:
            return NotFound(code, "journey_email")
        case int() if code in REFUSALS:
            return RowRefused(code, REFUSALS[code])
        case int() if code in CODES and code != 404:
            return Misconfigured(code)
    if status == 401:
        return Unauthorised(code, "reconnect")
    if status == 403:
        return Forbidden(code, "denied")
    return NotFound(code, "resource") if status == 404 else Misconfigured(code)


def seconds_to_wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that `X-RateLimit-Reset` or `Retry-After` asks for; 0 when neither is a number."""
    for name in ("X-RateLimit-Reset", "Retry-After"):
        try:
            seconds = float(headers.get(name, ""))
        except ValueError:
            continue  # Retry-After may be a date; Campaign Monitor documents seconds only
        if 0 <= seconds < 86_400:
            return seconds
    return 0.0
