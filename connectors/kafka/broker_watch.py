"""Whether the brokers answer now: asked every few seconds, for /ready, and logged when it changes."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka.client_config import admin_config
from connectors.kafka.refusals import ClientReports
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

ASK_SECONDS = 1.0
"""Between two requests, each for one topic's metadata: what a balancer that asks for /ready may not know yet."""
ANSWER_SECONDS = 3.5
"""A broker that is busy answers in less than one. Whoever waits for a page knows within 5 that none answers."""


class BrokerWatch:
    """`problem` is None while the brokers answer, else a sentence. `async with` it, for as long as the process runs."""

    def __init__(self, settings: KafkaSettings, ask: Callable[[], None] | None = None) -> None:
        self._servers = settings.bootstrap_servers
        self._topic = settings.names()["cm_jobs"]
        self._settings = settings
        self._reported = ClientReports()
        self._client = AdminClient({**admin_config(settings, "watch"), "log_level": 0, "error_cb": self._reported})
        self._ask = ask or self._ask_for_a_topic
        self._watching: asyncio.Task[None] | None = None
        self.problem: str | None = None

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch(), name="broker-watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def look(self) -> None:
        """Ask the brokers, and log it when their state has changed."""
        reason = None
        try:
            await asyncio.to_thread(self._ask)
        except KafkaException as failure:
            self._client.poll(0)
            reason = self._reported.sentence(self._settings) or failure.args[0].str()
        self._reported.errors.clear()
        if reason and not self.problem:
            log.warning("no broker answers", servers=self._servers, reason=reason)
        elif self.problem and not reason:
            log.info("the brokers answer again", servers=self._servers)
        self.problem = reason and f"no broker of {self._servers} answers: {reason}"

    def _ask_for_a_topic(self) -> None:
        self._client.list_topics(self._topic, timeout=ANSWER_SECONDS)

    async def _watch(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(ASK_SECONDS)
