"""Listings of subscribers: five by state, one subscriber's history, and a client's suppression list."""

from functools import partial
from typing import Any

from connectors.devkit.simulator.data.entities import Json, SubscriberList
from connectors.devkit.simulator.data.roster import fold
from connectors.devkit.simulator.data.transitions import STATE_TEXTS, State
from connectors.devkit.simulator.data.zones import instant, local_text
from connectors.devkit.simulator.protocol.call import EMPTY, Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import ApiError, undeserialisable
from connectors.devkit.simulator.protocol.paging import envelope, read_page
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import CONSENT_TEXTS, is_email
from connectors.devkit.simulator.subscribers.subscriptions import suppress as take_off_everywhere

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


LISTING_ROUTES = tuple(
    Route("GET", f"/lists/{{listid}}/{STATE_TEXTS[state].lower()}", partial(listing, state=state)) for state in State
)


_NAMES = {"opens": "Open", "clicks": "Click", "unsubscribes": "Unsubscribe", "spam": "Spam", "bounces": "Bounce"}
MOST_ACTIONS = 60
"""Opens and clicks of one campaign that the history shows: it is no lossless source."""


def history(call: Call) -> Answer:
    """Answer the campaigns that a subscriber got, each with the acts."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    email, now = target.roster.email(row), call.state.clock.now()
    shown: list[Json] = []
    for one in call.state.campaigns.values():
        if not one.sent or target.list_id not in one.list_ids or one.recipients.find(email) is None:
            continue
        acts: list[tuple[int, Json]] = []
        for kind, name in _NAMES.items():
            rows = [act for act in one.report(kind).of(email, now) if act.list_id == target.list_id]
            for act in rows[:MOST_ACTIONS]:
                date = local_text(act.at, target.client.zone)
                detail = act.url if kind == "clicks" else ""
                acts.append((act.at, {"Event": name, "Date": date, "IPAddress": act.ip, "Detail": detail}))
        acts.sort(key=lambda entry: entry[0])
        actions = [act for _, act in acts]
        shown.append({"ID": one.campaign_id, "Type": "Campaign", "Name": one.name, "Actions": actions})
    return Answer(shown)


HISTORY_ROUTES = (Route("GET", "/subscribers/{listid}/history", history, "ViewSubscribersInReports"),)


def suppression_list(call: Call) -> Answer:
    """Answer a page of the suppressed addresses; these dates have seconds."""
    client = call.client()
    request = read_page(call.query, ("email", "date"))
    entries = sorted(
        client.suppressed.values(),
        key=lambda entry: (entry.at if request.field == "date" else 0, fold(entry.email)),
        reverse=request.descending,
    )
    first = (request.page - 1) * request.size
    rows = [
        {
            "SuppressionReason": entry.reason,
            "EmailAddress": entry.email,
            "Date": local_text(entry.at, client.zone),
            "State": "Suppressed",
        }
        for entry in entries[first : first + request.size]
    ]
    return Answer(envelope(rows, request, len(entries)))


def suppress(call: Call) -> Answer:
    """Suppress addresses; nothing happens when one of them is no address."""
    client, emails = call.client(), call.body().get("emailaddresses")
    if not isinstance(emails, list) or not all(isinstance(email, str) for email in emails):
        raise undeserialisable("emailAddresses")
    if not all(is_email(email.strip()) for email in emails):
        raise ApiError(1)
    for email in emails:
        take_off_everywhere(call.state, client, email.strip(), "Reason Unavailable", call.identity.label)
    return EMPTY


def unsuppress(call: Call) -> Answer:
    """Take an address off the suppression list; its state on lists stays. 176 when it is not there."""
    if call.client().suppressed.pop(fold(call.query.get("email", "")), None) is None:
        raise ApiError(176)
    return EMPTY


SUPPRESSION_ROUTES = (
    Route("GET", "/clients/{clientid}/suppressionlist", suppression_list),
    Route("POST", "/clients/{clientid}/suppress", suppress, "ImportSubscribers", "emailAddresses"),
    Route("PUT", "/clients/{clientid}/unsuppress", unsuppress, "ImportSubscribers"),
)
