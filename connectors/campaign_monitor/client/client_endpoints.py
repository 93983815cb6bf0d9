"""The account's clients and what they sent: lists, suppression list, campaigns and journeys with their reports."""

from datetime import datetime
from typing import Literal

from connectors.campaign_monitor.client import responses
from connectors.campaign_monitor.client.caller import Caller, done, read
from connectors.campaign_monitor.client.entities import (
    CampaignAudience,
    ClientDetails,
    ClientRef,
    Journey,
    JourneyRef,
    JsonObject,
    ListRef,
    Page,
    SegmentRef,
)
from connectors.campaign_monitor.client.requests import (
    BY_DATE,
    BY_EMAIL,
    NEWEST_FIRST,
    Paging,
    Request,
    dump,
    joined,
    since,
)


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

    async def lists_for_email(self, client_id: str, email: str) -> list[JsonObject]:
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
        """GET /clients/{id}/journeys; the only call that names a journey's list."""
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


CampaignReport = Literal["recipients", "opens", "clicks", "unsubscribes", "spam", "bounces"]
CAMPAIGN_REPORTS: tuple[CampaignReport, ...] = ("recipients", "opens", "clicks", "unsubscribes", "spam", "bounces")


class Campaigns:
    """`/campaigns/{id}`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def summary(self, campaign_id: str) -> JsonObject:
        """GET summary: Name, Recipients, TotalOpened, UniqueOpened, Clicks, Unsubscribed, Bounced, SpamComplaints..."""
        return await read(self._caller, Request("GET", "/campaigns/{}/summary", (campaign_id,)), responses.mapping)

    async def email_client_usage(self, campaign_id: str) -> list[JsonObject]:
        """GET emailclientusage: rows of Client, Version, Percentage, Subscribers."""
        request = Request("GET", "/campaigns/{}/emailclientusage", (campaign_id,))
        return await read(self._caller, request, responses.rows)

    async def lists_and_segments(self, campaign_id: str) -> CampaignAudience:
        """GET listsandsegments: where it was sent."""
        request = Request("GET", "/campaigns/{}/listsandsegments", (campaign_id,))
        return await read(self._caller, request, responses.audience)

    async def report(
        self,
        campaign_id: str,
        report: CampaignReport,
        paging: Paging = BY_DATE,
        *,
        date: str | datetime | None = None,
    ) -> Page:
        """GET one page of a report. `recipients` is ordered by `email` or `list` and takes no date.

        Rows: EmailAddress, ListID, and by report: Date (all but recipients); IPAddress (opens, clicks,
        unsubscribes); Latitude, Longitude, City, Region, CountryCode, CountryName (opens, clicks; may be null);
        URL (clicks); BounceType, Reason (bounces). Events have no id: equal rows are legitimate.
        """
        if report == "recipients" and paging.order_field == "date":
            paging = paging.ordered_by("email")
        query = (*(() if report == "recipients" else since("date", date)), *paging.query())
        request = Request("GET", f"/campaigns/{{}}/{report}", (campaign_id,), query)
        return await read(self._caller, request, responses.page)

    async def recipients(self, campaign_id: str, paging: Paging = BY_EMAIL) -> Page:
        """GET recipients."""
        return await self.report(campaign_id, "recipients", paging)

    async def opens(self, campaign_id: str, paging: Paging = BY_DATE, date: str | datetime | None = None) -> Page:
        """GET opens."""
        return await self.report(campaign_id, "opens", paging, date=date)

    async def clicks(self, campaign_id: str, paging: Paging = BY_DATE, date: str | datetime | None = None) -> Page:
        """GET clicks."""
        return await self.report(campaign_id, "clicks", paging, date=date)

    async def unsubscribes(
        self,
        campaign_id: str,
        paging: Paging = BY_DATE,
        date: str | datetime | None = None,
    ) -> Page:
        """GET unsubscribes."""
        return await self.report(campaign_id, "unsubscribes", paging, date=date)

    async def spam(self, campaign_id: str, paging: Paging = BY_DATE, date: str | datetime | None = None) -> Page:
        """GET spam complaints."""
        return await self.report(campaign_id, "spam", paging, date=date)

    async def bounces(self, campaign_id: str, paging: Paging = BY_DATE, date: str | datetime | None = None) -> Page:
        """GET bounces."""
        return await self.report(campaign_id, "bounces", paging, date=date)


JourneyReport = Literal["recipients", "opens", "clicks", "bounces", "unsubscribes"]
JOURNEY_REPORTS: tuple[JourneyReport, ...] = ("recipients", "opens", "clicks", "bounces", "unsubscribes")


class Journeys:
    """`/journeys`. The client's journeys are under `clients.journeys`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def details(self, journey_id: str) -> Journey:
        """GET /journeys/{id}: the journey with its e-mails."""
        return await read(self._caller, Request("GET", "/journeys/{}", (journey_id,)), responses.journey)

    async def email_report(
        self,
        email_id: str,
        report: JourneyReport,
        paging: Paging = BY_DATE,
        *,
        date: str | datetime | None = None,
    ) -> Page:
        """GET /journeys/email/{id}/{report}: one page; nothing older than a year, no choice of order field.

        Rows have no ListID. recipients: EmailAddress, SentDate; the others as in `campaigns.report`.
        """
        query = (*since("date", date), *paging.without_field().query())
        request = Request("GET", f"/journeys/email/{{}}/{report}", (email_id,), query)
        return await read(self._caller, request, responses.page)
