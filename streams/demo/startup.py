"""Starts the broker, the local Campaign Monitor and our processes: side by side where one can do without another."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator.controls.admin import SimulatorAdmin
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS, TopicNames
from streams.demo.demonstration import Demonstration
from streams.demo.machine import PROCESSES, Machine, kept_port
from streams.demo.run_directory import RunDirectory
from streams.demo.supervisor import ShowLine, Supervisor, restarted


class StartUp:
    """One start on a directory. `kept` are the settings of the earlier start whose data it goes on with, or nothing.

    `here` and `kafka` name the broker's address once `start` has returned.
    """

    def __init__(
        self, here: Machine, kafka: KafkaSettings, supervisor: Supervisor, kept: Mapping[str, str], show: ShowLine
    ) -> None:
        self.here = here
        self.kafka = kafka
        self._supervisor = supervisor
        self._kept = kept
        self._show = show
        self._port = kept_port(kept.get("KAFKA_BOOTSTRAP_SERVERS", ""))
        self.demonstration: Demonstration | None = None

    @contextlib.asynccontextmanager
    async def broker(self, directory: RunDirectory) -> AsyncIterator[EmbeddedKafka]:
        """Hold a broker on the directory's data, on the port of the earlier start where it is free; stop it at the end.

        It compiles little: the whole start costs a third less CPU, and one person's load is small.
        """
        broker = EmbeddedKafka(
            directory.path / "kafka",
            self._port,
            quick_jit=True,
            progress=self._show,
            held=directory.held,
        )
        try:
            yield broker
        finally:
            await asyncio.to_thread(broker.stop, self._supervisor.seconds_left)

    async def start(self, broker: EmbeddedKafka | None, admin: SimulatorAdmin) -> None:
        """Start everything, and return when all is ready. Raises ServiceFailedError, BrokerUnavailableError.

        Where the broker's data already has every topic, our processes start beside it: they import their code, and
        wait for it. Otherwise they start once the topics are made: a process that misses one ends.
        """
        beside = broker is not None and self._is_complete(broker)
        if beside and broker:
            self._use(broker)
        first = [self._processes()] if beside else []
        await side_by_side(self._broker_and_topics(broker), self._simulator(), *first)
        if self.here.simulated and not self._kept and self.demonstration:
            await self.demonstration.prepare(admin)
        if not beside:
            await self._processes()

    def _is_complete(self, broker: EmbeddedKafka) -> bool:
        return self._port is not None and has_topics(broker.directory / "data", self.kafka.names())

    def _use(self, broker: EmbeddedKafka) -> None:
        self.kafka = self.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        self.here = dataclasses.replace(self.here, bootstrap_servers=broker.bootstrap_servers)

    async def _broker_and_topics(self, broker: EmbeddedKafka | None) -> None:
        """Start the broker, make the topics that are missing, and put the authorization on its topic."""
        if broker:
            with shown("the broker answers", self._show):
                await restarted(broker)
            self._supervisor.keep(broker)
            self._use(broker)
        with shown("the topics are there", self._show):
            await asyncio.to_thread(ensure_topics, self.kafka, create=True)
        self.demonstration = Demonstration(self.here, self.kafka, self._show) if self.here.simulated else None
        if self.demonstration and self._kept:
            await self.demonstration.authorize()  # this start's key may be another one

    async def _simulator(self) -> None:
        if self.here.simulated:
            with shown("the local Campaign Monitor is ready", self._show):
                await self._supervisor.start(self.here.simulator())

    async def _processes(self) -> None:
        with shown(f"ready: {', '.join(PROCESSES)}", self._show):
            await self._supervisor.start(*(self.here.service(name) for name in PROCESSES))


def has_topics(data: Path, names: TopicNames) -> bool:
    """Return whether a broker's data directory has the first partition of every topic of the table."""
    return all((data / f"{names[role]}-0").is_dir() for role in TOPICS)


async def side_by_side(*work: Coroutine[Any, Any, None]) -> None:
    """Run all; the first that fails ends the others, and its error is raised."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def shown(what: str, show: ShowLine) -> Iterator[None]:
    """Show that something is done, and how long it took."""
    began = time.monotonic()
    yield
    show(f"{what} ({time.monotonic() - began:.1f} s)")
