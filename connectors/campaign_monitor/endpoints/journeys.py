"""Journeys and the reports of their e-mails."""

from datetime import datetime
from typing import Literal

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, read
from connectors.campaign_monitor.entities import Journey, Page
from connectors.campaign_monitor.requests import BY_DATE, Paging, Request, since

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
