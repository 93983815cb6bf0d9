"""A receiver that is killed while it is posted to: no event that was answered 2xx is missing."""

import asyncio
import os
import random

import orjson
import pytest

from connectors.control.jobs import Jobs
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from tests.deadline import eventually
from tests.faults.importer.processes import ReceiverProcess
from tests.integration.importer.importing import import_job, kafka_settings, topic, values

KILLS = int(os.environ.get("FAULT_KILLS", "4"))
SEED = int(os.environ.get("FAULT_SEED", str(random.randrange(10_000))))
EVENTS_PER_KILL = 300


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * KILLS)
async def test_nothing_that_was_acknowledged_is_lost(bootstrap_servers, namespace, tmp_path):
    print(f"FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    kafka = kafka_settings(bootstrap_servers, namespace)
    settings = SimulatorSettings(
        seed=SEED,
        webhook_max_batch=15,
        webhook_linger_ms=1,
        webhook_retry_first_seconds=0.1,
        webhook_retry_max_seconds=0.3,
        webhook_duplicate_probability=0.05,
        webhook_reorder_probability=0.2,
    )
    async with (
        Simulator(settings) as simulator,
        AsyncProducer(kafka, "test") as producer,
        Jobs(kafka, producer) as jobs,
    ):
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, EVENTS_PER_KILL * KILLS + 10, all_active=True)
        people = [row["EmailAddress"] for row in controls.subscribers(news)]
        await jobs.put(import_job(client, keep_updated=True))
        receiver = ReceiverProcess(kafka, simulator, tmp_path)
        try:
            await eventually(lambda: simulator.state.lists[news].webhooks, seconds=60, every=0.1)
            for kill in range(KILLS):
                for email in people[kill * EVENTS_PER_KILL : (kill + 1) * EVENTS_PER_KILL]:
                    controls.unsubscribe(news, email)
                    await asyncio.sleep(0.001)
                await asyncio.sleep(chance.random() * 0.1)
                receiver.kill()
            async with asyncio.timeout(90):
                await simulator.webhooks_sent(90)
            assert receiver.stop() == 0
        finally:
            receiver.end()
        acknowledged = {
            event["EmailAddress"]
            for delivery in controls.deliveries(payloads=True)
            if delivery["status"] and 200 <= delivery["status"] < 300
            for event in orjson.loads(delivery["payload"])["Events"]
        }
        found = values(topic(kafka, "cm_activity"))
        assert acknowledged == set(people[: EVENTS_PER_KILL * KILLS])
        assert acknowledged <= {value["email"] for value in found}
        by_id = {value["event_id"]: value["email"] for value in found}
        assert len(by_id) == len(acknowledged), "whatever was posted twice has one id"
        failed = [delivery for delivery in controls.deliveries() if delivery["status"] is None]
        print(f"{len(failed)} posts met a dead receiver, {len(found) - len(by_id)} events came twice")
