"""Lists: create, read, update, delete, statistics."""

from datetime import timedelta
from typing import Any

from connectors.devkit.simulator.data.entities import ALL_CLIENT_LISTS, UNSUBSCRIBE_SETTINGS, Client, SubscriberList
from connectors.devkit.simulator.data.roster import fold
from connectors.devkit.simulator.data.transitions import State
from connectors.devkit.simulator.data.zones import day_start
from connectors.devkit.simulator.protocol.call import EMPTY, Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import ApiError, undeserialisable
from connectors.devkit.simulator.subscribers.submission import flag
from connectors.devkit.simulator.subscribers.subscriptions import suppress

_COUNTED = (
    ("NewActiveSubscribers", "TotalActiveSubscribers", State.ACTIVE),
    ("Unsubscribes", "TotalUnsubscribes", State.UNSUBSCRIBED),
    ("Deleted", "TotalDeleted", State.DELETED),
    ("Bounces", "TotalBounces", State.BOUNCED),
)


def lists_of_client(call: Call) -> Answer:
    """Answer a client's lists."""
    return Answer([{"ListID": one.list_id, "Name": one.title} for one in call.client().lists.values()])


def create(call: Call) -> Answer:
    """Create a list and answer its id as a bare string."""
    client, body = call.client(), call.body()
    title = _title(client, body)
    setting = _setting(body)
    made = call.state.add_list(client, title)
    _apply(made, body, setting)
    return Answer(made.list_id, 201)


def details(call: Call) -> Answer:
    """Answer a list's settings."""
    one = call.list()
    return Answer(
        {
            "ConfirmedOptIn": one.confirmed_opt_in,
            "Title": one.title,
            "UnsubscribePage": one.unsubscribe_page,
            "ListID": one.list_id,
            "ConfirmationSuccessPage": one.confirmation_success_page,
            "UnsubscribeSetting": one.unsubscribe_setting,
        }
    )


def update(call: Call) -> Answer:
    """Change a list's settings; the two flags act at once and are not kept."""
    one, body = call.list(), call.body()
    title = _title(one.client, body, one)
    setting = _setting(body)
    one.title = title
    _apply(one, body, setting)
    now = call.state.clock.now()
    if one.honours_suppression and flag(body, "addunsubscribestosupplist", "list"):
        for row in one.roster.rows(State.UNSUBSCRIBED):
            one.client.suppress(one.roster.email(row), "Unsubscribed", now)
    if one.honours_suppression and flag(body, "scrubactivewithsupplist", "list"):
        for entry in list(one.client.suppressed.values()):
            if one.find(entry.email, State.ACTIVE) is not None:
                suppress(call.state, one.client, entry.email, entry.reason, call.identity.label)
    return EMPTY


def delete(call: Call) -> Answer:
    """Delete a list; 252 while a draft is to be sent to it."""
    one = call.list()
    if any(campaign.uses_list(one.list_id) for campaign in call.state.campaigns.values() if not campaign.sent):
        raise ApiError(252)
    call.state.remove_list(one)
    return EMPTY


def stats(call: Call) -> Answer:
    """Answer 24 counters; the buckets follow the calendar of the client's zone, weeks start on Sunday."""
    one = call.list()
    answer: dict[str, int] = {}
    today = day_start(call.state.clock.now(), one.client.zone)
    starts = {
        "Today": today,
        "Yesterday": today - timedelta(days=1),
        "ThisWeek": today - timedelta(days=today.isoweekday() % 7),
        "ThisMonth": today.replace(day=1),
        "ThisYear": today.replace(month=1, day=1),
    }
    for prefix, total, state in _COUNTED:
        count = one.roster.counts[state]
        for suffix, start in starts.items():
            answer[prefix + suffix] = count - one.roster.since(state, int(start.timestamp()))
        answer[f"{prefix}Yesterday"] -= answer[f"{prefix}Today"]
        answer[total] = count
    return Answer(answer)


def lists_for_email(call: Call) -> Answer:
    """Answer the lists on which an address is, in any state."""
    client = call.client()
    found = []
    for one in client.lists.values():
        row = one.roster.find(fold(call.query.get("email", "")))
        if row is not None:
            found.append(
                {
                    "ListID": one.list_id,
                    "ListName": one.title,
                    "SubscriberState": one.roster.state(row).text,
                    "DateSubscriberAdded": call.state.subscriber_date(one.roster.joined[row], client.zone),
                }
            )
    return Answer(found)


def _title(client: Client, body: dict[str, Any], own: SubscriberList | None = None) -> str:
    title = body.get("title")
    if title is not None and not isinstance(title, str):
        raise undeserialisable("list")
    if not title or not title.strip():
        raise ApiError(251)
    if any(one.title.lower() == title.lower() and one is not own for one in client.lists.values()):
        raise ApiError(250)
    return title


def _setting(body: dict[str, Any]) -> str:
    asked = str(body.get("unsubscribesetting") or ALL_CLIENT_LISTS)
    for setting in UNSUBSCRIBE_SETTINGS:
        if setting.lower() == asked.lower():
            return setting
    raise ApiError(261)


def _apply(one: SubscriberList, body: dict[str, Any], setting: str) -> None:
    one.unsubscribe_setting = setting
    one.unsubscribe_page = str(body.get("unsubscribepage") or "")
    one.confirmed_opt_in = flag(body, "confirmedoptin", "list")
    one.confirmation_success_page = str(body.get("confirmationsuccesspage") or "")


ROUTES = (
    Route("GET", "/clients/{clientid}/lists", lists_of_client),
    Route("GET", "/clients/{clientid}/listsforemail", lists_for_email),
    Route("POST", "/lists/{clientid}", create, "ManageLists", "list"),
    Route("GET", "/lists/{listid}", details),
    Route("PUT", "/lists/{listid}", update, "ManageLists", "list"),
    Route("DELETE", "/lists/{listid}", delete, "ManageLists"),
    Route("GET", "/lists/{listid}/stats", stats),
)
