"""Lists: settings, counters, custom fields, segments, and subscribers by state."""

from collections.abc import Sequence
from datetime import datetime

from connectors.campaign_monitor import responses
from connectors.campaign_monitor.endpoints.read import Caller, done, read
from connectors.campaign_monitor.entities import CustomField, ListDetails, Page, SegmentRef
from connectors.campaign_monitor.requests import BY_DATE, Method, Paging, Request, State, dump, flags, since


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
        state: State,
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
