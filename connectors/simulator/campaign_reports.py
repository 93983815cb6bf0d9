"""Reports of a sent campaign: summary, clients, lists and segments, and six paged ones."""

from functools import partial

from connectors.simulator.call import Answer, Call, Route
from connectors.simulator.campaign import Campaign
from connectors.simulator.campaigns import web_versions
from connectors.simulator.errors import ApiError
from connectors.simulator.paging import envelope, read_page
from connectors.simulator.report_rows import KINDS, row_json, since_date

_MAIL_CLIENTS = (
    ("Apple Mail", "Apple Mail 16", 41.5),
    ("Gmail", "Gmail", 28.25),
    ("Outlook", "Outlook 2021", 17.75),
    ("Android", "Android 14", 8.5),
    ("Thunderbird", "Thunderbird 128", 4.0),
)


def summary(call: Call) -> Answer:
    """Answer the counters: opens and clicks count events, unique opens count people."""
    one, now = _campaign(call), call.state.clock.now()
    totals = {kind: one.report(kind).total(now) for kind in KINDS}
    return Answer(
        {
            "Name": one.name,
            "Recipients": len(one.recipients),
            "TotalOpened": totals["opens"],
            "Clicks": totals["clicks"],
            "Unsubscribed": totals["unsubscribes"],
            "Bounced": totals["bounces"],
            "UniqueOpened": one.report("opens").unique(now),
            "SpamComplaints": totals["spam"],
            **one.social,
            **web_versions(one),
            "WorldviewURL": f"https://acme.createsend.example/reports/wv/{one.campaign_id[:16]}",
        }
    )


def email_client_usage(call: Call) -> Answer:
    """Answer what the campaign was opened with."""
    one = _campaign(call)
    opened = one.report("opens").unique(call.state.clock.now())
    return Answer(
        [
            {"Client": client, "Version": version, "Percentage": share, "Subscribers": round(opened * share / 100)}
            for client, version, share in _MAIL_CLIENTS
        ]
        if opened
        else []
    )


def lists_and_segments(call: Call) -> Answer:
    """Answer where the campaign went to."""
    one, state = _campaign(call, unsent=True), call.state
    segments = [state.segments[name] for name in one.segment_ids if name in state.segments]
    return Answer(
        {
            "Lists": [{"ListID": name, "Name": one.list_titles.get(name, "")} for name in one.list_ids],
            "Segments": [
                {"ListID": part.parent.list_id, "SegmentID": part.segment_id, "Title": part.title} for part in segments
            ],
        }
    )


def recipients(call: Call) -> Answer:
    """Answer a page of the people it was sent to; no dates here."""
    one = _campaign(call)
    request = read_page(call.query, ("email", "list"))
    total = len(one.recipients)
    start, stop = request.window(total)
    rows = []
    for number in one.recipient_order(request.field)[start:stop]:
        target, row = one.recipients[number]
        rows.append({"EmailAddress": target.roster.email(row), "ListID": target.list_id})
    if request.descending:
        rows.reverse()
    return Answer(envelope(rows, request, total))


def paged(call: Call, kind: str) -> Answer:
    """Answer a page of one kind of activity."""
    one, now = _campaign(call), call.state.clock.now()
    since = since_date(call, one.client)
    request = read_page(call.query, ("date", "email", "list"))
    rows, total = one.report(kind).page(request, now, since)
    shown = [row_json(row, kind, one.client.zone, list_id=True) for row in rows]
    return Answer(envelope(shown, request, total))


def _campaign(call: Call, *, unsent: bool = False) -> Campaign:
    found = call.state.campaigns.get(call.path["campaignid"])
    if found is None:
        raise ApiError(404)
    call.require(found.client)
    if not found.sent and not unsent:
        raise ApiError(404)
    return found


ROUTES = (
    Route("GET", "/campaigns/{campaignid}/summary", summary, "ViewReports"),
    Route("GET", "/campaigns/{campaignid}/emailclientusage", email_client_usage, "ViewReports"),
    Route("GET", "/campaigns/{campaignid}/listsandsegments", lists_and_segments, "ViewReports"),
    Route("GET", "/campaigns/{campaignid}/recipients", recipients, "ViewReports"),
    *(Route("GET", f"/campaigns/{{campaignid}}/{kind}", partial(paged, kind=kind), "ViewReports") for kind in KINDS),
)
