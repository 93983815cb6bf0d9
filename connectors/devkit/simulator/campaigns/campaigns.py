"""A client's campaigns: sent, scheduled, drafts, and their tags."""

from collections import Counter

from connectors.devkit.simulator.campaigns.mailings import Campaign
from connectors.devkit.simulator.data.entities import Client, Json
from connectors.devkit.simulator.data.zones import instant, local_text
from connectors.devkit.simulator.protocol.call import Answer, Call, Route
from connectors.devkit.simulator.protocol.errors import ApiError
from connectors.devkit.simulator.protocol.paging import envelope, read_page

_DAY = 86_400


def sent(call: Call) -> Answer:
    """Answer a page of the sent campaigns; tags of the query must all be there."""
    client = call.client()
    start = _date(call, client, "sentfromdate", 920)
    end = _date(call, client, "senttodate", 922)
    if start is not None and end is not None and start > end:
        raise ApiError(927)
    query = {name: value for name, value in call.query.items() if name != "orderfield"}
    request = read_page(query, ("sentdate",), descending=True)
    tags = {tag.strip().lower() for tag in call.query.get("tags", "").split(",") if tag.strip()}
    found = [
        one
        for one in _of(call, client)
        if one.sent_at is not None
        and (start is None or one.sent_at >= start)
        and (end is None or one.sent_at < end + _DAY)
        and tags <= {tag.lower() for tag in one.tags}
    ]
    found.sort(key=lambda one: (one.sent_at or 0, one.campaign_id), reverse=request.descending)
    first = (request.page - 1) * request.size
    rows = [_sent_json(one) for one in found[first : first + request.size]]
    return Answer(envelope(rows, request, len(found), field="SentDate"))


def scheduled(call: Call) -> Answer:
    """Answer the campaigns that wait for their time."""
    client = call.client()
    return Answer(
        [
            {
                **_common(one),
                **_previews(one),
                "DateScheduled": local_text(one.scheduled_at, client.zone),
                "ScheduledTimeZone": client.zone_label,
                "Tags": one.tags,
            }
            for one in _of(call, client)
            if one.scheduled_at is not None and not one.sent
        ]
    )


def drafts(call: Call) -> Answer:
    """Answer the drafts."""
    client = call.client()
    return Answer(
        [
            {**_common(one), **_previews(one), "Tags": one.tags}
            for one in _of(call, client)
            if one.scheduled_at is None and not one.sent
        ]
    )


def tags(call: Call) -> Answer:
    """Answer the tags with the number of campaigns that have them, by name."""
    counts = Counter(tag for one in _of(call, call.client()) for tag in one.tags)
    return Answer([{"Name": name, "NumberOfCampaigns": str(counts[name])} for name in sorted(counts, key=str.lower)])


def _of(call: Call, client: Client) -> list[Campaign]:
    return [one for one in call.state.campaigns.values() if one.client is client]


def _common(one: Campaign) -> Json:
    return {
        "CampaignID": one.campaign_id,
        "Name": one.name,
        "Subject": one.subject,
        "FromName": one.from_name,
        "FromEmail": one.from_email,
        "ReplyTo": one.reply_to,
    }


def _sent_json(one: Campaign) -> Json:
    shown = {
        **_common(one),
        "SentDate": local_text(one.sent_at or 0, one.client.zone),
        "TotalRecipients": len(one.recipients),
        **web_versions(one),
    }
    # Campaign Monitor leaves `Tags` out of some campaigns: here out of those without tags and an even number.
    if one.tags or int(one.campaign_id[-1], 16) % 2:
        shown["Tags"] = one.tags
    return shown


def web_versions(one: Campaign) -> Json:
    """Return the addresses of the web versions."""
    page = f"https://acme.createsend.example/t/{one.campaign_id[:16]}"
    return {"WebVersionURL": page, "WebVersionTextURL": f"{page}/text"}


def _previews(one: Campaign) -> Json:
    page = f"https://acme.createsend.example/preview/{one.campaign_id[:16]}"
    created = local_text(one.created_at, one.client.zone)
    return {"DateCreated": created, "PreviewURL": page, "PreviewTextURL": f"{page}/text"}


def _date(call: Call, client: Client, name: str, code: int) -> int | None:
    text = call.query.get(name, "").strip()
    if not text:
        return None
    try:
        return instant(text[:10], client.zone)
    except ValueError:
        raise ApiError(code) from None


ROUTES = (
    Route("GET", "/clients/{clientid}/campaigns", sent, "ViewReports"),
    Route("GET", "/clients/{clientid}/scheduled", scheduled, "ViewReports"),
    Route("GET", "/clients/{clientid}/drafts", drafts, "ViewReports"),
    Route("GET", "/clients/{clientid}/tags", tags, "ViewReports"),
)
