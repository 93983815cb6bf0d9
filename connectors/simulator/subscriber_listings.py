"""The five listings of a list's subscribers, one for each state, and the row that every read of a subscriber gives."""

from functools import partial
from typing import Any

from connectors.simulator.call import Answer, Call, Route
from connectors.simulator.dates import instant
from connectors.simulator.entities import SubscriberList
from connectors.simulator.errors import ApiError
from connectors.simulator.paging import envelope, read_page
from connectors.simulator.state import SimulatorState
from connectors.simulator.submission import CONSENT_TEXTS
from connectors.simulator.transitions import STATE_TEXTS, State

ORDER_FIELDS = ("date", "email", "name")


def listing(call: Call, state: State) -> Answer:
    """Answer a page of the subscribers in a state; `date` asks for those who came to it since then."""
    target = call.list()
    since = since_date(call, target)
    request = read_page(call.query, ORDER_FIELDS)
    roster = target.roster
    first = 0 if since is None else roster.since(state, since)
    total = roster.counts[state] - first
    start, stop = request.window(total)
    if request.field == "date" or not first:
        rows = roster.ordered(state, request.field).slice(start + first, stop + first)
    else:
        found = roster.ordered(state, "date").slice(first, first + total)
        rows = sorted(found, key=roster.sort_key(request.field))[start:stop]
    if request.descending:
        rows.reverse()
    return Answer(envelope(listed(call, target, rows), request, total))


def since_date(call: Call, target: SubscriberList) -> int | None:
    """Return the `date` of a query, None without one. Raises ApiError 5."""
    text = call.query.get("date", "")
    if not text.strip():
        return None
    try:
        return max(0, instant(text, target.client.zone))
    except ValueError:
        raise ApiError(5) from None


def listed(call: Call, target: SubscriberList, rows: list[int], *, mail_client: bool = True) -> list[dict[str, Any]]:
    """Return subscribers as a listing shows them, with the preferences that the query asks for."""
    tracking = call.wants("includetrackingpreference") or call.wants("includetrackinginformation")
    sms = call.wants("includesmspreference")
    return [
        subscriber_json(call.state, target, row, tracking=tracking, sms=sms, mail_client=mail_client) for row in rows
    ]


def subscriber_json(
    state: SimulatorState,
    target: SubscriberList,
    row: int,
    *,
    tracking: bool = False,
    sms: bool = False,
    mail_client: bool = True,
) -> dict[str, Any]:
    """Return a subscriber as the API writes it."""
    roster, zone = target.roster, target.client.zone
    changed, joined = roster.changed[row], roster.joined[row]
    date = state.subscriber_date(changed, zone)
    shown: dict[str, Any] = {
        "EmailAddress": roster.email(row),
        "Name": roster.name(row),
        "Date": date,
        "ListJoinedDate": date if joined == changed else state.subscriber_date(joined, zone),
        "State": STATE_TEXTS[roster.states[row]],
        "CustomFields": target.custom_fields(roster.values(row), keys=state.settings.read_keys),
    }
    if mail_client:
        shown["ReadsEmailWith"] = roster.mail_client(row)
    phone = roster.phone(row)
    if phone is not None:
        shown["MobileNumber"] = phone[0]
    if tracking:
        shown["ConsentToTrack"] = CONSENT_TEXTS[roster.consents[row]]
    if sms and phone is not None:
        shown["ConsentToSendSms"] = phone[1]
    return shown


ROUTES = tuple(
    Route("GET", f"/lists/{{listid}}/{STATE_TEXTS[state].lower()}", partial(listing, state=state)) for state in State
)
