"""A record that cannot be used stops nothing, whichever topic it is on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS
from streams.batches import ExitCode
from streams.export.settings import ExportSettings
from streams.export.worker import ExportWorker
from streams.process import StreamsSettings
from streams.profile.settings import ProfileSettings
from streams.profile.worker import ProfileWorker
from tests import kafka_io
from tests.deadline import within
from tests.faults.batches.farm import Farm
from tests.integration.export.conftest import World
from tests.integration.export.test_slice import at_rest, until


def without_dead_letters(farm: Farm, admin: AdminClient) -> None:
    """Delete the farm's dead-letter topic."""
    admin.delete_topics([farm.dead_letters])[farm.dead_letters].result()
    within(20, lambda: farm.dead_letters not in admin.list_topics(timeout=10).topics)


def test_an_input_without_a_dead_letter_topic_gets_one(farm: Farm, kafka_admin: AdminClient) -> None:
    """It is declared nowhere for topics of added mappings; the first refused record stopped its partition for ever."""
    without_dead_letters(farm, kafka_admin)
    farm.produce([(b"user-1", b"poison"), *farm.events(100, 5)])
    worker = farm.start("one")
    farm.drained(15)
    assert worker.process.exit_code is None
    assert [r.value for r in kafka_io.read_all(farm.bootstrap_servers, farm.dead_letters)] == [b"poison"]


@pytest.mark.long_fault
def test_where_topics_may_not_be_created_the_missing_one_is_named(farm: Farm, kafka_admin: AdminClient) -> None:
    without_dead_letters(farm, kafka_admin)
    kafka_io.create_topic(farm.bootstrap_servers, farm.changelog, 4, {"cleanup.policy": "compact"})
    worker = farm.start("one", create_topics=False)
    assert worker.ended(15) == ExitCode.CONFIGURATION
    assert f"dead-letter topics {farm.dead_letters}: not found" in worker.output()


async def test_a_command_of_a_newer_release_stops_no_export(world: World) -> None:
    """During a rolling upgrade older workers read what newer ones write."""
    world.job()
    newer = [(b"ann@example.com", b'{"do": "from the future", "at": 1}'), (b"bob@example.com", b"{")]
    servers, commands = world.kafka.bootstrap_servers, world.names["cm_membership-commands"]
    await asyncio.to_thread(kafka_io.produce, servers, commands, newer)
    async with world.worker() as worker:
        await until(lambda: worker.app.runtime.workers)
        world.change("ann@example.com", "enter", "vip", 1)
        world.producer.flush()
        await until(lambda: world.simulator.controls.subscriber(world.list_id, "ann@example.com"))
        await at_rest(worker)
        letters = await asyncio.to_thread(kafka_io.read_all, servers, commands + ".dlq")
    assert sorted(letter.value for letter in letters) == sorted(value for _, value in newer)


def test_every_topic_that_a_worker_reads_is_declared_with_dead_letters(tmp_path: Path) -> None:
    streams, kafka = StreamsSettings(_env_file=None, data_dir=tmp_path), KafkaSettings(_env_file=None)
    kafka = kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    export = ExportWorker(
        streams, kafka, ExportSettings(_env_file=None), CampaignMonitorSettings(_env_file=None), lambda _: None, print
    )
    profile = ProfileWorker(streams, kafka, ProfileSettings(_env_file=None))
    read = {*export.app.runtime.batched, *profile.app.runtime.batched}
    assert {"audience-membership", "cm_membership-commands", "cm_activity", "cm_profile_moves"} <= read
    assert [topic for topic in sorted(read) if not TOPICS[topic].dead_letters] == []
