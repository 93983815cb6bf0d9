"""Webhooks of a list: register, list, test, switch on and off, delete; and sending their events.

Events go out in batches of at most a thousand, repeated with back-off; a week of errors deactivates the webhook.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

import aiohttp
import orjson

from connectors.devkit.simulator.data.entities import Json, SimulatedWebhook, SubscriberList
from connectors.devkit.simulator.data.request_log import WebhookAttempt
from connectors.devkit.simulator.data.transitions import WebhookType
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.protocol.call import NO_BODY, ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import MESSAGES, SimulatedApiError, undeserialisable
from connectors.devkit.simulator.protocol.responses import as_xml
from connectors.devkit.simulator.state import SimulatorState

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


def webhooks(call: ApiCall) -> EndpointResult:
    """Answer the webhooks of a list."""
    return EndpointResult(
        [
            {
                "WebhookID": hook.webhook_id,
                "Events": list(hook.events),
                "Url": hook.url,
                "Status": "Active" if hook.active else "Deactivated",
                "PayloadFormat": FORMATS[hook.payload_format],
            }
            for hook in call.list().webhooks.values()
        ]
    )


def create(call: ApiCall) -> EndpointResult:
    """Register a receiver and answer the id as a bare string."""
    target, body = call.list(), call.body()
    url = str(body.get("url") or "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SimulatedApiError(601)
    payload_format = str(body.get("payloadformat") or "").lower()
    if payload_format not in FORMATS:
        raise SimulatedApiError(602)
    asked = body.get("events")
    if asked is not None and not isinstance(asked, list):
        raise undeserialisable("webhook")
    by_name = {event.lower(): event for event in EVENTS}
    events = tuple(dict.fromkeys(by_name.get(str(event).lower(), "") for event in asked or ()))
    if not events or "" in events:
        raise SimulatedApiError(603)
    made = SimulatedWebhook(call.state.identifiers.new("webhook"), events, url, payload_format)
    target.webhooks[made.webhook_id] = made
    return EndpointResult(made.webhook_id, 201)


async def test(call: ApiCall) -> EndpointResult:
    """POST sample events to the receiver while the caller waits; 610 when it does not take them."""
    target = call.list()
    hook = _webhook(call, target)
    samples = sample_events(hook, local_text(call.state.clock.now(), target.client.zone))
    try:
        await call.state.test_webhook(target, hook, samples)
    except WebhookTestError as failure:
        raise SimulatedApiError(610, MESSAGES[610], failure.result) from None
    return NO_BODY


def activate(call: ApiCall) -> EndpointResult:
    """Switch a webhook on."""
    hook = _webhook(call, call.list())
    hook.active, hook.failing_since = True, None
    return NO_BODY


def deactivate(call: ApiCall) -> EndpointResult:
    """Switch a webhook off; events meanwhile are lost for it."""
    _webhook(call, call.list()).active = False
    return NO_BODY


def delete(call: ApiCall) -> EndpointResult:
    """Remove a webhook."""
    target = call.list()
    del target.webhooks[_webhook(call, target).webhook_id]
    return NO_BODY


def sample_events(hook: SimulatedWebhook, date: str) -> list[Json]:
    """Return what the test call sends: one made-up event of each kind that the webhook is for."""
    person: Json = {"EmailAddress": "test@example.org", "Name": "Test Subscriber", "CustomFields": []}
    extra: dict[str, Json] = {
        "Subscribe": {"SignupIPAddress": "TypeManual"},
        "Update": {"OldEmailAddress": "test@example.org", "State": "Active"},
        "Deactivate": {"State": "Unsubscribed"},
    }
    return [{"Type": event, "Date": date, **person, **extra[event]} for event in hook.events]


def _webhook(call: ApiCall, target: SubscriberList) -> SimulatedWebhook:
    found = target.webhooks.get(call.path["webhookid"])
    if found is None:
        raise SimulatedApiError(404)
    return found


ROUTES = (
    Endpoint("GET", "/lists/{listid}/webhooks", webhooks),
    Endpoint("POST", "/lists/{listid}/webhooks", create, "ManageLists", "webhook"),
    Endpoint("GET", "/lists/{listid}/webhooks/{webhookid}/test", test, "ManageLists"),
    Endpoint("PUT", "/lists/{listid}/webhooks/{webhookid}/activate", activate, "ManageLists"),
    Endpoint("PUT", "/lists/{listid}/webhooks/{webhookid}/deactivate", deactivate, "ManageLists"),
    Endpoint("DELETE", "/lists/{listid}/webhooks/{webhookid}", delete, "ManageLists"),
)


@dataclass(slots=True)
class _Outbox:
    target: SubscriberList
    hook: SimulatedWebhook
    events: deque[Json] = field(default_factory=deque)
    task: "asyncio.Task[None] | None" = None
    sending: int = 0


class WebhookSender:
    """One outbox and at most one POST at a time for each webhook, so events of a hook keep their order."""

    def __init__(self, state: SimulatorState) -> None:
        self._state = state
        self._outboxes: dict[str, _Outbox] = {}
        self._batches = count(1)
        self._session: aiohttp.ClientSession | None = None
        self.skip_pause = asyncio.Event()  # set to skip the pause before the next attempt

    async def start(self) -> None:
        """Begin to take events from the state."""
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50))
        self._state.emit = self.enqueue
        self._state.test_webhook = self.test

    async def stop(self) -> None:
        """Drop what is waiting and end."""
        tasks = [box.task for box in self._outboxes.values() if box.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def enqueue(self, target: SubscriberList, kind: WebhookType, event: Json) -> None:
        """Put an event into the outbox of every active webhook that is for it."""
        counts = self._state.request_log.webhook_events
        for hook in target.webhooks.values():
            if kind not in hook.events:
                continue
            if not hook.active:
                counts["missed while inactive"] += 1
                continue
            counts["emitted"] += 1
            box = self._outboxes.setdefault(hook.webhook_id, _Outbox(target, hook))
            box.events.append(event)
            if box.task is None or box.task.done():
                box.task = asyncio.ensure_future(self._pump(box))

    async def sent(self) -> None:
        """Wait until nothing is waiting."""
        while tasks := [box.task for box in self._outboxes.values() if box.task is not None and not box.task.done()]:
            await asyncio.wait(tasks)

    @property
    def waiting(self) -> int:
        """How many events have not been answered 2xx yet."""
        return sum(len(box.events) + box.sending for box in self._outboxes.values())

    async def test(self, target: SubscriberList, hook: SimulatedWebhook, events: list[Json]) -> None:
        """POST sample events once. Raises WebhookTestError."""
        status, text = await self._post(hook, self._payload(target, hook, events))
        if status is None:
            raise WebhookTestError("ConnectFailure", text, 0, "")
        if not 200 <= status < 300:
            raise WebhookTestError("ProtocolError", f"The remote server returned an error: ({status}).", status, text)

    async def _pump(self, box: _Outbox) -> None:
        settings = self._state.settings
        while box.events:
            await asyncio.sleep(settings.webhook_linger_ms / 1_000)
            chance = self._state.random
            if len(box.events) > settings.webhook_max_batch and chance.random() < settings.webhook_reorder_probability:
                box.events.rotate(-settings.webhook_max_batch)
                self._state.request_log.webhook_events["moved behind others"] += settings.webhook_max_batch
            batch = [box.events.popleft() for _ in range(min(len(box.events), settings.webhook_max_batch))]
            if len(batch) > 1 and chance.random() < settings.webhook_reorder_probability:
                chance.shuffle(batch)
            if chance.random() < settings.webhook_drop_probability:
                self._state.request_log.webhook_events["lost on purpose"] += len(batch)
                continue
            box.sending = len(batch)
            try:
                await self._deliver(box, batch)
                if chance.random() < settings.webhook_duplicate_probability:
                    self._state.request_log.webhook_events["sent twice on purpose"] += len(batch)
                    await self._deliver(box, batch)
            finally:
                box.sending = 0

    async def _deliver(self, box: _Outbox, batch: list[Json]) -> None:
        """POST a batch until it is taken, the webhook is switched off, or a week of errors is over."""
        settings, log, hook = self._state.settings, self._state.request_log, box.hook
        payload = self._payload(box.target, hook, batch)
        number, pause = next(self._batches), settings.webhook_retry_first_seconds
        for attempt in count(1):
            if not hook.active or hook.webhook_id not in box.target.webhooks:
                log.webhook_events["missed while inactive"] += len(batch)
                return
            status, error = await self._post(hook, payload)
            taken = status is not None and 200 <= status < 300
            now = self._state.clock.time()
            log.deliveries.append(
                WebhookAttempt(
                    now,
                    hook.webhook_id,
                    box.target.list_id,
                    number,
                    attempt,
                    len(batch),
                    status,
                    "" if taken else error[:200],
                    payload if settings.book_limit is None else None,
                )
            )
            if taken:
                hook.failing_since = None
                log.webhook_events["delivered"] += len(batch)
                return
            if hook.failing_since is None:
                hook.failing_since = now
            if now - hook.failing_since >= settings.webhook_week_seconds:
                hook.active = False
                log.webhook_events["deactivations"] += 1
                continue
            await self._pause(pause)
            pause = min(2 * pause, settings.webhook_retry_max_seconds)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.skip_pause.wait(), seconds)
        except TimeoutError:
            return
        self.skip_pause.clear()

    def _payload(self, target: SubscriberList, hook: SimulatedWebhook, events: list[Json]) -> bytes:
        body = {"Events": events, "ListID": target.list_id}
        return orjson.dumps(body) if hook.payload_format == "json" else as_xml(body).encode()

    async def _post(self, hook: SimulatedWebhook, payload: bytes) -> tuple[int | None, str]:
        """Return status and body, or None and what went wrong."""
        if self._session is None:
            return None, "the simulator is not running"
        kind = "application/json" if hook.payload_format == "json" else "text/xml"
        timeout = aiohttp.ClientTimeout(total=self._state.settings.webhook_timeout_seconds)
        try:
            async with self._session.post(
                hook.url, data=payload, headers={"Content-Type": f"{kind}; charset=utf-8"}, timeout=timeout
            ) as answer:
                return answer.status, (await answer.content.read(1_000)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return None, f"{type(error).__name__}: {error}"
