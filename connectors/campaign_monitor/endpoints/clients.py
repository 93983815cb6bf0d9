"""The account and its clients: details, lists, segments, sent campaigns, journeys, suppression list."""

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, done, read
from connectors.campaign_monitor.entities import ClientDetails, ClientRef, JourneyRef, ListRef, Page, Row, SegmentRef
from connectors.campaign_monitor.requests import BY_DATE, NEWEST_FIRST, Paging, Request, dump, joined


class Clients:
    """`/clients` and what hangs under one."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def all(self) -> list[ClientRef]:
        """GET /clients: the clients of the account. A client's own key may be refused here."""
        return await read(self._caller, Request("GET", "/clients"), responses.each(responses.client_ref))

    async def details(self, client_id: str) -> ClientDetails:
        """GET /clients/{id}; the client's API key is dropped before anything sees it."""
        return await read(self._caller, Request("GET", "/clients/{}", (client_id,)), responses.client_details)

    async def lists(self, client_id: str) -> list[ListRef]:
        """GET /clients/{id}/lists."""
        request = Request("GET", "/clients/{}/lists", (client_id,))
        return await read(self._caller, request, responses.each(responses.list_ref))

    async def lists_for_email(self, client_id: str, email: str) -> list[Row]:
        """GET /clients/{id}/listsforemail: rows of ListID, ListName, SubscriberState, DateSubscriberAdded."""
        request = Request("GET", "/clients/{}/listsforemail", (client_id,), (("email", email),))
        return await read(self._caller, request, responses.rows)

    async def segments(self, client_id: str) -> list[SegmentRef]:
        """GET /clients/{id}/segments."""
        request = Request("GET", "/clients/{}/segments", (client_id,))
        return await read(self._caller, request, responses.each(responses.segment_ref))

    async def campaigns(
        self,
        client_id: str,
        paging: Paging = NEWEST_FIRST,
        *,
        sent_from: str | None = None,
        sent_to: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> Page:
        """GET /clients/{id}/campaigns: one page of sent campaigns; always ordered by date, newest first by default.

        `sent_from`, `sent_to`: `YYYY-MM-DD` in the client's zone; `tags`: campaigns that have all of them.
        Row: CampaignID, Name, Subject, FromName, FromEmail, ReplyTo, SentDate, TotalRecipients, WebVersionURL,
        WebVersionTextURL, Tags (may be absent).
        """
        window = (("sentfromdate", sent_from), ("senttodate", sent_to), ("tags", joined(tags)))
        query = (*((name, value) for name, value in window if value), *paging.without_field().query())
        return await read(self._caller, Request("GET", "/clients/{}/campaigns", (client_id,), query), responses.page)

    async def journeys(self, client_id: str) -> list[JourneyRef]:
        """GET /clients/{id}/journeys; the only place that says a journey's list."""
        request = Request("GET", "/clients/{}/journeys", (client_id,))
        return await read(self._caller, request, responses.each(responses.journey_ref))

    async def suppression_list(self, client_id: str, paging: Paging = BY_DATE) -> Page:
        """GET /clients/{id}/suppressionlist: one page, ordered by `date` or `email`.

        Row: SuppressionReason, EmailAddress, Date, State.
        """
        request = Request("GET", "/clients/{}/suppressionlist", (client_id,), paging.query())
        return await read(self._caller, request, responses.page)

    async def suppress(self, client_id: str, emails: list[str]) -> None:
        """POST /clients/{id}/suppress: put addresses on the suppression list."""
        body = dump({"EmailAddresses": emails})
        await done(self._caller, Request("POST", "/clients/{}/suppress", (client_id,), body=body))

    async def unsuppress(self, client_id: str, email: str) -> None:
        """PUT /clients/{id}/unsuppress. Raises RequestRejected (176) when the address is not suppressed."""
        request = Request("PUT", "/clients/{}/unsuppress", (client_id,), (("email", email),), body=b" ")
        await done(self._caller, request)
