"""The reports of campaigns and journeys: summaries, and the pages of each kind of activity."""

from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from connectors.devkit.simulator.campaigns.activity import ReportRow
from connectors.devkit.simulator.campaigns.campaigns import web_versions
from connectors.devkit.simulator.campaigns.mailings import ActivityReport, SimulatedCampaign
from connectors.devkit.simulator.data.entities import SimulatedClient
from connectors.devkit.simulator.data.zones import instant, local_text
from connectors.devkit.simulator.protocol.call import ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.protocol.paging import envelope, read_page

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


def _shown(
    call: ApiCall, report: ActivityReport, source: tuple[str, str], numbers: list[int], zone: ZoneInfo, *, list_id: bool
) -> list[Any]:
    """Return rows as the API writes them, or what was encoded before while nothing is added or written."""
    row = report.row_reader()
    version = (report.acts, call.state.request_log.write_count)
    return call.state.encoded_rows.of(
        source, version, numbers, lambda number: row_json(row(number), source[1], zone, list_id=list_id)
    )


def since_date(call: ApiCall, client: SimulatedClient) -> int:
    """Return the `date` of a query in the client's zone, 0 without one. Raises ApiError 5."""
    text = call.query.get("date", "").strip()
    if not text:
        return 0
    try:
        return max(0, instant(text, client.zone))
    except ValueError:
        raise SimulatedApiError(5) from None


_YEAR = 365 * 86_400


def client_journeys(call: ApiCall) -> EndpointResult:
    """Answer a client's journeys."""
    client = call.client()
    return EndpointResult(
        [
            {
                "ListID": journey.target.list_id,
                "JourneyID": journey.journey_id,
                "Name": journey.name,
                "Status": journey.status,
            }
            for journey in call.state.journeys.values()
            if journey.target.client is client
        ]
    )


def journey_summary(call: ApiCall) -> EndpointResult:
    """Answer a journey with the counters of its mails."""
    journey, now = call.state.journeys.get(call.path["journeyid"]), call.state.clock.now()
    if journey is None:
        raise SimulatedApiError(3000)
    call.require(journey.target.client)
    return EndpointResult(
        {
            "JourneyID": journey.journey_id,
            "Name": journey.name,
            "TriggerType": journey.trigger,
            "Status": journey.status,
            "Emails": [
                {
                    "EmailID": mail.email_id,
                    "Name": mail.name,
                    "Bounced": mail.report("bounces").total(now),
                    "Clicked": mail.report("clicks").total(now),
                    "Opened": mail.report("opens").total(now),
                    "Sent": mail.report("recipients").total(now),
                    "UniqueOpened": mail.report("opens").unique(now),
                    "Unsubscribed": mail.report("unsubscribes").total(now),
                }
                for mail in journey.emails
            ],
        }
    )


def journey_report(call: ApiCall, kind: str) -> EndpointResult:
    """Answer a page of one kind of activity, of the last twelve months only."""
    mail, now = call.state.journey_emails.get(call.path["emailid"]), call.state.clock.now()
    if mail is None:
        raise SimulatedApiError(3002)
    client = mail.journey.target.client
    call.require(client)
    since = max(since_date(call, client), now - _YEAR)
    query = {name: value for name, value in call.query.items() if name != "orderfield"}
    request = read_page(query, ("date",))
    numbers, total = mail.report(kind).page_numbers(request, now, since)
    shown = _shown(call, mail.report(kind), (mail.email_id, kind), numbers, client.zone, list_id=False)
    field = "SentDate" if kind == "recipients" else "Date"
    return EndpointResult(envelope(shown, request, total, field=field, upper=True))


JOURNEY_ROUTES = (
    Endpoint("GET", "/clients/{clientid}/journeys", client_journeys, "Automation"),
    Endpoint("GET", "/journeys/{journeyid}", journey_summary, "Automation"),
    *(
        Endpoint("GET", f"/journeys/email/{{emailid}}/{kind}", partial(journey_report, kind=kind), "Automation")
        for kind in JOURNEY_KINDS
    ),
)


_MAIL_CLIENTS = (
    ("Apple Mail", "Apple Mail 16", 41.5),
    ("Gmail", "Gmail", 28.25),
    ("Outlook", "Outlook 2021", 17.75),
    ("Android", "Android 14", 8.5),
    ("Thunderbird", "Thunderbird 128", 4.0),
)


