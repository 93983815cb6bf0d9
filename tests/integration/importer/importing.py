"""An import against the simulator and a real broker, and the books to compare it with."""

import asyncio
import contextlib
import operator
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import SecretStr

from connectors.campaign_monitor.client.api import CampaignMonitor
from connectors.campaign_monitor.credentials import ApiKey, CampaignMonitorSettings
from connectors.control.jobs import request_run
from connectors.devkit.simulator.campaigns.report_pages import JOURNEY_KINDS, KINDS
from connectors.devkit.simulator.data.zones import local_text
from connectors.devkit.simulator.server import Simulator
from connectors.importer.run import ImportConnector
from connectors.importer.settings import ImporterSettings
from connectors.kafka.admin import ensure_topics
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from schemas.control import ImportJob
from schemas.import_task import ImportProgress, RunProgress
from tests.deadline import eventually
from tests.kafka_io import Record, read_all

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def kafka_settings(bootstrap_servers: str, namespace: str, partitions: int = 4) -> KafkaSettings:
    """Settings for this test's own topics, made."""
    settings = KafkaSettings(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=namespace,
        partitions=partitions,
        session_timeout_seconds=10,
        delivery_timeout_seconds=8,
        transaction_timeout_seconds=8,
    )
    ensure_topics(settings, create=True)
    return settings


def import_job(client_id: str, **change: Any) -> ImportJob:
    """A job that imports everything of a client."""
    values = {"id": "imp", "authorization_id": "a", "client_id": client_id, "created_at": NOW, "updated_at": NOW}
    return ImportJob(**{**values, **change})


@contextlib.asynccontextmanager
async def connector(
    kafka: KafkaSettings, simulator: Simulator, jobs: list[ImportJob], **settings: Any
) -> AsyncIterator[ImportConnector]:
    """A running connector in this process."""
    campaign_monitor = CampaignMonitorSettings(base_url=simulator.base_url, requests_in_flight=16)
    async with CampaignMonitor.open(ApiKey(SecretStr(simulator.api_key)), campaign_monitor) as api:

        async def open_api(_authorization: str) -> CampaignMonitor:
            return api

        values = {"page_size": 100, "schedule_seconds": 0.1, "recipients_after_seconds": 0, "park_seconds": 1.0}
        running = ImportConnector(
            kafka, ImporterSettings(**{**values, **settings}), jobs=lambda: list(jobs), open_api=open_api
        )
        work = asyncio.create_task(running.run())
        try:
            yield running
            if work.done():
                work.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


def topic(kafka: KafkaSettings, role: str) -> list[Record]:
    """Everything committed in a topic."""
    return read_all(kafka.bootstrap_servers, kafka.names()[role])


def progress(kafka: KafkaSettings) -> dict[bytes, Any]:
    """The latest progress record of every key."""
    latest: dict[bytes, Any] = {}
    for record in topic(kafka, "cm_import_progress"):
        if record.value is None:
            latest.pop(record.key or b"", None)
        else:
            latest[record.key or b""] = ImportProgress.from_bytes(record.value).root
    return latest


async def finished(kafka: KafkaSettings, run: int = 1, job: str = "imp", seconds: float = 60.0) -> RunProgress:
    """Wait for the end of a run."""

    async def ended() -> RunProgress | None:
        found = (await asyncio.to_thread(progress, kafka)).get(f"run:{job}".encode())
        return found if found is not None and found.run >= run and found.state == "done" else None

    return await eventually(ended, seconds=seconds, every=0.3)


def values(records: list[Record]) -> list[dict[str, Any]]:
    """The records' values."""
    return [orjson.loads(record.value or b"{}") for record in records]


def books_users(simulator: Simulator, client_id: str) -> Counter[tuple[str, str, str]]:
    """Every subscriber as the simulator holds it: list, address, state; the suppression list has no list."""
    people: Counter[tuple[str, str, str]] = Counter()
    for list_id in simulator.state.clients[client_id].lists:
        for row in simulator.controls.each_subscriber(list_id):
            people[list_id, row["EmailAddress"], row["State"]] += 1
    return people


def published_users(records: list[Record]) -> Counter[tuple[str, str, str]]:
    """The same from `cm_user`, the suppression list left out."""
    return Counter(
        (value["list_id"], value["email"], value["status"]) for value in values(records) if value.get("list_id")
    )


def books_activity(
    simulator: Simulator, dated: Callable[[int, ZoneInfo], str] = local_text
) -> Counter[tuple[str, str, str, str]]:
    """Every report row as the simulator holds it: event, mail, address, date (the local one)."""
    state, now = simulator.state, int(simulator.state.clock.time())
    rows: Counter[tuple[str, str, str, str]] = Counter()
    for campaign in state.campaigns.values():
        if not campaign.sent:
            continue
        zone = campaign.client.zone
        for number in campaign.recipient_order("email"):
            email = campaign.recipients.email(number)
            rows["recipients", campaign.campaign_id, email, dated(campaign.sent_at, zone)] += 1
        for kind in KINDS:
            for row in campaign.report(kind).rows(now):
                rows[kind, campaign.campaign_id, row.email, dated(row.at, zone)] += 1
    for mail in state.journey_emails.values():
        zone = mail.journey.target.client.zone
        for kind in JOURNEY_KINDS:
            for row in mail.report(kind).rows(now):
                rows[kind, mail.email_id, row.email, dated(row.at, zone)] += 1
    return rows


def published_activity(
    records: list[Record], dated: Callable[[dict[str, Any]], str] = operator.itemgetter("raw_date")
) -> Counter[tuple[str, str, str, str]]:
    """The same from `cm_activity`, webhook events left out."""
    published: Counter[tuple[str, str, str, str]] = Counter()
    for value in values(records):
        if value["source"] != "webhook":
            mail = value.get("campaign_id") or value["journey_email_id"]
            published[REPORT_OF[value["event"]], mail, value["email"], dated(value)] += 1
    return published


REPORT_OF = {
    "sent": "recipients",
    "open": "opens",
    "click": "clicks",
    "deactivate": "unsubscribes",
    "bounce": "bounces",
    "spam": "spam",
}


async def ask_for_a_run(kafka: KafkaSettings, job: str = "imp") -> None:
    """Ask for the job's next run."""
    async with AsyncProducer(kafka, "test") as producer:
        await request_run(kafka, producer, job)


def ids(records: list[Record]) -> list[str]:
    """The records' event ids."""
    return [value["event_id"] for value in values(records)]
