"""The producer of a command: a topic that is missing is an error at once, which names the command that creates it.

The client waits for a topic that is unknown until its records expire, as a new one may take a moment; and
where brokers create topics by themselves it would be one with their defaults.
"""

import asyncio
from collections.abc import Iterable

from connectors.kafka.admin import REQUEST_SECONDS, missing
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.publishing import PublishError
from connectors.kafka.records import Headers, Position, RecordFields


class NoTopicError(PublishError):
    """Nothing was published: there is no such topic. The text is the sentence for people."""

    def __init__(self, topic: str) -> None:
        super().__init__(topic, "UNKNOWN_TOPIC_OR_PART", "no such topic")
        self.args = (missing(topic),)


class CommandProducer(AsyncProducer):
    """Asks the brokers for their topics once, before the first record of each topic."""

    _known: frozenset[str] = frozenset()

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> Position:
        """Publish one record. Raises PublishError, NoTopicError."""
        await self._assert_known({topic})
        return await super().publish(topic, key, value, headers, partition)

    async def publish_many(self, records: Iterable[RecordFields]) -> int:
        """Publish records in order. Raises PublishError, NoTopicError."""
        chosen = list(records)
        await self._assert_known({record[0] for record in chosen})
        return await super().publish_many(chosen)

    async def _assert_known(self, topics: set[str]) -> None:
        if topics <= self._known:
            return
        found = await asyncio.to_thread(self._producer.list_topics, timeout=REQUEST_SECONDS)
        self._known = frozenset(found.topics)
        for topic in sorted(topics - self._known):
            raise NoTopicError(topic)
