"""Subscribers of a list: read one, add, update, import, unsubscribe, delete."""

from collections.abc import Sequence

from connectors.campaign_monitor.client import responses
from connectors.campaign_monitor.client.caller import Caller, done, read
from connectors.campaign_monitor.client.entities import ImportResult, JsonObject, Subscriber
from connectors.campaign_monitor.client.requests import (
    NO_AUTORESPONDERS,
    Autoresponders,
    Budget,
    Method,
    Request,
    SubscriberWrite,
    dump,
    flags,
    import_body,
    subscriber_body,
)
from connectors.campaign_monitor.errors.exceptions import ImportPartlyFailed, MalformedAnswer, SubscriberRefused
from connectors.campaign_monitor.errors.verdicts import refusal


class Subscribers:
    """`/subscribers/{list id}`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, list_id: str, email: str) -> Subscriber:
        """GET: one subscriber in any state, with consents. Raises SubscriberRefused (203) for an unknown address."""
        query = flags(includetrackingpreference=True, includesmspreference=True)
        request = Request("GET", "/subscribers/{}", (list_id,), (("email", email), *query), list_id=list_id)
        return await read(self._caller, request, responses.subscriber)

    async def find(self, list_id: str, email: str) -> Subscriber | None:
        """Return a subscriber in any state, or None for an address that the list does not know (203)."""
        try:
            return await self.get(list_id, email)
        except SubscriberRefused as refused:
            if refused.verdict == refusal(203):
                return None
            raise

    async def history(self, list_id: str, email: str) -> list[JsonObject]:
        """GET history: rows of ID, Type, Name, Actions [{Event, Date, IPAddress, Detail}]; capped at 60 a campaign."""
        request = Request("GET", "/subscribers/{}/history", (list_id,), (("email", email),), list_id=list_id)
        return await read(self._caller, request, responses.rows)

    async def add(self, list_id: str, subscriber: SubscriberWrite, effects: Autoresponders = NO_AUTORESPONDERS) -> str:
        """POST: add or update one subscriber; return the address. Queued there: not visible at once.

        Raises SubscriberRefused for inactive ones (204-208, without `effects.resubscribe`), and RateLimited
        (`subscriber_throttled`) when the same address is written too quickly.
        """
        request = _write(list_id, "POST", subscriber_body(subscriber, effects))
        return await read(self._caller, request, responses.bare_string)

    async def update(
        self,
        list_id: str,
        old_email: str,
        subscriber: SubscriberWrite,
        effects: Autoresponders = NO_AUTORESPONDERS,
    ) -> None:
        """PUT: change one subscriber in any state, address included; never adds.

        Raises SubscriberRefused: 203 when `old_email` is unknown, 201 when the new address is on the list already,
        211 when it is invalid.
        """
        query = (("email", old_email),)
        await done(self._caller, _write(list_id, "PUT", subscriber_body(subscriber, effects), query=query))

    async def import_(
        self, list_id: str, subscribers: Sequence[SubscriberWrite], effects: Autoresponders = NO_AUTORESPONDERS
    ) -> ImportResult:
        """POST import: add or update 1 to 1,000 subscribers, visible on return.

        Partial failure (400, code 210) is a result: subscribers that are not in `failures` are
        stored. Addresses in `failures` are as they were sent. Raises ValueError for duplicates or a wrong number.
        """
        return await self.import_encoded(list_id, import_body(subscribers, effects))

    async def import_encoded(self, list_id: str, body: bytes) -> ImportResult:
        """The same, with a body that is encoded already, see `import_body`."""
        request = _write(list_id, "POST", body, under="/import")
        try:
            return await read(self._caller, request, responses.import_result)
        except ImportPartlyFailed as partial:
            try:
                return responses.import_result(partial.result_data)
            except ValueError as reason:
                raise MalformedAnswer(request.operation, f"code 210, but {reason}") from None

    async def unsubscribe(self, list_id: str, email: str) -> None:
        """POST unsubscribe: from this list, and from the client's other lists where the list's setting is so."""
        body = dump({"EmailAddress": email})
        await done(self._caller, Request("POST", "/subscribers/{}/unsubscribe", (list_id,), body=body, list_id=list_id))

    async def delete(self, list_id: str, email: str) -> None:
        """DELETE: state Deleted, not suppressed. Raises SubscriberRefused (203) for an unknown address."""
        request = Request("DELETE", "/subscribers/{}", (list_id,), (("email", email),), list_id=list_id)
        await done(self._caller, request)


def _write(
    list_id: str, method: Method, body: bytes, *, under: str = "", query: tuple[tuple[str, str], ...] = ()
) -> Request:
    budget: Budget = "import" if under else "read"
    return Request(method, f"/subscribers/{{}}{under}", (list_id,), query, body, budget, list_id)
