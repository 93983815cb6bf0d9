"""Sending webhooks: batches of at most a thousand events, repeated with back-off, given up after a week of errors."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count

import aiohttp
import orjson

from connectors.simulator.books import Delivery
from connectors.simulator.entities import Json, SubscriberList, Webhook
from connectors.simulator.state import SimulatorState
from connectors.simulator.transitions import WebhookType
from connectors.simulator.webhooks import WebhookTestError
from connectors.simulator.xml_text import as_xml


@dataclass(slots=True)
class _Outbox:
    target: SubscriberList
    hook: Webhook
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
        self.hurry = asyncio.Event()  # set to skip the pause before the next attempt

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
        counts = self._state.books.webhook_events
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

    async def test(self, target: SubscriberList, hook: Webhook, events: list[Json]) -> None:
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
                self._state.books.webhook_events["moved behind others"] += settings.webhook_max_batch
            batch = [box.events.popleft() for _ in range(min(len(box.events), settings.webhook_max_batch))]
            if len(batch) > 1 and chance.random() < settings.webhook_reorder_probability:
                chance.shuffle(batch)
            if chance.random() < settings.webhook_drop_probability:
                self._state.books.webhook_events["lost on purpose"] += len(batch)
                continue
            box.sending = len(batch)
            try:
                await self._deliver(box, batch)
                if chance.random() < settings.webhook_duplicate_probability:
                    self._state.books.webhook_events["sent twice on purpose"] += len(batch)
                    await self._deliver(box, batch)
            finally:
                box.sending = 0

    async def _deliver(self, box: _Outbox, batch: list[Json]) -> None:
        """POST a batch until it is taken, the webhook is switched off, or a week of errors is over."""
        settings, books, hook = self._state.settings, self._state.books, box.hook
        payload = self._payload(box.target, hook, batch)
        number, pause = next(self._batches), settings.webhook_retry_first_seconds
        for attempt in count(1):
            if not hook.active or hook.webhook_id not in box.target.webhooks:
                books.webhook_events["missed while inactive"] += len(batch)
                return
            status, error = await self._post(hook, payload)
            taken = status is not None and 200 <= status < 300
            now = self._state.clock.time()
            books.deliveries.append(
                Delivery(
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
                books.webhook_events["delivered"] += len(batch)
                return
            if hook.failing_since is None:
                hook.failing_since = now
            if now - hook.failing_since >= settings.webhook_week_seconds:
                hook.active = False
                books.webhook_events["deactivations"] += 1
                continue
            await self._pause(pause)
            pause = min(2 * pause, settings.webhook_retry_max_seconds)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.hurry.wait(), seconds)
        except TimeoutError:
            return
        self.hurry.clear()

    def _payload(self, target: SubscriberList, hook: Webhook, events: list[Json]) -> bytes:
        body = {"Events": events, "ListID": target.list_id}
        return orjson.dumps(body) if hook.payload_format == "json" else as_xml(body).encode()

    async def _post(self, hook: Webhook, payload: bytes) -> tuple[int | None, str]:
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
