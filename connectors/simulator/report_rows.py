"""How the reports of campaigns and journeys write their rows."""

from typing import Any
from zoneinfo import ZoneInfo

from connectors.simulator.activity import ReportRow
from connectors.simulator.call import Call
from connectors.simulator.dates import instant, local_text
from connectors.simulator.entities import Client
from connectors.simulator.errors import ApiError

KINDS = ("opens", "clicks", "unsubscribes", "spam", "bounces")
JOURNEY_KINDS = ("recipients", "opens", "clicks", "bounces", "unsubscribes")


def row_json(row: ReportRow, kind: str, zone: ZoneInfo, *, list_id: bool) -> dict[str, Any]:
    """Return a row as the API writes it; journeys leave the list out."""
    shown: dict[str, Any] = {"EmailAddress": row.email}
    if list_id:
        shown["ListID"] = row.list_id
    date = local_text(row.at, zone)
    if kind == "recipients":
        return {**shown, "SentDate": date}
    if kind == "bounces":
        return {**shown, "BounceType": row.bounce_type, "Date": date, "Reason": row.reason}
    if kind == "clicks":
        shown["URL"] = row.url
    shown["Date"] = date
    if kind == "spam":
        return shown
    shown["IPAddress"] = row.ip
    if kind in ("opens", "clicks"):
        place = row.place
        shown |= {
            "Latitude": place.latitude if place else None,
            "Longitude": place.longitude if place else None,
            "City": place.city if place else "",
            "Region": place.region if place else "",
            "CountryCode": place.country_code if place else "",
            "CountryName": place.country if place else "",
        }
    return shown


def since_date(call: Call, client: Client) -> int:
    """Return the `date` of a query in the client's zone, 0 without one. Raises ApiError 5."""
    text = call.query.get("date", "").strip()
    if not text:
        return 0
    try:
        return max(0, instant(text, client.zone))
    except ValueError:
        raise ApiError(5) from None
