"""Imports whose processes are killed and paused: each subscriber state and each report row exactly once.

`FAULT_KILLS` says how many SIGKILLs; `FAULT_SEED` repeats a run. Compared with the simulator's own books.
"""

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.control.jobs import Jobs
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually
from tests.faults.importer.processes import ConnectorProcesses
from tests.integration.importer.importing import (
    books_activity,
    books_users,
    finished,
    ids,
    import_job,
    kafka_settings,
    progress,
    published_activity,
    published_users,
    topic,
)

KILLS = int(os.environ.get("FAULT_KILLS", "4"))
SEED = int(os.environ.get("FAULT_SEED", str(random.randrange(10_000))))
MIN_OBLIGATIONS = 1_000


def seed(simulator: Simulator, subscribers: int = 600) -> str:
    controls = simulator.controls
    client = controls.add_client("Acme", "(GMT+10:00) Canberra, Melbourne, Sydney")
    news = controls.add_list(client, "News")
    controls.add_field(news, "City")
    controls.seed_subscribers(news, subscribers)
    controls.add_campaign(
        [news], "Spring", days_ago=9, opens=700, clicks=200, unsubscribes=7, bounces=9, spam=3, days=3
    )
    controls.add_campaign([news], "Burst", days_ago=40, recipients=100, opens=300, clicks=30, days=0.02)
    controls.add_journey(news, "Welcome", mails=1, sent=80, opens=60, clicks=20)
    return client


def settings(bootstrap_servers: str, namespace: str) -> KafkaSettings:
    made = kafka_settings(bootstrap_servers, namespace)
    times = {"session_timeout_seconds": 6.0, "delivery_timeout_seconds": 5.0, "transaction_timeout_seconds": 6.0}
    return made.model_copy(update=times)


@pytest.fixture
def started() -> Iterator[list[ConnectorProcesses]]:
    made: list[ConnectorProcesses] = []
    yield made
    for connectors in made:
        connectors.end()


def compare_with_books(kafka: KafkaSettings, simulator: Simulator, client: str) -> None:
    people, activity = topic(kafka, "cm_user"), topic(kafka, "cm_activity")
    assert published_users(people) == books_users(simulator, client)
    assert published_activity(activity) == books_activity(simulator)
    published = ids(people) + ids(activity)
    assert len(published) == len(set(published))
    assert len(published) >= MIN_OBLIGATIONS, "too few to prove anything"


async def create_job(kafka: KafkaSettings, client: str) -> None:
    async with AsyncProducer(kafka, "test") as producer, Jobs(kafka, producer) as jobs:
        await jobs.put(import_job(client))


def pages_done(kafka: KafkaSettings) -> int:
    return sum(record.tally.pages for record in progress(kafka).values() if record.kind == "chain")


@pytest.mark.slow
@pytest.mark.timeout(120 + 40 * KILLS)
async def test_killed_at_random(bootstrap_servers, namespace, tmp_path, started):
    print(f"FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    kafka = settings(bootstrap_servers, namespace)
    # Many kills need a long import: who is killed has work again after a session timeout at most, some six seconds.
    many = KILLS >= 10
    async with Simulator(SimulatorSettings(latency_ms=200)) as simulator:
        client = seed(simulator, 600 + (200 if many else 80) * KILLS)
        for kind, change in (("status", {"status": 500, "body": "html"}), ("reset", {}), ("truncate", {})):
            simulator.controls.inject(kind=kind, probability=0.01, count=None, seed=SEED, **change)
        await create_job(kafka, client)
        pages = {"page_size": 10 if many else 30, "pages_in_flight": 1 if many else 2, "park_seconds": 1}
        connectors = ConnectorProcesses(2, kafka, simulator.base_url, simulator.api_key, tmp_path, **pages)
        started.append(connectors)
        in_hand = 0
        for kill in range(KILLS):
            before, victim = await asyncio.to_thread(pages_done, kafka), chance.randrange(2)
            await eventually(lambda seen=before: asyncio.to_thread(_moved_on, kafka, seen), seconds=60, every=0.2)
            if kill % 6 != 5:  # else also one that is still joining its group
                await eventually(lambda of=victim: connectors.has_work(of), seconds=60, every=0.1)
            await asyncio.sleep(chance.random() * 0.5)
            in_hand += connectors.has_work(victim) and not await asyncio.to_thread(_ended, kafka)
            connectors.kill(victim)
        await finished(kafka, seconds=240)
        assert await connectors.stop() == [0, 0]
        print(f"{in_hand} of {KILLS} kills met a process with work in hand")
        assert in_hand >= 0.8 * KILLS, "void: too few kills met a process with work in hand"
        compare_with_books(kafka, simulator, client)


def _moved_on(kafka: KafkaSettings, pages: int) -> bool:
    return pages_done(kafka) > pages or _ended(kafka)


def _ended(kafka: KafkaSettings) -> bool:
    run = progress(kafka).get(b"run:imp")
    return run is not None and run.state == "done"


@pytest.mark.slow
async def test_a_paused_process_is_fenced(bootstrap_servers, namespace, tmp_path, started):
    kafka = settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=30)) as simulator:
        client = seed(simulator)
        await create_job(kafka, client)
        connectors = ConnectorProcesses(
            2, kafka, simulator.base_url, simulator.api_key, tmp_path, page_size=20, pages_in_flight=2
        )
        started.append(connectors)
        await eventually(lambda: pages_done(kafka) > 3, seconds=60, every=0.1)
        connectors.pause(0)
        await finished(kafka, seconds=90)
        connectors.resume(0)
        await asyncio.sleep(2)  # what it had begun, it may now try to publish
        assert await connectors.stop() == [0, 0]
        compare_with_books(kafka, simulator, client)


@pytest.mark.slow
async def test_the_broker_is_restarted(own_broker: EmbeddedKafka, namespace: str, tmp_path: Path, started) -> None:
    kafka = settings(own_broker.bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=20)) as simulator:
        client = seed(simulator)
        await create_job(kafka, client)
        connectors = ConnectorProcesses(
            2, kafka, simulator.base_url, simulator.api_key, tmp_path, page_size=20, pages_in_flight=2
        )
        started.append(connectors)
        for hard in (True,) if KILLS < 10 else (False, True, True):
            before = pages_done(kafka)
            await eventually(lambda seen=before: pages_done(kafka) > seen + 3 or _ended(kafka), seconds=60, every=0.1)
            await asyncio.to_thread(own_broker.kill if hard else own_broker.stop)
            await asyncio.to_thread(own_broker.restart)
        await finished(kafka, seconds=120)
        assert await connectors.stop() == [0, 0]
        compare_with_books(kafka, simulator, client)
