"""Campaign Monitor's JSON to our values: pure, and lenient where the field shows variety.

Keys that we do not know are ignored, numbers may be text, `Tags` may be absent, consents may be `""`. What is
missing that we cannot do without raises `ValueError` with a sentence, which the client turns into a `MalformedAnswer`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from connectors.campaign_monitor.client.entities import (
    CampaignAudience,
    ClientDetails,
    ClientRef,
    CustomField,
    ImportFailure,
    ImportResult,
    Journey,
    JourneyEmail,
    JourneyRef,
    JsonObject,
    ListDetails,
    ListRef,
    Page,
    SegmentDetails,
    SegmentRef,
    Subscriber,
    Webhook,
)

T = TypeVar("T")


def document(body: bytes) -> Any:
    """Decode a body. Raises ValueError when it is no whole JSON document; the body is not quoted."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError(f"the answer of {len(body)} bytes is no JSON") from None


def mapping(value: Any) -> JsonObject:
    """Return a JSON object as it is; anything else raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    return value


def rows(value: Any) -> list[JsonObject]:
    """Return an array of objects; null counts as empty."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError("expected an array of objects")
    return value


def each(read: Callable[[JsonObject], T]) -> Callable[[Any], list[T]]:
    """Return a reader for an array from a reader for one row."""
    return lambda value: [read(row) for row in rows(value)]


def bare_string(value: Any) -> str:
    """Return the id, key or address that create calls answer as a bare JSON string."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a string, got {type(value).__name__}")
    return value


def strings(value: Any) -> list[str]:
    """Return an array of strings."""
    if not isinstance(value, list):
        raise ValueError(f"expected an array, got {type(value).__name__}")
    return [str(item) for item in value]


def text(row: JsonObject, key: str, default: str = "") -> str:
    """Return a text; numbers become text, null and absence the default."""
    value = row.get(key)
    if value is None:
        return default
    return value if isinstance(value, str) else str(value)


def needed(row: JsonObject, key: str) -> str:
    """Return a text that must be there and not empty."""
    value = text(row, key)
    if not value:
        raise ValueError(f"{key} is missing")
    return value


def number(row: JsonObject, key: str, default: int = 0) -> int:
    """Return a whole number, also one that came as text; the default when it is absent or unreadable."""
    value = row.get(key)
    try:
        return (
            int(float(value)) if isinstance(value, str) else int(value) if isinstance(value, (int, float)) else default
        )
    except (ValueError, OverflowError):  # OverflowError: an infinity, which some JSON decoders read
        return default


def optional(row: JsonObject, key: str) -> str | None:
    """Return a text, or None when it is absent or null; `""` stays `""` (a consent that was never asked)."""
    value = row.get(key)
    return None if value is None else str(value)


def page(value: Any) -> Page:
    """Read one page; when the paging keys are missing, it counts as the only one."""
    body = mapping(value)
    results = rows(body.get("Results"))
    return Page(
        rows=results,
        ordered_by=text(body, "ResultsOrderedBy"),
        direction=text(body, "OrderDirection").lower(),
        number=number(body, "PageNumber", 1),
        size=number(body, "PageSize", len(results)),
        records=number(body, "RecordsOnThisPage", len(results)),
        total=number(body, "TotalNumberOfRecords", len(results)),
        pages=number(body, "NumberOfPages", 1),
    )


def client_ref(row: JsonObject) -> ClientRef:
    """Read a client of the account."""
    return ClientRef(needed(row, "ClientID"), text(row, "Name"))


def client_details(value: Any) -> ClientDetails:
    """Read a client. Its `ApiKey` is dropped here: it is a credential that nobody needs."""
    body = {key: entry for key, entry in mapping(value).items() if key.casefold() != "apikey"}
    basic = mapping(body.get("BasicDetails") or {})
    return ClientDetails(
        client_id=needed(basic, "ClientID"),
        company_name=text(basic, "CompanyName"),
        time_zone=needed(basic, "TimeZone"),
        country=text(basic, "Country"),
        raw=body,
    )


def list_ref(row: JsonObject) -> ListRef:
    """Read a list of a client; a campaign has `Name`, listsforemail `ListName`."""
    return ListRef(needed(row, "ListID"), text(row, "Name") or text(row, "ListName"))


def list_details(value: Any) -> ListDetails:
    """Read a list's settings."""
    row = mapping(value)
    return ListDetails(
        needed(row, "ListID"),
        text(row, "Title"),
        text(row, "UnsubscribeSetting", "AllClientLists"),
        row.get("ConfirmedOptIn") in (True, "true", "True"),
        row,
    )


