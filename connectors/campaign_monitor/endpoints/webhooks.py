"""Webhooks of a list. Only this API manages them, and there is no call to edit one."""

from collections.abc import Sequence
from typing import Literal

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, done, read
from connectors.campaign_monitor.entities import Webhook
from connectors.campaign_monitor.requests import Method, Request, dump

Event = Literal["Subscribe", "Update", "Deactivate"]
EVENTS: tuple[Event, ...] = ("Subscribe", "Update", "Deactivate")


class Webhooks:
    """`/lists/{list id}/webhooks`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def all(self, list_id: str) -> list[Webhook]:
        """GET: the list's webhooks; a list may have several."""
        return await read(self._caller, _of(list_id, "GET"), responses.each(responses.webhook))

    async def create(self, list_id: str, url: str, events: Sequence[Event] = EVENTS) -> str:
        """POST: register a hook (JSON) and return its id. Raises WebhookRejected: 601 address, 603 event."""
        body = dump({"Events": list(events), "Url": url, "PayloadFormat": "json"})
        request = Request("POST", "/lists/{}/webhooks", (list_id,), body=body, list_id=list_id, private=(url,))
        return await read(self._caller, request, responses.bare_string)

    async def test(self, list_id: str, webhook_id: str) -> None:
        """GET test: sample events are sent while we wait. Raises WebhookRejected (610); `result_data` says why."""
        await done(self._caller, _of(list_id, "GET", webhook_id, "/test"))

    async def activate(self, list_id: str, webhook_id: str) -> None:
        """PUT activate."""
        await done(self._caller, _of(list_id, "PUT", webhook_id, "/activate", body=b" "))

    async def deactivate(self, list_id: str, webhook_id: str) -> None:
        """PUT deactivate."""
        await done(self._caller, _of(list_id, "PUT", webhook_id, "/deactivate", body=b" "))

    async def delete(self, list_id: str, webhook_id: str) -> None:
        """DELETE."""
        await done(self._caller, _of(list_id, "DELETE", webhook_id))


def _of(list_id: str, method: Method, webhook_id: str = "", under: str = "", body: bytes | None = None) -> Request:
    path = f"/lists/{{}}/webhooks/{{}}{under}" if webhook_id else "/lists/{}/webhooks"
    ids = (list_id, webhook_id) if webhook_id else (list_id,)
    return Request(method, path, ids, body=body, list_id=list_id)
