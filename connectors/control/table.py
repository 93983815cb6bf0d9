"""A control topic as a table of models: read to its end, followed, written one record at a time.

A write returns when it was seen coming back: what a process wrote is what it then reads, and everybody sees the same
order. Two that write the same key at once both succeed; the later one stays.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog
from pydantic import ValidationError

from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

M = TypeVar("M")


class ControlTable(Generic[M]):
    """The models of one control topic by id.

    `on_change` is called on the loop with (id, model) for each record, also while the topic is read at the start; None
    for one that was removed. Records that cannot be read are logged and keep what was there.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        read: Callable[[bytes], M],
        producer: AsyncProducer,
        on_change: Callable[[str, M | None], None] | None = None,
    ) -> None:
        self.topic = topic
        self._read = read
        self._producer = producer
        self._on_change = on_change
        self._models: dict[str, M] = {}
        self._view = CompactedTopic(settings, topic, self._take)

    async def start(self) -> None:
        """Return when everything that was in the topic is held. Raises ReadError."""
        await self._view.start()

    async def close(self) -> None:
        """Stop following."""
        await self._view.close()

    def get(self, model_id: str) -> M | None:
        """Return the model with this id, or None."""
        return self._models.get(model_id)

    def all(self) -> dict[str, M]:
        """Return all models by id, as they are now."""
        return dict(sorted(self._models.items()))

    async def put(self, model_id: str, value: bytes) -> None:
        """Write a model. Raises PublishError; TimeoutError when it was written and not seen coming back."""
        await self._view.wait_for(await self._producer.publish(self.topic, model_id.encode(), value))

    async def remove(self, model_id: str) -> None:
        """Remove a model with a tombstone. Raises as `put`."""
        await self._view.wait_for(await self._producer.publish(self.topic, model_id.encode(), None))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _take(self, record: ConsumedRecord) -> None:
        model_id = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._models.pop(model_id, None)
            model = None
        else:
            try:
                model = self._read(record.value)
            except ValidationError as error:
                # Without the input: it may hold a secret.
                faults = [f"{'.'.join(map(str, f['loc']))}: {f['type']}" for f in error.errors(include_input=False)]
                log.error(
                    "control record unreadable", topic=self.topic, id=model_id, offset=record.offset, faults=faults
                )
                return
            self._models[model_id] = model
        if self._on_change:
            self._on_change(model_id, model)
