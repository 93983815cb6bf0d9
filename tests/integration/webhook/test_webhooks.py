"""Webhooks from the simulator through a receiver to a real broker: nothing acknowledged is lost, echoes are marked."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.control.jobs import Jobs, request_missed_changes
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.registration.manager import HOOKS
from connectors.webhook.run import run
from connectors.webhook.settings import WebhookSettings
from schemas.audience_delivery import DeliveryReceipt, Outcome, SourcePosition
from schemas.control import ExportJob, WebhookRegistration
from tests.deadline import eventually
from tests.integration.importer.importing import (
    connector,
    finished,
    import_job,
    kafka_settings,
    progress,
    topic,
    values,
)


@contextlib.asynccontextmanager
async def receiving(kafka: KafkaSettings, simulator: Simulator, **change: object) -> AsyncIterator[None]:
    """A receiver in this process."""
    (port,) = free_ports(1)
    values = {"public_url": f"http://127.0.0.1:{port}", "port": port, "secret": SecretStr("a-secret-of-the-tests")}
    settings = WebhookSettings(**{**values, "check_seconds": 0.3, **change})
    campaign_monitor = CampaignMonitorSettings(base_url=simulator.base_url, api_key=SecretStr(simulator.api_key))
    stop = asyncio.Event()
    working = asyncio.create_task(run(kafka, campaign_monitor, ControlSettings(), settings, stop=stop))
    try:
        yield
        if working.done():
            working.result()
    finally:
        stop.set()
        await asyncio.gather(working, return_exceptions=True)


@contextlib.asynccontextmanager
async def all_jobs(kafka: KafkaSettings) -> AsyncIterator[Jobs]:
    async with AsyncProducer(kafka, "test") as producer, Jobs(kafka, producer) as jobs:
        yield jobs


def registered(kafka: KafkaSettings, list_id: str) -> WebhookRegistration | None:
    found = None
    for record in topic(kafka, "cm_webhooks"):
        if record.key == list_id.encode():
            found = WebhookRegistration.from_bytes(record.value) if record.value else None
    return found


async def active(kafka: KafkaSettings, list_id: str) -> WebhookRegistration:
    def is_active() -> WebhookRegistration | None:
        found = registered(kafka, list_id)
        return found if found is not None and found.state == "active" else None

    return await eventually(is_active, every=0.1)


def published_events(kafka: KafkaSettings) -> list[tuple[str, str | None, str]]:
    return [(value["event"], value.get("status"), value["email"]) for value in values(topic(kafka, "cm_activity"))]


async def test_events_arrive_and_the_webhook_ends_with_its_job(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(webhook_duplicate_probability=0.3)) as simulator, all_jobs(kafka) as jobs:
        controls = simulator.controls
        client = controls.add_client("Acme", "(GMT+10:00) Canberra, Melbourne, Sydney")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 40, all_active=True)
        people = [row["EmailAddress"] for row in controls.subscribers(news)]
        await jobs.put(import_job(client, keep_updated=True))
        async with receiving(kafka, simulator):
            await active(kafka, news)
            hooks = simulator.state.lists[news].webhooks
            assert len(hooks) == 1, "the one for trying out is removed"
            assert published_events(kafka) == [], "and its samples are about nobody"
            controls.unsubscribe(news, people[0])
            controls.hard_bounce(news, people[1])
            controls.delete_subscriber(news, people[2])
            controls.edit_profile(news, people[3], name="Another Name")
            await simulator.webhooks_sent()
            expected = {
                ("deactivate", "unsubscribe", people[0]),
                ("deactivate", "bounce", people[1]),
                ("deactivate", "delete", people[2]),
                ("update", "active", people[3]),
            }
            assert set(published_events(kafka)) == expected
            ids = {value["event_id"] for value in values(topic(kafka, "cm_activity"))}
            assert len(ids) == 4, "posted twice, an event has one id"
            await jobs.set_state("imp", "stopped")
            await eventually(lambda: not hooks and registered(kafka, news).state == "removed", every=0.1)
            await jobs.remove("imp")
            await eventually(lambda: registered(kafka, news) is None, every=0.1)
            assert HOOKS.collect()[0].samples
        assert not HOOKS.collect()[0].samples, "what a receiver saw that does not lead any more is not shown"


async def test_a_webhook_that_was_switched_off_is_switched_on_and_its_gap_is_filled(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator, all_jobs(kafka) as jobs:
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 40, all_active=True, until="2026-01-01T00:00:00+00:00")
        people = [row["EmailAddress"] for row in controls.subscribers(news)]
        job = import_job(client, keep_updated=True)
        await jobs.put(job)
        async with receiving(kafka, simulator, check_seconds=1.0), connector(kafka, simulator, [job]):
            await active(kafka, news)
            (hook,) = simulator.state.lists[news].webhooks.values()
            controls.unsubscribe(news, people[0])
            await simulator.webhooks_sent()
            hook.active = False
            controls.unsubscribe(news, people[1])
            await eventually(lambda: hook.active, every=0.05)
            await eventually(lambda: ("deactivate", "unsubscribe", people[1]) in published_events(kafka), every=0.2)
        found = values(topic(kafka, "cm_activity"))
        by_id = {value["event_id"]: value["email"] for value in found if value["event"] == "deactivate"}
        assert sorted(by_id.values()) == sorted(people[:2]), "one event each, from whatever source"


async def test_a_gap_that_was_asked_for_under_a_removed_job_is_read_by_another_one(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 20, all_active=True, until="2026-01-01T00:00:00+00:00")
        (left,) = (row["EmailAddress"] for row in controls.subscribers(news, limit=1))
        job = import_job(client)
        async with connector(kafka, simulator, [job]), AsyncProducer(kafka, "test") as producer:
            await finished(kafka)
            controls.unsubscribe(news, left)
            hook = WebhookRegistration(
                list_id=news,
                client_id=client,
                time_zone="",
                job_ids=["removed", job.id],
                authorization_id="a",
                updated_at=datetime.now(UTC),
            )
            await request_missed_changes(kafka, producer, hook, datetime.now(UTC) - timedelta(days=1), [])
            await eventually(lambda: ("deactivate", "unsubscribe", left) in published_events(kafka), every=0.2)
            kept = await eventually(lambda: _all_read(progress(kafka)), every=0.2)
        assert {record.job_id for record in kept} == {job.id}, "nothing is left of the other one"


def _all_read(kept: dict[bytes, Any]) -> list[Any]:
    """Return the records of jobs, once no chain waits."""
    records = [record for record in kept.values() if record.kind != "claim"]
    return records if all(record.kind != "chain" or record.state == "done" for record in records) else []


async def test_own_writes_are_marked_as_echoes(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator, all_jobs(kafka) as jobs:
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.add_field(news, "Audiences", "MultiSelectMany", ["VIP", "EU"])
        controls.seed_subscribers(news, 10, all_active=True)
        ours, theirs = (row["EmailAddress"] for row in controls.subscribers(news, limit=2))
        now = datetime.now(UTC)
        await jobs.put(import_job(client, keep_updated=True))
        export = {"id": "exp", "authorization_id": "a", "client_id": client, "list_id": news}
        await jobs.put(ExportJob(**export, created_at=now, updated_at=now, started_at=now))
        async with receiving(kafka, simulator, echo_wait_seconds=3.0), AsyncProducer(kafka, "test") as producer:
            await active(kafka, news)
            controls.edit_profile(news, ours, fields={"Audiences": ["VIP"]})
            controls.edit_profile(news, theirs, fields={"Audiences": ["EU"]})
            receipt = DeliveryReceipt(
                job_id="exp",
                list_id=news,
                email=ours,
                audiences=["VIP"],
                outcome=Outcome.UPDATED,
                at=datetime.now(UTC),
                source=SourcePosition(topic="audience-membership", partition=0, offset=0),
            )
            await producer.publish(kafka.names()["audience-delivery"], ours.encode(), receipt.to_bytes())
            await simulator.webhooks_sent()
        echoes = {value["email"]: value["echo"] for value in values(topic(kafka, "cm_activity"))}
        assert echoes == {ours: True, theirs: False}


async def test_without_a_public_url_who_subscribes_or_leaves_becomes_activity_and_once_it_is_set_nothing_is_left_out(
    bootstrap_servers, namespace
):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings()) as simulator, all_jobs(kafka) as jobs:
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 20, all_active=True, until="2026-01-01T00:00:00+00:00")
        people = [row["EmailAddress"] for row in controls.subscribers(news)]
        job = import_job(client, keep_updated=True, interval_seconds=60).model_copy(
            update={"created_at": datetime.now(UTC) - timedelta(minutes=2)}
        )
        await jobs.put(job)
        async with connector(kafka, simulator, [job]):
            await finished(kafka)
            controls.unsubscribe(news, people[0])
            controls.sign_up(news, "new@example.com")
            async with receiving(kafka, simulator, public_url=""):
                wanted = [("deactivate", "unsubscribe", people[0]), ("subscribe", None, "new@example.com")]
                for event in wanted:
                    await eventually(lambda event=event: event in published_events(kafka), every=0.2)
            controls.unsubscribe(news, people[1])  # while nobody looks
            async with receiving(kafka, simulator):
                await active(kafka, news)
                controls.unsubscribe(news, people[2])
                wanted += [("deactivate", "unsubscribe", person) for person in people[1:3]]
                for event in wanted:
                    await eventually(lambda event=event: event in published_events(kafka), every=0.2)
        found = values(topic(kafka, "cm_activity"))
        by_id = {value["event_id"]: (value["event"], value.get("status"), value["email"]) for value in found}
        assert sorted(by_id.values(), key=str) == sorted(wanted, key=str), "one event each, from whatever source"
