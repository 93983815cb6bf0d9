"""Lists: create, read, update, delete, statistics."""

from datetime import timedelta
from typing import Any

from connectors.devkit.simulator.data.entities import (
    ALL_CLIENT_LISTS,
    UNSUBSCRIBE_SETTINGS,
    SimulatedClient,
    SubscriberList,
)
from connectors.devkit.simulator.data.subscriber_store import fold
from connectors.devkit.simulator.data.transitions import SimulatedState
from connectors.devkit.simulator.data.zones import day_start
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError, undeserialisable
from connectors.devkit.simulator.subscribers.submission import flag
from connectors.devkit.simulator.subscribers.subscriptions import suppress

_COUNTED = (
    ("NewActiveSubscribers", "TotalActiveSubscribers", SimulatedState.ACTIVE),
    ("Unsubscribes", "TotalUnsubscribes", SimulatedState.UNSUBSCRIBED),
    ("Deleted", "TotalDeleted", SimulatedState.DELETED),
    ("Bounces", "TotalBounces", SimulatedState.BOUNCED),
)


def lists_of_client(call: ApiCall) -> EndpointResult:
    """Answer a client's lists."""
    return EndpointResult([{"ListID": listed.list_id, "Name": listed.title} for listed in call.client().lists.values()])


def create(call: ApiCall) -> EndpointResult:
    """Create a list and answer its id as a bare string."""
    client, body = call.client(), call.body()
    title = _title(client, body)
    setting = _setting(body)
    made = call.state.add_list(client, title)
    _apply(made, body, setting)
    return EndpointResult(made.list_id, 201)


def details(call: ApiCall) -> EndpointResult:
    """Answer a list's settings."""
    target = call.list()
    return EndpointResult(
        {
            "ConfirmedOptIn": target.confirmed_opt_in,
            "Title": target.title,
            "UnsubscribePage": target.unsubscribe_page,
            "ListID": target.list_id,
            "ConfirmationSuccessPage": target.confirmation_success_page,
            "UnsubscribeSetting": target.unsubscribe_setting,
        }
    )


def update(call: ApiCall) -> EndpointResult:
    """Change a list's settings; the two flags act at once and are not kept."""
    target, body = call.list(), call.body()
    title = _title(target.client, body, target)
    setting = _setting(body)
    target.title = title
    _apply(target, body, setting)
    now = call.state.clock.now()
    if target.honours_suppression and flag(body, "addunsubscribestosupplist", "list"):
        for row in target.subscribers.rows(SimulatedState.UNSUBSCRIBED):
            target.client.suppress(target.subscribers.email(row), "Unsubscribed", now)
    if target.honours_suppression and flag(body, "scrubactivewithsupplist", "list"):
        for entry in list(target.client.suppressed.values()):
            if target.find(entry.email, SimulatedState.ACTIVE) is not None:
                suppress(call.state, target.client, entry.email, entry.reason, call.identity.label)
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Delete a list; 252 while a draft is to be sent to it."""
    target = call.list()
    if any(campaign.uses_list(target.list_id) for campaign in call.state.campaigns.values() if not campaign.sent):
        raise SimulatedApiError(252)
    call.state.remove_list(target)
    return NO_BODY


def stats(call: ApiCall) -> EndpointResult:
    """Answer 24 counters; the buckets follow the calendar of the client's zone, weeks start on Sunday."""
    target = call.list()
    answer: dict[str, int] = {}
    today = day_start(call.state.clock.now(), target.client.zone)
    starts = {
        "Today": today,
        "Yesterday": today - timedelta(days=1),
        "ThisWeek": today - timedelta(days=today.isoweekday() % 7),
        "ThisMonth": today.replace(day=1),
        "ThisYear": today.replace(month=1, day=1),
    }
    for prefix, total, state in _COUNTED:
        count = target.subscribers.counts[state]
        for suffix, start in starts.items():
            answer[prefix + suffix] = count - target.subscribers.since(state, int(start.timestamp()))
        answer[f"{prefix}Yesterday"] -= answer[f"{prefix}Today"]
        answer[total] = count
    return EndpointResult(answer)


def lists_for_email(call: ApiCall) -> EndpointResult:
    """Answer the lists on which an address is, in any state."""
    client = call.client()
    found = []
    for listed in client.lists.values():
        row = listed.subscribers.find(fold(call.query.get("email", "")))
        if row is not None:
            found.append(
                {
                    "ListID": listed.list_id,
                    "ListName": listed.title,
                    "SubscriberState": listed.subscribers.state(row).text,
                    "DateSubscriberAdded": call.state.subscriber_date(listed.subscribers.joined[row], client.zone),
                }
            )
    return EndpointResult(found)


def _title(client: SimulatedClient, body: dict[str, Any], own: SubscriberList | None = None) -> str:
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise undeserialisable("list")
    if not title or not title.strip():
        raise SimulatedApiError(251)
    if any(listed.title.lower() == title.lower() and listed is not own for listed in client.lists.values()):
        raise SimulatedApiError(250)
    return title


def _setting(body: dict[str, Any]) -> str:
    asked = str(body.get("unsubscribesetting") or ALL_CLIENT_LISTS)
    for setting in UNSUBSCRIBE_SETTINGS:
        if setting.lower() == asked.lower():
            return setting
    raise SimulatedApiError(261)


def _apply(target: SubscriberList, body: dict[str, Any], setting: str) -> None:
    target.unsubscribe_setting = setting
    target.unsubscribe_page = str(body.get("unsubscribepage") or "")
    target.confirmed_opt_in = flag(body, "confirmedoptin", "list")
    target.confirmation_success_page = str(body.get("confirmationsuccesspage") or "")


ROUTES = (
    Endpoint("GET", "/clients/{clientid}/lists", lists_of_client),
    Endpoint("GET", "/clients/{clientid}/listsforemail", lists_for_email),
    Endpoint("POST", "/lists/{clientid}", create, "ManageLists", "list"),
    Endpoint("GET", "/lists/{listid}", details),
    Endpoint("PUT", "/lists/{listid}", update, "ManageLists", "list"),
    Endpoint("DELETE", "/lists/{listid}", delete, "ManageLists"),
    Endpoint("GET", "/lists/{listid}/stats", stats),
)
