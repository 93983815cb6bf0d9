"""What the demonstration is checked against: the topics, read committed, and Campaign Monitor's own API."""

import asyncio
from collections import Counter
from contextlib import closing

from confluent_kafka import Consumer
from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.client.client_endpoints import CAMPAIGN_REPORTS, JOURNEY_REPORTS
from connectors.campaign_monitor.client.requests import Paging
from connectors.campaign_monitor.credentials import ApiKey
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.kafka.read_to_end import EndReader, pages, reader_config
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.demo.findings import TopicRecord
from streams.demo.machine import Machine

READ_SECONDS = 60.0


async def read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    """Return every committed record of every topic, by the topic's role. Raises ReadError."""
    return await asyncio.to_thread(_read_topics, settings)


def _read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    names = settings.names()
    role_of = {names[role]: role for role in TOPICS}
    found: dict[str, list[TopicRecord]] = {role: [] for role in TOPICS}
    with closing(Consumer(reader_config(settings, "summary"))) as consumer:
        reader = EndReader(consumer, silence_seconds=READ_SECONDS, deadline_seconds=READ_SECONDS)
        known = consumer.list_topics(timeout=10).topics
        reader.assign([part for name in role_of if name in known for part in reader.partitions(name)])
        for page in pages(reader):
            for record in page:
                found[role_of[record.topic]].append(TopicRecord(record.key, record.value))
    return found


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
        return {segment.title: (await api.segments.details(segment.segment_id)).active_subscribers for segment in found}


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
