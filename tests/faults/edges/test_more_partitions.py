"""The documented way to more partitions, with real workers: rows are copied to new topics, and go on there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchApp, BatchSettings, ExitCode, JsonCodec, WrongTopic, copy_changelog, partition_of
from tests import kafka_io
from tests.deadline import within
from tests.faults.batches.farm import PARTITIONS, Farm

MORE = 2 * PARTITIONS


def app_of(farm: Farm, directory: Any) -> BatchApp:
    """The worker's app with more partitions, as the command makes it: not started."""
    kafka = KafkaSettings(_env_file=None, bootstrap_servers=farm.bootstrap_servers)
    app = BatchApp(BatchSettings(app_id=farm.group, kafka=kafka, data_dir=directory, partitions=MORE))
    app.table("counts", codec=JsonCodec(), sources=[farm.source], changelog=farm.changelog, public=True)

    async def agent(_batch: Any) -> None: ...

    app.agent(farm.source)(agent)
    return app


@pytest.mark.long_fault
def test_rows_go_on_in_topics_with_more_partitions(farm: Farm, tmp_path: Any) -> None:
    former_events = list(farm.events(600, 60))
    farm.produce(former_events)
    worker = farm.start("one", static=False)
    farm.drained()
    assert worker.stop() == ExitCode.CLEAN

    former = farm.changelog
    farm.source, farm.changelog, farm.group = f"{farm.source}-more", f"{former}-more", f"{farm.group}-more"
    for topic in (farm.source, f"{farm.source}.dlq"):
        kafka_io.create_topic(farm.bootstrap_servers, topic, MORE)
    assert asyncio.run(copy_changelog(app_of(farm, tmp_path), former, without={b"user-0"})) == 59
    with pytest.raises(WrongTopic, match=f"changelog {farm.changelog}: found 59 records, wanted none"):
        asyncio.run(copy_changelog(app_of(farm, tmp_path), former))

    later_events = list(farm.events(600, 60, seed=1))
    farm.produce(later_events)
    worker = farm.start("two", static=False, partitions=MORE)
    wanted = Counter(key for key, _ in [*former_events, *later_events])
    wanted[b"user-0"] = sum(key == b"user-0" for key, _ in later_events)
    within(60, lambda: {key: row["n"] for key, row in farm.published().items()} == wanted, every=0.5)
    assert not any(row["again"] for row in farm.published().values())
    assert worker.stop() == ExitCode.CLEAN
    records = kafka_io.read_all(farm.bootstrap_servers, farm.changelog)
    assert all(record.partition == partition_of(record.key, MORE) for record in records)
