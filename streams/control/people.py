"""One person by e-mail address: audiences, lists, receipts, profile, and the events behind it."""

import contextlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from confluent_kafka import Consumer

from connectors.kafka.access import KafkaAccess
from connectors.kafka.read_to_end import EndReader, pages, reader_config
from connectors.kafka.records import ConsumedRecord, Position
from schemas.identity import digest_of, key_of, normalise_email
from schemas.topics import TOPICS
from streams.batches import partition_of

if TYPE_CHECKING:
    from connectors.campaign_monitor.client.api import CampaignMonitor
    from connectors.control.audit import AuditLog
    from connectors.kafka.producer import AsyncProducer
    from connectors.kafka.settings import KafkaSettings
    from schemas.audience_delivery import DeliveryReceipt
    from schemas.audience_membership import AudienceMembership
    from streams.export.rules.row import MembershipRow

MAX_RECORDS = 200
"""Of one topic that are shown of a person: the newest."""
ROW, RECEIPTS, PROFILE = "cm_memberships-changelog", "audience-delivery", "cm_profile"
COMPACTED = frozenset({ROW, PROFILE})


class PersonAudience(NamedTuple):
    """An audience that the person was in."""

    audience: str
    inside: bool
    since_ms: int | None
    """Event time of the last change; None: before the first snapshot."""


class PersonOnList(NamedTuple):
    """What a list is known to hold for the person."""

    list_id: str
    address: str | None
    """The subscriber's address; None: not known to be on the list."""
    audiences: list[str]
    code: int
    """Campaign Monitor's code of the refusal in force; 0: none."""


class PersonEvent(NamedTuple):
    """A record behind the profile."""

    stream: str
    record: ConsumedRecord
    message: dict[str, Any]

    @property
    def kind(self) -> str:
        """What happened, or which state the person is in; streams of others may name neither."""
        return next((str(self.message[name]) for name in ("event", "status") if self.message.get(name)), "record")


class KnownPerson(NamedTuple):
    """What the topics hold about one address."""

    audiences: list[PersonAudience]
    lists: list[PersonOnList]
    receipts: "list[DeliveryReceipt]"
    """The newest first."""
    profile: dict[str, Any] | None
    events: list[PersonEvent]
    """The newest first, by append time."""

    @property
    def is_known(self) -> bool:
        """Whether anything is there."""
        return bool(self.audiences or self.lists or self.receipts or self.profile is not None or self.events)


def person(kafka: "KafkaSettings", key: bytes, streams: Collection[str], seconds: float) -> KnownPerson:
    """Return what is known of a key. `streams`: roles or names of the topics that profiles are made from. Blocks.

    Raises ReadError, also when it takes longer than `seconds`: topics are read in the partition of the key, to their
    ends.
    """
    from streams.batches import decode_blob
    from streams.export.rules.row import MembershipRow, decode

    names = kafka.names()
    topics = {role: names[role] if role in TOPICS else role for role in (ROW, RECEIPTS, PROFILE, *streams)}
    found = records_of(kafka, key, topics, seconds)
    row, profile = _newest(found[ROW]), _newest(found[PROFILE])
    value = decode_blob(row)[0] if row is not None else None
    membership = decode(value) if value is not None else MembershipRow()
    return KnownPerson(
        list(audiences_of(membership)),
        list(lists_of(membership)),
        list(read_receipts(record.value for record in reversed(found[RECEIPTS]))),
        None if profile is None else orjson.loads(profile),
        events_of({stream: found[stream] for stream in streams}),
    )


def newest_profile(kafka: KafkaAccess, key: bytes) -> bytes | None:
    """Return a key's profile as its topic has it: its partition is read to the end. Blocks. Raises ReadError."""
    return _newest(records_of(kafka, key, {PROFILE: kafka.names()[PROFILE]})[PROFILE])


