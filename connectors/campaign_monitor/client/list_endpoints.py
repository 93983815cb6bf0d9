"""Lists: settings, counters, custom fields, subscribers by state; their segments and webhooks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from connectors.campaign_monitor.client import responses
from connectors.campaign_monitor.client.caller import Caller, done, read
from connectors.campaign_monitor.client.entities import (
    CustomField,
    ListDetails,
    Page,
    SegmentDetails,
    SegmentRef,
    Webhook,
)
from connectors.campaign_monitor.client.requests import (
    BY_DATE,
    ListState,
    Method,
    Paging,
    Request,
    dump,
    flags,
    segment_body,
    since,
)


class Lists:
    """`/lists/{id}` and what hangs under it, webhooks apart."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, client_id: str, title: str, *, only_this_list: bool = False, opt_in: bool = False) -> str:
        """POST /lists/{client id}: create a list and return its id. Raises ListRejected (250) for a known title."""
        body = {
            "Title": title,
            "UnsubscribePage": "",
            "ConfirmedOptIn": opt_in,
            "ConfirmationSuccessPage": "",
            "UnsubscribeSetting": "OnlyThisList" if only_this_list else "AllClientLists",
        }
        return await read(
            self._caller, Request("POST", "/lists/{}", (client_id,), body=dump(body)), responses.bare_string
        )

    async def delete(self, list_id: str) -> None:
        """DELETE /lists/{id}."""
        await done(self._caller, _of(list_id, "DELETE"))

    async def details(self, list_id: str) -> ListDetails:
        """GET /lists/{id}."""
        return await read(self._caller, _of(list_id, "GET"), responses.list_details)

    async def stats(self, list_id: str) -> dict[str, int]:
        """GET /lists/{id}/stats: 24 counters, `TotalActiveSubscribers` among them."""
        return await read(self._caller, _of(list_id, "GET", "/stats"), responses.counters)

    async def segments(self, list_id: str) -> list[SegmentRef]:
        """GET /lists/{id}/segments."""
        request = _of(list_id, "GET", "/segments")
        return await read(self._caller, request, responses.each(responses.segment_ref))

    async def custom_fields(self, list_id: str) -> list[CustomField]:
        """GET /lists/{id}/customfields. Keys must be read here, never computed from the name."""
        request = _of(list_id, "GET", "/customfields")
        return await read(self._caller, request, responses.each(responses.custom_field))

    async def create_custom_field(
        self, list_id: str, name: str, data_type: str, options: Sequence[str] = (), *, visible: bool = False
    ) -> str:
        """POST /lists/{id}/customfields: return the new field's key. Raises FieldRejected (255) when it exists.

        `data_type`: Text, Number, MultiSelectOne, MultiSelectMany, Date, Country, USState; options for the two
        select types only, and at least one there. `visible`: shown in the preference center.
        """
        body = dump(
            {
                "FieldName": name,
                "DataType": data_type,
                "Options": list(options),
                "VisibleInPreferenceCenter": visible,
            }
        )
        return await read(self._caller, _of(list_id, "POST", "/customfields", body=body), responses.bare_string)

    async def update_custom_field(self, list_id: str, key: str, name: str, *, visible: bool = False) -> str:
        """PUT /lists/{id}/customfields/{key}: rename, and return the new key: it changes with the name."""
        body = dump({"FieldName": name, "VisibleInPreferenceCenter": visible})
        request = _of(list_id, "PUT", "/customfields/{}", key, body=body)
        return await read(self._caller, request, responses.bare_string)

    async def update_custom_field_options(
        self, list_id: str, key: str, options: Sequence[str], *, keep_existing: bool = True
    ) -> None:
        """PUT /lists/{id}/customfields/{key}/options. Without `keep_existing` other options and their values go."""
        body = dump({"Options": list(options), "KeepExistingOptions": keep_existing})
        await done(self._caller, _of(list_id, "PUT", "/customfields/{}/options", key, body=body))

    async def delete_custom_field(self, list_id: str, key: str) -> None:
        """DELETE /lists/{id}/customfields/{key}: the field and everybody's values of it."""
        await done(self._caller, _of(list_id, "DELETE", "/customfields/{}", key))

    async def subscribers(
        self,
        list_id: str,
        state: ListState,
        paging: Paging = BY_DATE,
        *,
        date: str | datetime | None = None,
        tracking: bool = True,
        sms: bool = True,
    ) -> Page:
        """GET /lists/{id}/{state}: one page, ordered by `date`, `email` or `name`.

        `date`: who entered this state since then (client's zone); it does not find edits. `tracking`, `sms`: also
        ConsentToTrack and ConsentToSendSms.
        Row: EmailAddress, Name, Date, ListJoinedDate, State, CustomFields [{Key, Value}], ReadsEmailWith,
        MobileNumber (only when set), ConsentToTrack (Yes, No or ""), ConsentToSendSms (only with a number).
        """
        wanted = flags(includetrackingpreference=tracking, includesmspreference=sms)
        request = Request(
            "GET", f"/lists/{{}}/{state}", (list_id,), (*since("date", date), *paging.query(), *wanted), list_id=list_id
        )
        return await read(self._caller, request, responses.page)


