"""What Campaign Monitor's own API says it holds: the yardstick for the summary."""

from collections import Counter

from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.client_endpoints import CAMPAIGN_REPORTS, JOURNEY_REPORTS
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.credentials import ApiKey
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from streams.up.machine import Machine

WORDS = {
    "recipients": "sent",
    "opens": "open",
    "clicks": "click",
    "unsubscribes": "deactivate",
    "spam": "spam",
    "bounces": "bounce",
}
"""Report -> the event's name on `cm_activity`."""


FEW_BY_EMAIL = Paging(page_size=10, order_field="email")
FEW = Paging(page_size=10, order_field=None)


async def active_by_segment(here: Machine, list_id: str) -> dict[str, int]:
    """Return how many Active subscribers each segment of a list has, by its name."""
    async with CampaignMonitor.open(_key(here), _settings(here)) as api:
        found = await api.lists.segments(list_id)
        return {one.title: (await api.segments.details(one.segment_id)).active_subscribers for one in found}


async def reported(here: Machine, client_id: str) -> dict[str, int]:
    """Return how many rows the reports of a client's campaigns and journeys have, by the event's name."""
    rows: Counter[str] = Counter()
    async with CampaignMonitor.open(_key(here), _settings(here)) as api:
        campaigns = await api.clients.campaigns(client_id)
        for row in campaigns.rows:
            for report in CAMPAIGN_REPORTS:
                page = await api.campaigns.report(row["CampaignID"], report, FEW_BY_EMAIL)
                rows[WORDS[report]] += page.total
        for journey in await api.clients.journeys(client_id):
            for email in (await api.journeys.details(journey.journey_id)).emails:
                for journey_report in JOURNEY_REPORTS:
                    page = await api.journeys.email_report(email.email_id, journey_report, FEW)
                    rows[WORDS[journey_report]] += page.total
    return dict(rows)


def _key(here: Machine) -> ApiKey:
    return ApiKey(SecretStr(here.api_key))


def _settings(here: Machine) -> CampaignMonitorSettings:
    return CampaignMonitorSettings(base_url=here.base_url, oauth_url=here.oauth_url)
