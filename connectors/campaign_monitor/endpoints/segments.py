"""Segments: create, change, read, and their active subscribers."""

from collections.abc import Sequence
from datetime import datetime

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, done, read
from connectors.campaign_monitor.entities import Page, SegmentDetails
from connectors.campaign_monitor.requests import BY_DATE, Method, Paging, Request, flags, segment_body, since

RuleGroups = Sequence[Sequence[tuple[str, str]]]
"""Groups, joined by AND, of (rule type, clause) pairs, joined by OR: `[[("[Plan]", "EQUALS gold")]]`."""


class Segments:
    """`/segments`. All calls have the long time budget: these are the slowest that are known."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, list_id: str, title: str, rule_groups: RuleGroups) -> str:
        """POST /segments/{list id}: return the new id. Raises SegmentRejected: 275 title taken, 277 rules, 283 full."""
        request = _of(list_id, "POST", body=segment_body(title, rule_groups))
        return await read(self._caller, request, responses.bare_string)

    async def update(self, segment_id: str, title: str, rule_groups: RuleGroups) -> None:
        """PUT /segments/{id}: replace title and all rules."""
        await done(self._caller, _of(segment_id, "PUT", body=segment_body(title, rule_groups)))

    async def details(self, segment_id: str) -> SegmentDetails:
        """GET /segments/{id}. Raises ResourceMissing (271) when it is gone."""
        return await read(self._caller, _of(segment_id, "GET"), responses.segment_details)

    async def delete(self, segment_id: str) -> None:
        """DELETE /segments/{id}."""
        await done(self._caller, _of(segment_id, "DELETE"))

    async def active(
        self,
        segment_id: str,
        paging: Paging = BY_DATE,
        *,
        date: str | datetime | None = None,
    ) -> Page:
        """GET /segments/{id}/active: one page of rows as in `lists.subscribers`. Lags by up to an hour."""
        query = (*since("date", date), *paging.query(), *flags(includetrackingpreference=True))
        return await read(self._caller, _of(segment_id, "GET", "/active", query=query), responses.page)


def _of(
    of_id: str,
    method: Method,
    under: str = "",
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
) -> Request:
    return Request(method, f"/segments/{{}}{under}", (of_id,), query, body, "segment")
