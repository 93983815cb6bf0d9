"""`cm-streams import`: dry run, run with progress, stop and go on, status."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import orjson

from connectors.control.jobs import Jobs
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually
from tests.integration.importer.importing import (
    books_activity,
    books_users,
    connector,
    finished,
    import_job,
    kafka_settings,
    published_activity,
    published_users,
    topic,
)


def environment_for(kafka: KafkaSettings, simulator: Simulator) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "KAFKA_PARTITIONS": str(kafka.partitions),
        "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
        "KAFKA_DELIVERY_TIMEOUT_SECONDS": "5",
        "CM_BASE_URL": simulator.base_url,
        "CM_API_KEY": simulator.api_key,
        "COLUMNS": "120",
    }


def started(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "streams.cli", "import", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


async def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    out, err = await asyncio.to_thread(process.communicate, timeout=90)
    return process.returncode, out.decode() + err.decode()


async def test_an_import_is_estimated_run_stopped_and_gone_on_with(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=30)) as simulator:
        controls = simulator.controls
        client = controls.add_client("Acme")
        news = controls.add_list(client, "News")
        controls.seed_subscribers(news, 700)
        # Over before the day began: what shows of it does not follow the time of day.
        controls.add_campaign([news], "Spring", days_ago=5, days=4, recipients=100, opens=500, clicks=100)
        async with AsyncProducer(kafka, "test") as producer, Jobs(kafka, producer) as jobs:
            await jobs.put(import_job(client))
        environment = environment_for(kafka, simulator) | {"IMPORT_PAGE_SIZE": "20", "IMPORT_PAGES_IN_FLIGHT": "1"}

        def start(*arguments: str) -> "subprocess.Popen[bytes]":
            return started(environment, *arguments)

        began = time.monotonic()
        code, text = await ended(start("run", "imp", "--dry-run"))
        took = time.monotonic() - began
        assert code == 0, text
        assert "rows on 77 pages, 95 calls" in text.replace("\n", " "), text
        assert not topic(kafka, "cm_user"), "and nothing was imported"

        watching = start("run", "imp", "--watch")
        await asyncio.sleep(max(3.0, took))  # until it has started, on machines that others use too
        watching.send_signal(signal.SIGINT)
        code, text = await ended(watching)
        assert code == 0, text
        assert "waiting for the run to begin" in text
        assert text.endswith("\nStopped.\n")
        assert not topic(kafka, "cm_import_tasks"), "and no run was asked for"

        first = start("run", "imp")
        await eventually(lambda: len(topic(kafka, "cm_user")) > 60, seconds=60, every=0.1)
        first.send_signal(signal.SIGINT)
        code, text = await ended(first)
        assert code == 0, text
        assert "goes on where it stopped" in text
        assert len(topic(kafka, "cm_user")) < 700

        environment |= {"IMPORT_PAGES_IN_FLIGHT": "8", "IMPORT_PAGE_SIZE": "100"}
        code, text = await ended(start("run", "imp"))
        assert code == 0, text
        assert "\nRun 1 of imp" in text
        assert published_users(topic(kafka, "cm_user")) == books_users(simulator, client)
        assert published_activity(topic(kafka, "cm_activity")) == books_activity(simulator)

        code, text = await ended(start("status", "--json"))
        assert code == 0, text
        assert orjson.loads(text)["state"] == "done"
        code, text = await ended(start("run", "unknown"))
        assert code == 1
        assert "There is no job unknown" in text


async def test_beside_a_running_connector_its_run_is_shown_and_what_was_done_before(bootstrap_servers, namespace):
    kafka = kafka_settings(bootstrap_servers, namespace)
    async with Simulator(SimulatorSettings(latency_ms=100)) as simulator:
        client = simulator.controls.add_client("Acme")
        news = simulator.controls.add_list(client, "News")
        simulator.controls.seed_subscribers(news, 700)
        job = import_job(client)
        async with AsyncProducer(kafka, "test") as producer, Jobs(kafka, producer) as jobs:
            await jobs.put(job)
        environment = environment_for(kafka, simulator)
        async with connector(kafka, simulator, [job], page_size=10, pages_in_flight=1):
            await eventually(lambda: topic(kafka, "cm_user"), seconds=60)
            code, text = await ended(started(environment, "run", "imp", "--watch"))
            assert code == 0, text
            assert "Run 1 is under way." in text
            first = await finished(kafka)
            assert f"Run 1 of imp: {first.rows:,} rows, 0 problems." in text
            simulator.controls.add_subscriber(news, "new@example.com")
            code, text = await ended(started(environment, "run", "imp"))
            assert code == 0, text
            assert f"Run 1 has published {first.rows:,} rows; the next run reads what is new since then." in text
            assert "Run 2 of imp: 1 rows, 0 problems." in text
        assert published_users(topic(kafka, "cm_user")) == books_users(simulator, client)