def counters(value: Any) -> dict[str, int]:
    """Read a list's stats: every counter that is there."""
    row = mapping(value)
    return {key: number(row, key) for key in row}


def custom_field(row: JsonObject) -> CustomField:
    """Read a custom field; it is `FieldOptions` when read, `Options` when written."""
    options = row.get("FieldOptions") or []
    return CustomField(
        name=text(row, "FieldName"),
        key=text(row, "Key"),
        data_type=text(row, "DataType"),
        options=tuple(str(option) for option in options) if isinstance(options, list) else (),
        visible=row.get("VisibleInPreferenceCenter") is not False,
    )


def subscriber(value: Any) -> Subscriber:
    """Read one subscriber."""
    row = mapping(value)
    return Subscriber(
        email=needed(row, "EmailAddress"),
        name=text(row, "Name"),
        state=text(row, "State"),
        date=text(row, "Date"),
        list_joined_date=optional(row, "ListJoinedDate"),
        custom_fields=field_values(row),
        consent_to_track=optional(row, "ConsentToTrack"),
        consent_to_send_sms=optional(row, "ConsentToSendSms"),
        mobile_number=optional(row, "MobileNumber"),
        raw=row,
    )


def field_values(row: JsonObject) -> tuple[tuple[str, str], ...]:
    """Return a row's custom fields as (key as it came, value) pairs; select-many fields repeat their key."""
    entries = row.get("CustomFields")
    if not isinstance(entries, list):
        return ()
    return tuple((text(entry, "Key"), text(entry, "Value")) for entry in entries if isinstance(entry, dict))


def import_result(value: Any) -> ImportResult:
    """Read the answer of an import, or the `ResultData` of code 210, which has the same shape."""
    row = mapping(value)
    if "FailureDetails" not in row:
        raise ValueError("FailureDetails is missing")
    failures = tuple(
        ImportFailure(text(entry, "EmailAddress"), number(entry, "Code", -1), text(entry, "Message"))
        for entry in rows(row["FailureDetails"])
    )
    return ImportResult(
        failures=failures,
        total_unique=number(row, "TotalUniqueEmailsSubmitted"),
        existing=number(row, "TotalExistingSubscribers"),
        new=number(row, "TotalNewSubscribers"),
        duplicates=tuple(str(email) for email in row.get("DuplicateEmailsInSubmission") or ()),
    )


def segment_ref(row: JsonObject) -> SegmentRef:
    """Read a segment of a list or client."""
    return SegmentRef(text(row, "ListID"), needed(row, "SegmentID"), text(row, "Title"))


def segment_details(value: Any) -> SegmentDetails:
    """Read a segment with its rules."""
    row = mapping(value)
    groups = tuple(
        tuple((text(rule, "RuleType"), text(rule, "Clause")) for rule in rows(group.get("Rules")))
        for group in rows(row.get("RuleGroups"))
    )
    return SegmentDetails(
        text(row, "ListID"), needed(row, "SegmentID"), text(row, "Title"), number(row, "ActiveSubscribers"), groups
    )


def audience(value: Any) -> CampaignAudience:
    """Read the lists and segments of a campaign."""
    row = mapping(value)
    return CampaignAudience(
        tuple(list_ref(entry) for entry in rows(row.get("Lists"))),
        tuple(segment_ref(entry) for entry in rows(row.get("Segments"))),
    )


def journey_ref(row: JsonObject) -> JourneyRef:
    """Read a journey of a client."""
    return JourneyRef(text(row, "ListID"), needed(row, "JourneyID"), text(row, "Name"), text(row, "Status"))


def journey(value: Any) -> Journey:
    """Read a journey with its e-mails."""
    row = mapping(value)
    emails = tuple(
        JourneyEmail(
            needed(entry, "EmailID"),
            text(entry, "Name"),
            {key: number(entry, key) for key in entry if key not in ("EmailID", "Name")},
        )
        for entry in rows(row.get("Emails"))
    )
    return Journey(needed(row, "JourneyID"), text(row, "Name"), text(row, "TriggerType"), text(row, "Status"), emails)


def webhook(row: JsonObject) -> Webhook:
    """Read a webhook; the format is written `json` and read back `Json`."""
    return Webhook(
        webhook_id=needed(row, "WebhookID"),
        events=tuple(str(event) for event in row.get("Events") or ()),
        url=text(row, "Url"),
        status=text(row, "Status"),
        format=text(row, "PayloadFormat").lower(),
    )