def records_of(
    kafka: KafkaAccess,
    key: bytes,
    topics: dict[str, str],
    seconds: float | None = None,
    max_found: int = MAX_RECORDS,
) -> dict[str, Sequence[ConsumedRecord]]:
    """Return the newest records of a key, oldest first, by role of the topic. Blocks. Raises ReadError."""
    roles = {name: role for role, name in topics.items()}
    found = {role: deque[ConsumedRecord](maxlen=1 if role in COMPACTED else max_found) for role in topics}
    with closing(Consumer(reader_config(kafka, "person"))) as consumer:
        reader = EndReader(consumer, deadline_seconds=seconds)
        assigned = []
        for name in roles:
            parts = reader.partitions(name)
            assigned.append(parts[partition_of(key, len(parts))])
        reader.assign(assigned)
        for page in pages(reader):
            for record in page:
                if record.key == key:
                    found[roles[record.topic]].append(record)
    return {role: list(records) for role, records in found.items()}


def receipt_values(kafka: "KafkaSettings", key: bytes | None, *, follow: bool) -> Iterator[bytes]:
    """Yield the values of receipts, of one key or of all: a key's partition is read to its end, and on from there.

    Blocks. Raises ReadError.
    """
    with closing(Consumer(reader_config(kafka, "receipts"))) as consumer:
        reader = EndReader(consumer)
        parts = reader.partitions(kafka.names()[RECEIPTS])
        reader.assign(parts if key is None else [parts[partition_of(key, len(parts))]])
        while reader.open or follow:
            for messages in reader.poll().values():
                yield from (message.value() for message in messages if message.value() and key in (None, message.key()))


class NoAddressError(ValueError):
    """An event is about nobody: its `email` is no address; the text is the sentence."""


async def publish_event(
    kafka: "KafkaSettings", producer: "AsyncProducer", audit: "AuditLog", event: "AudienceMembership"
) -> Position:
    """Publish one person's change of audiences in the partition of their key; of the address a digest is recorded.

    Raises NoAddressError, orjson.JSONEncodeError where a number has more than 64 bits, PublishError.
    """
    address = normalise_email(event.root.email)
    if address is None:
        raise NoAddressError("email: it is no e-mail address")
    value = event.to_bytes()
    await audit.note("person", digest_of(address), "send event")
    return await producer.publish(kafka.names()["audience-membership"], key_of(address), value)


def read_receipts(values: Iterable[bytes | None]) -> "Iterator[DeliveryReceipt]":
    """Yield receipts (pure); what is none is left out."""
    from pydantic import ValidationError

    from schemas.audience_delivery import DeliveryReceipt

    for value in values:
        try:
            yield DeliveryReceipt.from_bytes(value or b"")
        except ValidationError:
            continue


def audiences_of(row: "MembershipRow") -> Iterator[PersonAudience]:
    """Yield the audiences of a row by id (pure)."""
    from streams.export.rules.row import NEVER

    for audience, entry in sorted(row.audiences.items()):
        yield PersonAudience(audience, entry.inside, None if entry.since == NEVER else entry.since)


def lists_of(row: "MembershipRow") -> Iterator[PersonOnList]:
    """Yield what each list holds by its id (pure)."""
    for list_id, held in sorted(row.lists.items()):
        yield PersonOnList(list_id, held.address, list(held.audiences), held.code)


def events_of(found: dict[str, Sequence[ConsumedRecord]]) -> list[PersonEvent]:
    """Return the records that are JSON objects, the newest first (pure)."""
    events = []
    for stream, records in found.items():
        for record in records:
            try:
                message = orjson.loads(record.value or b"")
            except orjson.JSONDecodeError:
                continue
            if isinstance(message, dict):
                events.append(PersonEvent(stream, record, message))
    return sorted(events, key=lambda event: -event.record.timestamp_ms)[:MAX_RECORDS]


def _newest(records: Sequence[ConsumedRecord]) -> bytes | None:
    return records[-1].value if records else None


async def delete_subscriber(api: "CampaignMonitor", list_id: str, email: str) -> None:
    """Delete a subscriber from a list; who is not on it is left. Raises CampaignMonitorError."""
    from connectors.campaign_monitor.errors.exceptions import SubscriberRefused

    with contextlib.suppress(SubscriberRefused):
        await api.subscribers.delete(list_id, email)
