"""A control topic as a table of models: read to its end, followed, written one record at a time.

Everybody who needs jobs, authorizations or webhook registrations reads them through it. A write returns when it was
seen coming back: what a process wrote is what it then reads, and everybody sees the same order. Two that write the same
key at once both succeed; the later one stays.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import structlog
from pydantic import ValidationError

from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)


class ControlModel(Protocol):
    """What a control topic holds: a model that writes itself as the value of a record."""

    def to_bytes(self) -> bytes:
        """Return the record's value."""


class Auditor(Protocol):
    """Records a change before it is made."""

    async def record(self, kind: str, model_id: str, before: Any, after: Any) -> None:
        """Record what differs. Raises PublishError."""


Model = TypeVar("Model", bound=ControlModel)


class UnknownModelError(LookupError):
    """There is no model with this id; the text names those that there are."""


class ControlTable(Generic[Model]):
    """The models of one control topic by id.

    `on_change` is called on the loop with (id, model) for each record, also while the topic is read at the start and
    for this process's own writes; None for one that was removed. A record that cannot be read is logged, without its
    content, and the model before it stays. Without a `producer` the table can only be read. `audit` records the changes
    that people make, before they are made.
    """

    noun: ClassVar[str] = "record"
    """The name of a kind of record in log events and errors."""
    unknown: ClassVar[type[UnknownModelError]] = UnknownModelError
    key_field: ClassVar[str] = "id"
    """The field that is also the record's key."""

    def __init__(
        self,
        settings: KafkaSettings,
        topic: str,
        *,
        read: Callable[[bytes], Model],
        producer: AsyncProducer | None = None,
        on_change: Callable[[str, Model | None], None] | None = None,
        audit: Auditor | None = None,
    ) -> None:
        self.topic = topic
        self._audit = audit
        self._read = read
        self._producer = producer
        self._on_change = on_change
        self._models: dict[str, Model] = {}
        self._view = CompactedTopic(settings, topic, self._merge)

    async def start(self) -> None:
        """Return when everything that was in the topic is held. Raises ReadError."""
        await self._view.start()

    async def close(self) -> None:
        """Stop following; what is held stays as it is."""
        await self._view.close()

    def get(self, model_id: str) -> Model | None:
        """Return the model with this id, or None."""
        return self._models.get(model_id)

    def known(self, model_id: str) -> Model:
        """Return the model with this id. Raises `unknown`, a LookupError whose text names the ids that there are."""
        found = self._models.get(model_id)
        if found is None:
            present = ", ".join(sorted(self._models)) or "none"
            raise self.unknown(f"There is no {self.noun} {model_id}; there are: {present}")
        return found

    def all(self) -> dict[str, Model]:
        """Return all models by id, as they are now."""
        return dict(sorted(self._models.items()))

    async def write(self, model_id: str, model: Model, *, audited: bool = True) -> Model:
        """Write a model and return it as everybody reads it: instants are cut to milliseconds in the topic.

        `audited`: a person changes it; not so where the process does by itself.
        Raises PublishError when the brokers did not accept it, and the model before it stays; TimeoutError when it was
        written and not seen coming back.
        """
        value = model.to_bytes()
        if audited and self._audit is not None:
            await self._audit.record(self.noun, model_id, self.get(model_id), model)
        await self._view.wait_for(await self._writer().publish(self.topic, model_id.encode(), value))
        return self._read(value)

    async def catch_up(self) -> None:
        """Return when everything is held that was in the topic at the call. Raises TimeoutError, KafkaException."""
        await self._view.catch_up()

    async def remove(self, model_id: str) -> None:
        """Remove a model with a tombstone. Raises `unknown`, and as `write`."""
        before = self.known(model_id)
        if self._audit is not None:
            await self._audit.record(self.noun, model_id, before, None)
        await self._view.wait_for(await self._writer().publish(self.topic, model_id.encode(), None))
        log.info("control record removed", topic=self.topic, id=model_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def _writer(self) -> AsyncProducer:
        if self._producer is None:
            raise RuntimeError(f"the table of {self.topic} was opened without a producer: it can only be read")
        return self._producer

    def _merge(self, record: ConsumedRecord) -> None:
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
            if getattr(model, self.key_field) != model_id:
                # Whoever changed or removed it would write another key, and this one would stay.
                log.error("control record under another's key", topic=self.topic, id=model_id, offset=record.offset)
                return
        self._hold(model_id, model)

    def _hold(self, model_id: str, model: Model | None) -> None:
        if model is not None:
            self._models[model_id] = model
        if self._on_change:
            self._on_change(model_id, model)
