"""A client's campaigns: sent, scheduled, drafts, and their tags."""

from collections import Counter

from connectors.devkit.simulator.campaigns.mailings import SimulatedCampaign
from connectors.devkit.simulator.data.entities import Json, SimulatedClient
from connectors.devkit.simulator.data.zones import instant, local_text
from connectors.devkit.simulator.protocol.call import ApiCall, Endpoint, EndpointResult
from connectors.devkit.simulator.protocol.errors import SimulatedApiError
from connectors.devkit.simulator.protocol.paging import envelope, read_page

_DAY = 86_400


def sent(call: ApiCall) -> EndpointResult:
    """Answer a page of the sent campaigns; tags of the query must all be there."""
    client = call.client()
    start = _date(call, client, "sentfromdate", 920)
    end = _date(call, client, "senttodate", 922)
    if start is not None and end is not None and start > end:
        raise SimulatedApiError(927)
    query = {name: value for name, value in call.query.items() if name != "orderfield"}
    request = read_page(query, ("sentdate",), descending=True)
    tags = {tag.strip().lower() for tag in call.query.get("tags", "").split(",") if tag.strip()}
    found = [
        campaign
        for campaign in _of(call, client)
        if campaign.sent_at is not None
        and (start is None or campaign.sent_at >= start)
        and (end is None or campaign.sent_at < end + _DAY)
        and tags <= {tag.lower() for tag in campaign.tags}
    ]
    found.sort(key=lambda campaign: (campaign.sent_at or 0, campaign.campaign_id), reverse=request.descending)
    first = (request.page - 1) * request.size
    rows = [_sent_json(campaign) for campaign in found[first : first + request.size]]
    return EndpointResult(envelope(rows, request, len(found), field="SentDate"))


def scheduled(call: ApiCall) -> EndpointResult:
    """Answer the campaigns that wait for their time."""
    client = call.client()
    return EndpointResult(
        [
            {
                **_common(campaign),
                **_previews(campaign),
                "DateScheduled": local_text(campaign.scheduled_at, client.zone),
                "ScheduledTimeZone": client.zone_label,
                "Tags": campaign.tags,
            }
            for campaign in _of(call, client)
            if campaign.scheduled_at is not None and not campaign.sent
        ]
    )


def drafts(call: ApiCall) -> EndpointResult:
    """Answer the drafts."""
    client = call.client()
    return EndpointResult(
        [
            {**_common(campaign), **_previews(campaign), "Tags": campaign.tags}
            for campaign in _of(call, client)
            if campaign.scheduled_at is None and not campaign.sent
        ]
    )


def tags(call: ApiCall) -> EndpointResult:
    """Answer the tags with the number of campaigns that have them, by name."""
    counts = Counter(tag for campaign in _of(call, call.client()) for tag in campaign.tags)
    return EndpointResult([{"Name": name, "NumberOfCampaigns": counts[name]} for name in sorted(counts, key=str.lower)])


def _of(call: ApiCall, client: SimulatedClient) -> list[SimulatedCampaign]:
    return [campaign for campaign in call.state.campaigns.values() if campaign.client is client]


def _common(campaign: SimulatedCampaign) -> Json:
    return {
        "CampaignID": campaign.campaign_id,
        "Name": campaign.name,
        "Subject": campaign.subject,
        "FromName": campaign.from_name,
        "FromEmail": campaign.from_email,
        "ReplyTo": campaign.reply_to,
    }


def _sent_json(campaign: SimulatedCampaign) -> Json:
    return {
        **_common(campaign),
        "SentDate": local_text(campaign.sent_at or 0, campaign.client.zone),
        "TotalRecipients": len(campaign.recipients),
        **web_versions(campaign),
        "Tags": campaign.tags,
    }


def web_versions(campaign: SimulatedCampaign) -> Json:
    """Return the addresses of the web versions."""
    page = f"https://acme.createsend.example/t/{campaign.campaign_id[:16]}"
    return {"WebVersionURL": page, "WebVersionTextURL": f"{page}/text"}


def _previews(campaign: SimulatedCampaign) -> Json:
    page = f"https://acme.createsend.example/preview/{campaign.campaign_id[:16]}"
    created = local_text(campaign.created_at, campaign.client.zone)
    return {"DateCreated": created, "PreviewURL": page, "PreviewTextURL": f"{page}/text"}


def _date(call: ApiCall, client: SimulatedClient, name: str, code: int) -> int | None:
    text = call.query.get(name, "").strip()
    if not text:
        return None
    try:
        return instant(text[:10], client.zone)
    except ValueError:
        raise SimulatedApiError(code) from None


ROUTES = (
    Endpoint("GET", "/clients/{clientid}/campaigns", sent, "ViewReports"),
    Endpoint("GET", "/clients/{clientid}/scheduled", scheduled, "ViewReports"),
    Endpoint("GET", "/clients/{clientid}/drafts", drafts, "ViewReports"),
    Endpoint("GET", "/clients/{clientid}/tags", tags, "ViewReports"),
)
