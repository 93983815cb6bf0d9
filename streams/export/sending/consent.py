"""Whether somebody who is not active on a list may be made active again: when they left against when they entered.

What Campaign Monitor says of a subscriber's state is the truth, whatever we remember, so it is read before each call
that makes somebody active. The state's date is when it began, in whole minutes, so an entry within the same minute is
not later, unless a webhook reported the exact time. By state:

    Unsubscribed, Bounced, Deleted   the entry has to be later, whoever did it: the person, a mail system, a colleague
    the same, and a job did it       any entry brings them back: it was no refusal of theirs
    Unconfirmed                      never: only the person confirms
    204, the suppression list        never: it is the whole client's, and is ended there

Any other answer refuses: a state or a date that is not understood, an address that is not found.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from connectors.campaign_monitor.client.entities import Subscriber
from schemas.envelope import EpochMillis
from streams.export.rules.desired import DesiredSubscriber
from streams.export.rules.entries import MINUTE_MS, end_of
from streams.export.rules.row import Held
from streams.export.rules.settlement import CLOCKS_MS

ToUtc = Callable[[str], Awaitable[datetime]]
"""Reads a date of the client. Raises ValueError for what is none."""

ACTIVE, DELETED, UNCONFIRMED, UNSUBSCRIBED, SUPPRESSED = 0, 205, 208, 206, 204
_CODES = {
    "active": ACTIVE,
    "deleted": DELETED,
    "unsubscribed": UNSUBSCRIBED,
    "bounced": 207,
    "unconfirmed": UNCONFIRMED,
}


def code_of(found: Subscriber | None, refused: int) -> int:
    """Return the code of a subscriber's state; `refused`: the code that an import was refused with, 0: none was.

    The suppression list is no state: an import refuses with it whatever the state is.
    """
    if found is None or refused == SUPPRESSED:
        return refused
    return _CODES.get(found.state.casefold(), UNSUBSCRIBED)


async def why_refused(
    found: Subscriber | None, code: int, desired: DesiredSubscriber, held: Held | None, to_utc: ToUtc
) -> str | None:
    """Return why somebody with this code is not made active again, as a sentence; None: they are."""
    if code == SUPPRESSED:
        return "the address is on the client's suppression list"
    if found is None:
        return "the list has no such subscriber"
    try:
        left = int((await to_utc(found.date)).timestamp() * 1000)
    except ValueError:
        return f"when they left is not known: {found.date!r}"
    if held is not None and held.removed > 0 and left <= held.removed + CLOCKS_MS:
        return None
    if not desired.resubscribe:
        return f"they left at {_text(left)}; the jobs do not resubscribe, or there is no entry since"
    left = exact(left, desired.left)
    if desired.entered < end_of(left):
        return f"they left at {_text(left)}, and entered at {_text(desired.entered)}, which is not later"
    if desired.consent_rules and (desired.consented is None or desired.consented < end_of(left)):
        return f"they left at {_text(left)}, and have not consented since"
    return None


def exact(left: EpochMillis, reported: EpochMillis) -> EpochMillis:
    """Return when a person left: the date that was read, or within its minute the time that a webhook reported."""
    return reported if left <= reported < left + MINUTE_MS else left


def _text(at: EpochMillis) -> str:
    return f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
