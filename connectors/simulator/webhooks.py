"""Webhooks of a list: register, list, test, switch on and off, delete."""

from urllib.parse import urlsplit

from connectors.simulator.call import EMPTY, Answer, Call, Route
from connectors.simulator.dates import local_text
from connectors.simulator.entities import Json, SubscriberList, Webhook
from connectors.simulator.errors import MESSAGES, ApiError, undeserialisable

EVENTS = ("Subscribe", "Update", "Deactivate")
FORMATS = {"json": "Json", "xml": "Xml"}


class WebhookTestError(Exception):
    """The receiver did not take the test events; the fields are those of `ResultData` of code 610."""

    def __init__(self, status: str, message: str, code: int, response: str) -> None:
        super().__init__(message)
        self.result: Json = {
            "FailureStatus": status,
            "FailureResponseMessage": message,
            "FailureResponseCode": str(code) if code else "",
            "FailureResponse": response[:1_000],
        }


def webhooks(call: Call) -> Answer:
    """Answer the webhooks of a list."""
    return Answer(
        [
            {
                "WebhookID": one.webhook_id,
                "Events": list(one.events),
                "Url": one.url,
                "Status": "Active" if one.active else "Deactivated",
                "PayloadFormat": FORMATS[one.payload_format],
            }
            for one in call.list().webhooks.values()
        ]
    )


def create(call: Call) -> Answer:
    """Register a receiver and answer the id as a bare string."""
    target, body = call.list(), call.body()
    url = str(body.get("url") or "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ApiError(601)
    payload_format = str(body.get("payloadformat") or "").lower()
    if payload_format not in FORMATS:
        raise ApiError(602)
    asked = body.get("events")
    if asked is not None and not isinstance(asked, list):
        raise undeserialisable("webhook")
    by_name = {event.lower(): event for event in EVENTS}
    events = tuple(dict.fromkeys(by_name.get(str(event).lower(), "") for event in asked or ()))
    if not events or "" in events:
        raise ApiError(603)
    made = Webhook(call.state.identifiers.new("webhook"), events, url, payload_format)
    target.webhooks[made.webhook_id] = made
    return Answer(made.webhook_id, 201)


async def test(call: Call) -> Answer:
    """POST sample events to the receiver while the caller waits; 610 when it does not take them."""
    target = call.list()
    one = _webhook(call, target)
    samples = sample_events(one, local_text(call.state.clock.now(), target.client.zone))
    try:
        await call.state.test_webhook(target, one, samples)
    except WebhookTestError as failure:
        raise ApiError(610, MESSAGES[610], failure.result) from None
    return EMPTY


def activate(call: Call) -> Answer:
    """Switch a webhook on."""
    one = _webhook(call, call.list())
    one.active, one.failing_since = True, None
    return EMPTY


def deactivate(call: Call) -> Answer:
    """Switch a webhook off; events meanwhile are lost for it."""
    _webhook(call, call.list()).active = False
    return EMPTY


def delete(call: Call) -> Answer:
    """Remove a webhook."""
    target = call.list()
    del target.webhooks[_webhook(call, target).webhook_id]
    return EMPTY


def sample_events(one: Webhook, date: str) -> list[Json]:
    """Return what the test call sends: one made-up event of each kind that the webhook is for."""
    person: Json = {"EmailAddress": "test@example.org", "Name": "Test Subscriber", "CustomFields": []}
    extra: dict[str, Json] = {
        "Subscribe": {"SignupIPAddress": "TypeManual"},
        "Update": {"OldEmailAddress": "test@example.org", "State": "Active"},
        "Deactivate": {"State": "Unsubscribed"},
    }
    return [{"Type": event, "Date": date, **person, **extra[event]} for event in one.events]


def _webhook(call: Call, target: SubscriberList) -> Webhook:
    found = target.webhooks.get(call.path["webhookid"])
    if found is None:
        raise ApiError(404)
    return found


ROUTES = (
    Route("GET", "/lists/{listid}/webhooks", webhooks),
    Route("POST", "/lists/{listid}/webhooks", create, "ManageLists", "webhook"),
    Route("GET", "/lists/{listid}/webhooks/{webhookid}/test", test, "ManageLists"),
    Route("PUT", "/lists/{listid}/webhooks/{webhookid}/activate", activate, "ManageLists"),
    Route("PUT", "/lists/{listid}/webhooks/{webhookid}/deactivate", deactivate, "ManageLists"),
    Route("DELETE", "/lists/{listid}/webhooks/{webhookid}", delete, "ManageLists"),
)
