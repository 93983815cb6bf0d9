"""What follows from Campaign Monitor's verdict: the whole retry table is one `match`.

No number of attempts is too many: what may work later is retried with jitter for as long as it takes, and what can
never work is refused with its code, or blocks the job or the account until a person has repaired it. Pure.
"""

from dataclasses import dataclass
from typing import Literal

from connectors.campaign_monitor.errors.backoff import retry_after
from connectors.campaign_monitor.errors.verdicts import (
    Accepted,
    Forbidden,
    Malformed,
    Misconfigured,
    NotFound,
    PartialFailure,
    RowRefused,
    Transient,
    Unauthorised,
    Verdict,
)

FIRST_WAIT_SECONDS = 0.5
# An outage of hours costs two calls a minute and list; shorter would only load a server that is recovering.
LONGEST_WAIT_SECONDS = 30.0
# After an unknown outcome the server may still be at work on it: reading at once would find nothing, and repeat it.
UNKNOWN_WAIT_SECONDS = 2.0
# A job or account that a person has to repair is tried this often, so that it resumes by itself after the repair.
PROBE_SECONDS = 60.0

RetryScope = Literal["person", "list", "account"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The list holds it."""

    gone: bool = False
    """Who was to be taken off is not on the list under the address."""


@dataclass(frozen=True, slots=True)
class RetryLater:
    """To be repeated after so many seconds; `scope` is what waits. `outcome_unknown`: it may have been applied."""

    after: float
    scope: RetryScope
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class SubscriberRejected:
    """The list does not accept this subscriber: final until the desired state changes."""

    code: int
    reason: str
    gone: bool = False
    """The list does not know somebody any more who was on it, and since when is not known: before now."""


@dataclass(frozen=True, slots=True)
class NotOnList:
    """The address is not on the list (203)."""


@dataclass(frozen=True, slots=True)
class AddressTaken:
    """The address to change to is on the list already (201)."""


@dataclass(frozen=True, slots=True)
class OrdersDone:
    """Nothing is left to rename; what the list should hold is still to be written."""

    only: tuple[str, ...] | None = None
    """Former addresses of which that is so, where others wait; None: all."""


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """The request as a whole is not understood: one of its subscribers is the cause, and is found by halving."""

    code: int | None


@dataclass(frozen=True, slots=True)
class RefreshSchema:
    """A field or segment of the list is missing: read the list's fields, create what is missing, send again."""


ANOTHER_LIST = "choose another list"
"""What a person is asked for who has to edit the job."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A person has to repair something; other lists go on. `after`: seconds to the next probe."""

    scope: Literal["list", "account"]
    why: str
    after: float = PROBE_SECONDS


SendDecision = (
    Delivered
    | RetryLater
    | SubscriberRejected
    | NotOnList
    | AddressTaken
    | OrdersDone
    | SplitRequest
    | RefreshSchema
    | Blocked
)


def classify(verdict: Verdict, attempt: int, chance: float) -> SendDecision:
    """Return what follows from a verdict on the `attempt`-th try (1 = the first). `chance` in [0, 1) is the jitter."""
    wait = retry_after(verdict, attempt, chance, first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS) or 0.0
    match verdict:
        case Accepted() | PartialFailure():
            return Delivered()
        case Transient(cause="subscriber_throttled"):
            return RetryLater(wait, "person")
        case Transient(cause="rate_limited"):
            return RetryLater(wait, "account")
        case Transient(outcome_unknown=True):
            return RetryLater(max(UNKNOWN_WAIT_SECONDS, wait), "list", outcome_unknown=True)
        case Transient():
            return RetryLater(wait, "list")
        case Malformed():
            return RetryLater(max(UNKNOWN_WAIT_SECONDS, wait), "list", outcome_unknown=True)
        case RowRefused(code=203):
            return NotOnList()
        case RowRefused(code=201):
            return AddressTaken()
        case RowRefused(code=code, reason=reason):
            return SubscriberRejected(code, reason)
        case Unauthorised(problem=problem) if problem:
            return Blocked("account", problem)
        case Unauthorised(remedy="scope"):
            return Blocked("account", "the authorization lacks a permission: grant ManageLists and ImportSubscribers")
        case Unauthorised(code=code):
            return Blocked(
                "account", f"Campaign Monitor does not accept the credential (code {code}): connect it again"
            )
        case Forbidden(cause="foreign_id"):
            return Blocked("list", f"the list does not belong to this account any more (102): {ANOTHER_LIST}")
        case Forbidden(code=code):
            return Blocked("list", f"Campaign Monitor does not allow this for the account (code {code})")
        case NotFound(what="custom_field" | "segment"):
            return RefreshSchema()
        case NotFound():
            return Blocked("list", f"the list is not there any more: {ANOTHER_LIST}, or create it again")
        case Misconfigured(code=code):
            return SplitRequest(code)