def _of(list_id: str, method: Method, under: str = "", *ids: str, body: bytes | None = None) -> Request:
    return Request(method, f"/lists/{{}}{under}", (list_id, *ids), body=body, list_id=list_id)


RuleGroups = Sequence[Sequence[tuple[str, str]]]
"""Groups, joined by AND, of (rule type, clause) pairs, joined by OR: `[[("[Plan]", "EQUALS gold")]]`."""


class Segments:
    """`/segments`. All calls have the long time budget: these are the slowest that are known."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(self, list_id: str, title: str, rule_groups: RuleGroups) -> str:
        """POST /segments/{list id}: return the new id. Raises SegmentRejected: 275 title taken, 277 rules, 283 full."""
        request = _segment(list_id, "POST", body=segment_body(title, rule_groups))
        return await read(self._caller, request, responses.bare_string)

    async def update(self, segment_id: str, title: str, rule_groups: RuleGroups) -> None:
        """PUT /segments/{id}: replace title and all rules."""
        await done(self._caller, _segment(segment_id, "PUT", body=segment_body(title, rule_groups)))

    async def details(self, segment_id: str) -> SegmentDetails:
        """GET /segments/{id}. Raises ResourceMissing (271) when it does not exist."""
        return await read(self._caller, _segment(segment_id, "GET"), responses.segment_details)

    async def delete(self, segment_id: str) -> None:
        """DELETE /segments/{id}."""
        await done(self._caller, _segment(segment_id, "DELETE"))

    async def active(
        self,
        segment_id: str,
        paging: Paging = BY_DATE,
        *,
        date: str | datetime | None = None,
    ) -> Page:
        """GET /segments/{id}/active: one page of rows as in `lists.subscribers`. Lags by up to an hour."""
        query = (*since("date", date), *paging.query(), *flags(includetrackingpreference=True))
        return await read(self._caller, _segment(segment_id, "GET", "/active", query=query), responses.page)


def _segment(
    of_id: str,
    method: Method,
    under: str = "",
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: bytes | None = None,
) -> Request:
    return Request(method, f"/segments/{{}}{under}", (of_id,), query, body, "segment")


WebhookEvent = Literal["Subscribe", "Update", "Deactivate"]
WEBHOOK_EVENTS: tuple[WebhookEvent, ...] = ("Subscribe", "Update", "Deactivate")


class Webhooks:
    """`/lists/{list id}/webhooks`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def all(self, list_id: str) -> list[Webhook]:
        """GET: the list's webhooks; a list may have several."""
        return await read(self._caller, _webhook(list_id, "GET"), responses.each(responses.webhook))

    async def create(self, list_id: str, url: str, events: Sequence[WebhookEvent] = WEBHOOK_EVENTS) -> str:
        """POST: register a hook (JSON) and return its id. Raises WebhookRejected: 601 address, 603 event."""
        body = dump({"Events": list(events), "Url": url, "PayloadFormat": "json"})
        request = Request("POST", "/lists/{}/webhooks", (list_id,), body=body, list_id=list_id, private=(url,))
        return await read(self._caller, request, responses.bare_string)

    async def test(self, list_id: str, webhook_id: str) -> None:
        """GET test: sample events are sent while we wait. Raises WebhookRejected (610, reason in `result_data`)."""
        await done(self._caller, _webhook(list_id, "GET", webhook_id, "/test"))

    async def activate(self, list_id: str, webhook_id: str) -> None:
        """PUT activate."""
        await done(self._caller, _webhook(list_id, "PUT", webhook_id, "/activate", body=b" "))

    async def deactivate(self, list_id: str, webhook_id: str) -> None:
        """PUT deactivate."""
        await done(self._caller, _webhook(list_id, "PUT", webhook_id, "/deactivate", body=b" "))

    async def delete(self, list_id: str, webhook_id: str) -> None:
        """DELETE."""
        await done(self._caller, _webhook(list_id, "DELETE", webhook_id))


def _webhook(list_id: str, method: Method, webhook_id: str = "", under: str = "", body: bytes | None = None) -> Request:
    path = f"/lists/{{}}/webhooks/{{}}{under}" if webhook_id else "/lists/{}/webhooks"
    ids = (list_id, webhook_id) if webhook_id else (list_id,)
    return Request(method, path, ids, body=body, list_id=list_id)
