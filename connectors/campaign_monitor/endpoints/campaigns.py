"""Sent campaigns: summary, audience, and the six reports."""

from datetime import datetime
from typing import Literal

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, read
from connectors.campaign_monitor.entities import Audience, Page, Row
from connectors.campaign_monitor.requests import BY_DATE, BY_EMAIL, Paging, Request, since

Report = Literal["recipients", "opens", "clicks", "unsubscribes", "spam", "bounces"]
REPORTS: tuple[Report, ...] = ("recipients", "opens", "clicks", "unsubscribes", "spam", "bounces")


class Campaigns:
    """`/campaigns/{id}`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def summary(self, campaign_id: str) -> Row:
        """GET summary: Name, Recipients, TotalOpened, UniqueOpened, Clicks, Unsubscribed, Bounced, SpamComplaints..."""
        return await read(self._caller, Request("GET", "/campaigns/{}/summary", (campaign_id,)), responses.mapping)

    async def email_client_usage(self, campaign_id: str) -> list[Row]:
        """GET emailclientusage: rows of Client, Version, Percentage, Subscribers."""
        request = Request("GET", "/campaigns/{}/emailclientusage", (campaign_id,))
        return await read(self._caller, request, responses.rows)

    async def lists_and_segments(self, campaign_id: str) -> Audience:
        """GET listsandsegments: where it was sent."""
        request = Request("GET", "/campaigns/{}/listsandsegments", (campaign_id,))
        return await read(self._caller, request, responses.audience)

    async def report(
        self,
        campaign_id: str,
        report: Report,
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
