"""What follows from Campaign Monitor's verdict: the whole retry table is one `match`.

Nothing is ever given up for being tried too often: what may work later waits with jitter for as long as it takes, and
what can never work is refused with its code, or halts the job or the account until a person has repaired it.
"""

import random
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
# An outage of hours costs two calls a minute and list; shorter would only press on whoever is trying to come back.
LONGEST_WAIT_SECONDS = 30.0
# After an unknown outcome the server may still be at work on it: asking at once would find nothing, and repeat it.
UNSURE_WAIT_SECONDS = 2.0
# A job or account that a person has to repair is tried this often, so that it goes on by itself after the repair.
PROBE_SECONDS = 60.0

Scope = Literal["person", "list", "account"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The list holds it."""


@dataclass(frozen=True, slots=True)
class Again:
    """It is to be tried again after so many seconds; `scope` says who waits. `unsure`: it may have been applied."""

    after: float
    scope: Scope
    unsure: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """This person is not taken, and settled until the wanted state changes."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """The address is not on the list (203)."""


@dataclass(frozen=True, slots=True)
class Occupied:
    """The address to change to is on the list already (201)."""


@dataclass(frozen=True, slots=True)
class Split:
    """The request as a whole is not understood: one of its people is the cause, and is found by halving."""

    code: int | None


@dataclass(frozen=True, slots=True)
class Mend:
    """A field or segment of the list is gone: read the list's fields, make what is missing, send again."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A person has to repair something; everything else goes on. `after`: seconds to the next probe."""

    scope: Literal["list", "account"]
    why: str
    after: float = PROBE_SECONDS


Decision = Delivered | Again | Refused | NotThere | Occupied | Split | Mend | Halt


def decide(verdict: Verdict, attempt: int, chance: float | None = None) -> Decision:
    """Return what follows from a verdict on the `attempt`-th try (1 = the first). `chance` in [0, 1) is the jitter."""
    jitter = random.random() if chance is None else chance
    wait = retry_after(verdict, attempt, jitter, first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS) or 0.0
    match verdict:
        case Accepted() | PartialFailure():
            return Delivered()
        case Transient(cause="subscriber_throttled"):
            return Again(wait, "person")
        case Transient(cause="rate_limited"):
            return Again(wait, "account")
        case Transient(outcome_unknown=True):
            return Again(max(UNSURE_WAIT_SECONDS, wait), "list", unsure=True)
        case Transient():
            return Again(wait, "list")
        case Malformed():
            return Again(max(UNSURE_WAIT_SECONDS, wait), "list", unsure=True)
        case RowRefused(code=203):
            return NotThere()
        case RowRefused(code=201):
            return Occupied()
        case RowRefused(code=code, reason=reason):
            return Refused(code, reason)
        case Unauthorised(remedy="scope"):
            return Halt("account", "the authorization lacks a permission: grant ManageLists and ImportSubscribers")
        case Unauthorised(code=code):
            return Halt("account", f"Campaign Monitor does not accept the credential (code {code}): connect it again")
        case Forbidden(cause="foreign_id"):
            return Halt("list", "the list does not belong to this account any more (102): choose another list")
        case Forbidden(code=code):
            return Halt("list", f"Campaign Monitor does not allow this for the account (code {code})")
        case NotFound(what="custom_field" | "segment"):
            return Mend()
        case NotFound():
            return Halt("list", "the list is not there any more: choose another list, or make it again")
        case Misconfigured(code=code):
            return Split(code)
