"""Topic `cm_audit`: every change that a person makes, by command, page or API; who, when, what, without secrets."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from heapq import nlargest
from types import TracebackType
from typing import NamedTuple, Self

import orjson
import structlog
from pydantic import BaseModel, ValidationError

from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.read_to_end import read_to_end
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.control import AuditRecord, ChangedField, Surface

log = structlog.get_logger(__name__)

NOT_RECORDED = frozenset({"updated_at", "attention"})
"""Fields that are no change by a person: every write sets the one, workers the other."""
HIDDEN = '"(secret)"'
MAX_SHOWN = 100
"""Changes of one job, authorization or user that are held."""


class Actor(NamedTuple):
    """Somebody who changes something, and by what."""

    who: str
    via: Surface


_ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Name who makes the changes inside of it."""
    before = _ACTOR.set(actor)
    try:
        yield
    finally:
        _ACTOR.reset(before)


class AuditLog:
    """Records changes. What a process does by itself, with no `actor`, is none."""

    def __init__(
        self,
        settings: KafkaSettings,
        producer: AsyncProducer,
        actor: Callable[[], Actor | None] = _ACTOR.get,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._topic = settings.names()["cm_audit"]
        self._producer, self._actor, self._clock = producer, actor, clock

    async def record(self, kind: str, model_id: str, before: BaseModel | None, after: BaseModel | None) -> None:
        """Record a change, before it is made: one that is not recorded is not made. Raises PublishError.

        Nothing is recorded when nothing differs.
        """
        changes = list(differences(before, after))
        if changes:
            await self.note(kind, model_id, action_of(before, after, changes), changes)

    async def note(self, kind: str, model_id: str, action: str, changes: list[ChangedField] | None = None) -> None:
        """Record something that was asked for, as a run or a repair. Raises PublishError."""
        actor = self._actor()
        if actor is None:
            return
        record = AuditRecord(
            at=self._clock(),
            who=actor.who,
            via=actor.via,
            kind=kind,
            id=model_id,
            action=action,
            changes=changes or [],
        )
        await self._producer.publish(self._topic, audit_key(kind, model_id), record.to_bytes())


class AuditTrail:
    """The newest changes of each job, authorization and user, live."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._kept: defaultdict[bytes, deque[AuditRecord]] = defaultdict(lambda: deque(maxlen=MAX_SHOWN))
        self._view = CompactedTopic(settings, settings.names()["cm_audit"], on_change=self._merge)

    def of(self, kind: str, model_id: str) -> list[AuditRecord]:
        """Return the newest changes of one, the newest first."""
        return [*reversed(self._kept.get(audit_key(kind, model_id), ()))]

    async def catch_up(self) -> None:
        """Return when everything is held that was in the topic at the call. Raises TimeoutError, KafkaException."""
        await self._view.catch_up()

    def _merge(self, record: ConsumedRecord) -> None:
        found = audit_record(record)
        if found is not None:
            self._kept[audit_key(found.kind, found.id)].append(found)

    async def __aenter__(self) -> Self:
        await self._view.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._view.close()


class PlacedChange(NamedTuple):
    """A change, and where its record is."""

    at_ms: int
    partition: int
    offset: int
    record: AuditRecord

    @property
    def place(self) -> tuple[int, int, int]:
        """Its time and its position: no other change has the same."""
        return self.at_ms, self.partition, self.offset


def newest_changes(
    kafka: KafkaSettings,
    count: int,
    *,
    kind: str | None = None,
    changed: str | None = None,
    who: str | None = None,
    before: tuple[int, int, int] | None = None,
) -> list[PlacedChange]:
    """Return the newest changes that are meant, the newest first; with `before` those that are older than a place.

    None: any. Blocks. Raises ReadError.
    """
    wanted = {name: value for name, value in (("kind", kind), ("id", changed), ("who", who)) if value is not None}
    return nlargest(count, _meant(_placed(kafka), wanted, before), key=lambda change: change.place)


def _placed(kafka: KafkaSettings) -> Iterator[PlacedChange]:
    for page in read_to_end(kafka, "audit", kafka.names()["cm_audit"]):
        for record in page:
            if (found := audit_record(record)) is not None:
                yield PlacedChange(record.timestamp_ms, record.partition, record.offset, found)


def _meant(
    changes: Iterable[PlacedChange], wanted: Mapping[str, str], before: tuple[int, int, int] | None
) -> Iterator[PlacedChange]:
    for change in changes:
        is_wanted = all(getattr(change.record, name) == value for name, value in wanted.items())
        if is_wanted and (before is None or change.place < before):
            yield change


def audit_record(record: ConsumedRecord) -> AuditRecord | None:
    """Read a record; one that cannot be read is logged, without its content, and is None."""
    try:
        return AuditRecord.from_bytes(record.value or b"")
    except ValidationError:
        log.error("audit record unreadable", offset=record.offset)
        return None


def audit_key(kind: str, model_id: str) -> bytes:
    """Return the key of the changes of one job, authorization or user."""
    return f"{kind}/{model_id}".encode()


def action_of(before: BaseModel | None, after: BaseModel | None, changes: list[ChangedField]) -> str:
    """Return what a change is called."""
    if before is None or after is None:
        return "create" if before is None else "remove"
    state = getattr(after, "state", None)
    if [change.field for change in changes] == ["state"] and state in ("running", "stopped"):
        return "start" if state == "running" else "stop"
    return "edit"


def differences(before: BaseModel | None, after: BaseModel | None) -> Iterator[ChangedField]:
    """Yield the fields that differ, values as JSON. Of a secret (a field without `repr`) only that it differs."""
    model = after or before
    if model is None:
        return
    old = {} if before is None else before.model_dump(mode="json")
    new = {} if after is None else after.model_dump(mode="json")
    for name, field in type(model).model_fields.items():
        if name in NOT_RECORDED or old.get(name) == new.get(name):
            continue
        shown = [None if values.get(name) is None else orjson.dumps(values[name]).decode() for values in (old, new)]
        if not field.repr:
            shown = [text and HIDDEN for text in shown]
        yield ChangedField(field=name, before=shown[0], after=shown[1])