def campaign_summary(call: ApiCall) -> EndpointResult:
    """Answer the counters: opens and clicks count events, unique opens count people."""
    campaign, now = _campaign(call), call.state.clock.now()
    totals = {kind: campaign.report(kind).total(now) for kind in KINDS}
    return EndpointResult(
        {
            "Name": campaign.name,
            "Recipients": len(campaign.recipients),
            "TotalOpened": totals["opens"],
            "Clicks": totals["clicks"],
            "Unsubscribed": totals["unsubscribes"],
            "Bounced": totals["bounces"],
            "UniqueOpened": campaign.report("opens").unique(now),
            "SpamComplaints": totals["spam"],
            **campaign.social,
            **web_versions(campaign),
            "WorldviewURL": f"https://acme.createsend.example/reports/wv/{campaign.campaign_id[:16]}",
        }
    )


def email_client_usage(call: ApiCall) -> EndpointResult:
    """Answer what the campaign was opened with."""
    campaign = _campaign(call)
    opened = campaign.report("opens").unique(call.state.clock.now())
    return EndpointResult(
        [
            {"Client": client, "Version": version, "Percentage": share, "Subscribers": round(opened * share / 100)}
            for client, version, share in _MAIL_CLIENTS
        ]
        if opened
        else []
    )


def lists_and_segments(call: ApiCall) -> EndpointResult:
    """Answer where the campaign went to."""
    campaign, state = _campaign(call, unsent=True), call.state
    segments = [state.segments[name] for name in campaign.segment_ids if name in state.segments]
    return EndpointResult(
        {
            "Lists": [{"ListID": name, "Name": campaign.list_titles.get(name, "")} for name in campaign.list_ids],
            "Segments": [
                {"ListID": part.parent.list_id, "SegmentID": part.segment_id, "Title": part.title} for part in segments
            ],
        }
    )


def recipients(call: ApiCall) -> EndpointResult:
    """Answer a page of the people it was sent to; no dates here."""
    campaign = _campaign(call)
    request = read_page(call.query, ("email", "list"))
    total = len(campaign.recipients)
    start, stop = request.window(total)
    numbers = [*campaign.recipient_order(request.field)[start:stop]]
    if request.descending:
        numbers.reverse()

    def row_json_of(number: int) -> dict[str, Any]:
        target, row = campaign.recipients[number]
        return {"EmailAddress": target.subscribers.email(row), "ListID": target.list_id}

    source = (campaign.campaign_id, "recipients")
    rows = call.state.encoded_rows.of(source, call.state.request_log.write_count, numbers, row_json_of)
    return EndpointResult(envelope(rows, request, total))


def campaign_report(call: ApiCall, kind: str) -> EndpointResult:
    """Answer a page of one kind of activity."""
    campaign, now = _campaign(call), call.state.clock.now()
    since = since_date(call, campaign.client)
    request = read_page(call.query, ("date", "email", "list"))
    report = campaign.report(kind)
    numbers, total = report.page_numbers(request, now, since)
    shown = _shown(call, report, (campaign.campaign_id, kind), numbers, campaign.client.zone, list_id=True)
    return EndpointResult(envelope(shown, request, total))


def _campaign(call: ApiCall, *, unsent: bool = False) -> SimulatedCampaign:
    found = call.state.campaigns.get(call.path["campaignid"])
    if found is None:
        raise SimulatedApiError(404)
    call.require(found.client)
    if not found.sent and not unsent:
        raise SimulatedApiError(404)
    return found


CAMPAIGN_REPORT_ROUTES = (
    Endpoint("GET", "/campaigns/{campaignid}/summary", campaign_summary, "ViewReports"),
    Endpoint("GET", "/campaigns/{campaignid}/emailclientusage", email_client_usage, "ViewReports"),
    Endpoint("GET", "/campaigns/{campaignid}/listsandsegments", lists_and_segments, "ViewReports"),
    Endpoint("GET", "/campaigns/{campaignid}/recipients", recipients, "ViewReports"),
    *(
        Endpoint("GET", f"/campaigns/{{campaignid}}/{kind}", partial(campaign_report, kind=kind), "ViewReports")
        for kind in KINDS
    ),
)
