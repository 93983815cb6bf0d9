"""Listings of subscribers: five by state, one subscriber's history, and a client's suppression list."""

from collections.abc import Callable
from functools import partial
from typing import Any

from connectors.devkit.simulator.data.entities import Json, SubscriberList
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.data.transitions import STATE_TEXTS, SimulatedState
from connectors.devkit.simulator.data.zones import instant, local_text
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError, undeserialisable
from connectors.devkit.simulator.protocol.paging import envelope, read_page
from connectors.devkit.simulator.state import SimulatorState
from connectors.devkit.simulator.subscribers.submission import CONSENT_TEXTS, is_email
from connectors.devkit.simulator.subscribers.subscriptions import suppress as take_off_everywhere

ORDER_FIELDS = ("date", "email", "name")


def listing(call: ApiCall, state: SimulatedState) -> EndpointResult:
    """Answer a page of the subscribers in a state; `date` asks for those who came to it since then."""
    target = call.list()
    since = since_date(call, target)
    request = read_page(call.query, ORDER_FIELDS)
    subscribers = target.subscribers
    first = 0 if since is None else subscribers.since(state, since)
    total = subscribers.counts[state] - first
    start, stop = request.window(total)
    if request.field == "date" or not first:
        rows = subscribers.ordered(state, request.field).slice(start + first, stop + first)
    else:
        found = subscribers.ordered(state, "date").slice(first, first + total)
        rows = sorted(found, key=subscribers.sort_key(request.field))[start:stop]
    if request.descending:
        rows.reverse()
    return EndpointResult(envelope(_kept(call, target, rows), request, total))


def _kept(call: ApiCall, target: SubscriberList, rows: list[int]) -> list[Any]:
    """Return the same as `listed`, or what was encoded before while the list is as it was."""
    preferences = ("includetrackingpreference", "includetrackinginformation", "includesmspreference")
    shown = tuple(map(call.wants, preferences))
    source = ("listing", target.list_id, shown)
    settings = call.state.settings
    changes = (target.subscribers.version, call.state.request_log.write_count)
    version = (*changes, settings.read_keys, settings.minute_resolution)
    return call.state.encoded_rows.of(source, version, rows, _shown(call, target, mail_client=True))


def since_date(call: ApiCall, target: SubscriberList) -> int | None:
    """Return the `date` of a query, None without one. Raises ApiError 5."""
    text = call.query.get("date", "")
    if not text.strip():
        return None
    try:
        return max(0, instant(text, target.client.zone))
    except ValueError:
        raise SimulatedApiError(5) from None


def listed(call: ApiCall, target: SubscriberList, rows: list[int], *, mail_client: bool = True) -> list[dict[str, Any]]:
    """Return subscribers as a listing shows them, with the preferences that the query asks for."""
    return [*map(_shown(call, target, mail_client=mail_client), rows)]


def _shown(call: ApiCall, target: SubscriberList, *, mail_client: bool) -> Callable[[int], dict[str, Any]]:
    """Return what returns the subscriber of a row: the query is read once for all of them."""
    tracking = call.wants("includetrackingpreference") or call.wants("includetrackinginformation")
    sms = call.wants("includesmspreference")
    return partial(subscriber_json, call.state, target, tracking=tracking, sms=sms, mail_client=mail_client)


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
    subscribers, zone = target.subscribers, target.client.zone
    changed, joined = subscribers.changed[row], subscribers.joined[row]
    date = state.subscriber_date(changed, zone)
    shown: dict[str, Any] = {
        "EmailAddress": subscribers.email(row),
        "Name": subscribers.name(row),
        "Date": date,
        "ListJoinedDate": date if joined == changed else state.subscriber_date(joined, zone),
        "State": STATE_TEXTS[subscribers.states[row]],
        "CustomFields": target.custom_fields(subscribers.values(row), keys=state.settings.read_keys),
    }
    if mail_client:
        shown["ReadsEmailWith"] = subscribers.mail_client(row)
    phone = subscribers.phone(row)
    if phone is not None:
        shown["MobileNumber"] = phone[0]
    if tracking:
        shown["ConsentToTrack"] = CONSENT_TEXTS[subscribers.consents[row]]
    if sms and phone is not None:
        shown["ConsentToSendSms"] = phone[1]
    return shown


LISTING_ROUTES = tuple(
    Endpoint("GET", f"/lists/{{listid}}/{STATE_TEXTS[state].lower()}", partial(listing, state=state))
    for state in SimulatedState
)


_NAMES = {"opens": "Open", "clicks": "Click", "unsubscribes": "Unsubscribe", "spam": "Spam", "bounces": "Bounce"}
MAX_ACTIONS = 60
"""Opens and clicks of one campaign that the history shows: it is no lossless source."""


def history(call: ApiCall) -> EndpointResult:
    """Answer the campaigns that a subscriber got, each with the acts."""
    target = call.list()
    row = call.row(target, call.query.get("email"))
    email, now = target.subscribers.email(row), call.state.clock.now()
    shown: list[Json] = []
    for campaign in call.state.campaigns.values():
        if not campaign.sent or target.list_id not in campaign.list_ids or campaign.recipients.find(email) is None:
            continue
        acts: list[tuple[int, Json]] = []
        for kind, name in _NAMES.items():
            rows = [act for act in campaign.report(kind).of(email, now) if act.list_id == target.list_id]
            for act in rows[:MAX_ACTIONS]:
                date = local_text(act.at, target.client.zone)
                detail = act.url if kind == "clicks" else ""
                acts.append((act.at, {"Event": name, "Date": date, "IPAddress": act.ip, "Detail": detail}))
        acts.sort(key=lambda entry: entry[0])
        actions = [act for _, act in acts]
        shown.append({"ID": campaign.campaign_id, "Type": "Campaign", "Name": campaign.name, "Actions": actions})
    return EndpointResult(shown)


HISTORY_ROUTES = (Endpoint("GET", "/subscribers/{listid}/history", history, "ViewSubscribersInReports"),)


def suppression_list(call: ApiCall) -> EndpointResult:
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
    return EndpointResult(envelope(rows, request, len(entries)))


def suppress(call: ApiCall) -> EndpointResult:
    """Suppress addresses; nothing happens when one of them is no address."""
    client, emails = call.client(), call.body().get("emailaddresses")
    if not isinstance(emails, list) or not all(isinstance(email, str) for email in emails):
        raise undeserialisable("emailAddresses")
    if not all(is_email(email.strip()) for email in emails):
        raise SimulatedApiError(1)
    for email in emails:
        take_off_everywhere(call.state, client, email.strip(), "Reason Unavailable", call.identity.label)
    return NO_BODY


def unsuppress(call: ApiCall) -> EndpointResult:
    """Take an address off the suppression list; its state on lists stays. 176 when it is not there."""
    if call.client().suppressed.pop(fold(call.query.get("email", "")), None) is None:
        raise SimulatedApiError(176)
    return NO_BODY


SUPPRESSION_ROUTES = (
    Endpoint("GET", "/clients/{clientid}/suppressionlist", suppression_list),
    Endpoint("POST", "/clients/{clientid}/suppress", suppress, "ImportSubscribers", "emailAddresses"),
    Endpoint("PUT", "/clients/{clientid}/unsuppress", unsuppress, "ImportSubscribers"),
)
