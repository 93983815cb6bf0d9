"""Whether somebody who is not active on a list may be made active again: when they left against when they entered.

What Campaign Monitor says of a subscriber's state is the truth, whatever we remember, so it is read before each call
that makes somebody active. The state's date is when it began, in whole minutes, so an entry within the same minute is
not later, unless a webhook reported the exact time. By state:

    Unsubscribed, Bounced, Deleted   the entry has to be later, whoever did it: the person, a mail system, a colleague
    the same, and a job did it       any entry brings them back: it was no refusal of theirs
    Unconfirmed                      never: only the person confirms
    204, the suppression list        the entry has to be later than that, too; where the account put the address there
                                     and not the person, never: it is ended there

The suppression list is looked at, too, before anybody is made active on a list that honours it: Campaign Monitor takes
them off it with the same call, and who had bounced here may have unsubscribed elsewhere later.

Any other answer refuses: a state or a date that is not understood. Whoever was on the list and is not known to it any
more was deleted for good: where a webhook reported when, a later entry adds them; else one that is later than the look
which found it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.campaign_monitor.client.entities import Subscriber
from schemas.audience_delivery import Refusal
from schemas.envelope import EpochMillis
from streams.export.rules.codes import DELETED, SUPPRESSED, code_of_state, refused_sentence
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.entries import MINUTE_MS, end_of
from streams.export.rules.jobs import ExitPolicy
from streams.export.rules.row import NEVER, Held
from streams.export.rules.settlement import CLOCKS_MS

ToUtc = Callable[[str], Awaitable[datetime]]
"""Reads a date of the client. Raises ValueError for what is none."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """That an address is on the client's suppression list."""

    at: EpochMillis
    by_person: bool
    """They unsubscribed or bounced; else the account put the address there."""


@dataclass(frozen=True, slots=True)
class ListFacts:
    """What is known of a list beside its subscribers."""

    to_utc: ToUtc
    confirms: Callable[[], bool]
    """Whether who is added has to confirm it first."""
    honours_suppression: Callable[[], bool]
    """Whether the client's suppression list counts."""
    suppression: Callable[[str, EpochMillis], Awaitable[Suppression | None]]
    """An address's row on the suppression list, from a time on."""
    announce_removal: Callable[[str, ExitPolicy], Awaitable[None]]
    """Publishes that an address is about to be taken off the list, and how. Raises NotDelivered."""


UNREADABLE = 2**62
"""Stands for a date that is not understood: later than any entry."""

GONE = "They were on the list, which does not know them any more: only a new entry with Resubscribe users on adds them"
BY_ACCOUNT = "The account put the address on the client's suppression list: remove it there first"


def code_of(found: Subscriber | None, refused: int) -> int:
    """Return the code of a subscriber's state; `refused`: the code that an import was refused with, 0: none was.

    The suppression list is no state: an import refuses with it whatever the state is.
    """
    if found is None or refused == SUPPRESSED:
        return refused
    return code_of_state(found.state)


async def why_refused(
    found: Subscriber | None, code: int, address: str, desired: DesiredSubscriber, held: Held | None, facts: ListFacts
) -> str | None:
    """Return why somebody with this code is not made active again, as a sentence; None: they are."""
    times: list[EpochMillis] = []
    if found is None and code == DELETED:
        if is_undated(desired, held):
            return GONE
        times.append(desired.left)
        if (reason := compared(desired.left, desired, held)) is not None:
            return reason
    elif found is not None and found.state.casefold() != "active":
        try:
            left = int((await facts.to_utc(found.date)).timestamp() * 1000)
        except ValueError:
            return f"When they left is not known: {found.date!r}"
        times.append(exact(left, desired.left))
        if (reason := compared(times[0], desired, held)) is not None:
            return reason
    suppression = None
    if code == SUPPRESSED or facts.honours_suppression():
        suppression = await facts.suppression(address, NEVER if code == SUPPRESSED else max(times, default=NEVER))
    if suppression is None:
        if code == SUPPRESSED:
            return refused_sentence(Refusal.SUPPRESSED, SUPPRESSED)
    elif not suppression.by_person:
        return BY_ACCOUNT
    else:
        times.append(suppression.at)
    return compared(max(times), desired, held) if times else "The list has no such subscriber any more"


def is_undated(desired: DesiredSubscriber, held: Held | None) -> bool:
    """Whether it is not known when somebody was deleted, where the list does not know them any more."""
    return held is None or held.code != DELETED or desired.left == NEVER


def compared(left: EpochMillis, desired: DesiredSubscriber, held: Held | None) -> str | None:
    """Return why who left at this time is not made active again; None: they are."""
    if held is not None and held.removed and left <= held.removed + CLOCKS_MS:
        return None
    if not desired.resubscribe:
        known = _text(max(left, desired.left))
        return f"They left at {known}; the jobs do not resubscribe, or they have not entered since"
    if desired.entered < end_of(left):
        return f"They left at {_text(left)}, and entered at {_text(desired.entered)}, which is not surely later"
    if desired.consent_rules and (desired.consented is None or desired.consented < end_of(left)):
        return f"They left at {_text(left)}, and have not consented since"
    return None


def exact(left: EpochMillis, reported: EpochMillis) -> EpochMillis:
    """Return when a person left: the date that was read, or within its minute the time that a webhook reported."""
    return reported if left <= reported < left + MINUTE_MS else left


def _text(at: EpochMillis) -> str:
    if at >= UNREADABLE:
        return "a time that is not known"
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
