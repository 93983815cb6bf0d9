"""What the demonstration is checked against: the topics, read committed, and Campaign Monitor's own API."""

import asyncio
import time
import uuid
from collections import Counter

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from pydantic import SecretStr

from connectors.campaign_monitor.auth import ApiKey
from connectors.campaign_monitor.client import CampaignMonitor
from connectors.campaign_monitor.endpoints.campaigns import REPORTS
from connectors.campaign_monitor.endpoints.journeys import JOURNEY_REPORTS
from connectors.campaign_monitor.requests import Paging
from connectors.campaign_monitor.settings import CampaignMonitorSettings
from connectors.kafka.settings import KafkaSettings, consumer_config
from schemas.topics import TOPICS
from streams.demo.findings import TopicRecord
from streams.demo.machine import Machine

READ_SECONDS = 60.0


class IncompleteReadError(RuntimeError):
    """A topic was not read to its end in time."""


async def read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    """Return every committed record of every topic, by the topic's role."""
    return await asyncio.to_thread(_read_topics, settings)


def _read_topics(settings: KafkaSettings) -> dict[str, list[TopicRecord]]:
    names = settings.names()
    role_of = {names[role]: role for role in TOPICS}
    found: dict[str, list[TopicRecord]] = {role: [] for role in TOPICS}
    config = consumer_config(settings, "summary", f"summary-{uuid.uuid4().hex}")
    config["enable.partition.eof"] = True
    consumer = Consumer(config)
    try:
        known = consumer.list_topics(timeout=10).topics
        open_partitions = {
            (name, partition) for name in role_of if name in known for partition in known[name].partitions
        }
        consumer.assign([TopicPartition(name, partition, OFFSET_BEGINNING) for name, partition in open_partitions])
        deadline = time.monotonic() + READ_SECONDS
        while open_partitions:
            if time.monotonic() > deadline:
                raise IncompleteReadError(
                    f"topics not read to their ends within {READ_SECONDS:.0f} s: {open_partitions}"
                )
            for message in consumer.consume(5_000, 0.2):
                error = message.error()
                if error is None:
                    found[role_of[message.topic()]].append(TopicRecord(message.key(), message.value()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard((message.topic(), message.partition()))
    finally:
        consumer.close()
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
            for report in REPORTS:
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
