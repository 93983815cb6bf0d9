"""A changelog that was deleted and created again: nothing is lost before a person has decided."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchApp, BatchSettings, ExitCode, FatalError, JsonCodec, discard_stores, restore_changelogs
from tests.deadline import within
from tests.faults.batches.farm import PARTITIONS, Farm, Worker
from tests.faults.batches.test_topics import remade


@pytest.fixture
def refused(farm: Farm, kafka_admin: AdminClient) -> Worker:
    """A worker that ended because its changelog is another one."""
    farm.produce(farm.events(1000, 300))
    worker = farm.start("one", static=False)
    farm.drained()
    assert worker.stop() == 0
    remade(kafka_admin, farm.bootstrap_servers, farm.changelog, PARTITIONS, {"cleanup.policy": "compact"})
    worker = farm.start("one", static=False)
    assert worker.ended(20) == ExitCode.CONFIGURATION, worker.output()[-2000:]
    return worker


def app_of(farm: Farm, worker: Worker) -> BatchApp:
    """The worker's app, as the commands make it: not started."""
    settings = BatchSettings(
        app_id=farm.group,
        kafka=KafkaSettings(_env_file=None, bootstrap_servers=farm.bootstrap_servers),
        data_dir=worker.directory / "data",
        partitions=PARTITIONS,
    )
    app = BatchApp(settings)
    app.table("counts", codec=JsonCodec(), sources=[farm.source], changelog=farm.changelog, public=True)

    async def agent(_batch: Any) -> None: ...

    app.agent(farm.source)(agent)
    return app


def test_it_names_topic_store_and_both_commands_and_keeps_the_rows(farm: Farm, refused: Worker) -> None:
    output = refused.output()
    for text in (farm.changelog, str(refused.directory / "data"), "stores restore", "stores discard"):
        assert text in output
    again = farm.start("one", static=False)
    assert again.ended(20) == ExitCode.CONFIGURATION, "a restart does not make it right"


@pytest.mark.long_fault
def test_the_topic_is_restored_from_the_stores(farm: Farm, refused: Worker) -> None:
    first = asyncio.run(restore_changelogs(app_of(farm, refused)))
    assert sum(store.rows for store in first) == len(farm.expected())
    assert asyncio.run(restore_changelogs(app_of(farm, refused))) == [], "done once"
    farm.produce(farm.events(500, 300, seed=1))
    worker = farm.start("one", static=False)
    farm.drained()
    verdict = farm.verdict(static=False)
    assert verdict.exact, str(verdict)
    assert worker.process.exit_code is not None


@pytest.mark.long_fault
def test_the_rows_are_built_from_the_inputs(farm: Farm, refused: Worker) -> None:
    def done() -> bool:
        with contextlib.suppress(FatalError):  # until the session of the ended worker is over
            return bool(discard_stores(app_of(farm, refused)))
        return False

    within(20, done, every=0.5)
    farm.start("one", static=False)
    farm.drained()
    verdict = farm.verdict(rebuild=False)
    assert verdict.exact, str(verdict)
