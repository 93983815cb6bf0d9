"""The table and the list, read as a whole from outside of the worker: what plan and reconciliation look at."""

from collections.abc import AsyncIterator, Iterator, Mapping

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from connectors.campaign_monitor.client import CampaignMonitor, pages
from connectors.campaign_monitor.requests import STATES, Paging
from connectors.kafka.settings import KafkaSettings, consumer_config
from schemas.identity import normalise_email
from streams.batches.rows import decode_blob
from streams.export.recovery.reconcile import OnList
from streams.export.rules.row import MembershipRow, decode
from streams.export.rules.values import field_name
from streams.export.table import CHECKPOINT_KEY

POLL_SECONDS = 10.0
SILENT_POLLS = 100


class SnapshotError(RuntimeError):
    """What is needed to look cannot be read; the text names it and the reason."""


def newest(kafka: KafkaSettings, topic: str) -> Iterator[dict[bytes, bytes]]:
    """Yield the newest value of each key, a partition at a time: memory holds one partition. Raises SnapshotError."""
    config = {**consumer_config(kafka, "snapshot", f"{topic}-snapshot"), "enable.partition.eof": True}
    consumer = Consumer(config)
    try:
        known = consumer.list_topics(topic, timeout=POLL_SECONDS).topics[topic]
        if known.error is not None:
            raise SnapshotError(f"Topic {topic} cannot be read: {known.error.str()}")
        for partition in sorted(known.partitions):
            yield _partition(consumer, topic, partition)
    except KafkaException as failure:
        raise SnapshotError(f"Topic {topic} cannot be read: {failure.args[0].str()}") from None
    finally:
        consumer.close()


def _partition(consumer: Consumer, topic: str, partition: int) -> dict[bytes, bytes]:
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    found: dict[bytes, bytes] = {}
    silent = 0
    while silent < SILENT_POLLS:
        messages = consumer.consume(5_000, 0.2)
        silent = 0 if messages else silent + 1
        for message in messages:
            error = message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    return found
                raise KafkaException(error)
            if message.value() is None:
                found.pop(message.key(), None)
            else:
                found[message.key()] = message.value()
    raise SnapshotError(f"Topic {topic} cannot be read to its end: the brokers do not answer")


def rows(kafka: KafkaSettings) -> Iterator[tuple[str, MembershipRow]]:
    """Yield every person's row, as the changelog has it."""
    for part in newest(kafka, kafka.names()["cm_memberships-changelog"]):
        for key, blob in part.items():
            value, _hidden = decode_blob(blob)
            if key != CHECKPOINT_KEY and value is not None:
                yield key.decode(), decode(value)


async def subscribers(api: CampaignMonitor, list_id: str) -> dict[str, OnList]:
    """Return every subscriber of a list by normalised address, in all five states; the latest state wins."""
    found: dict[str, tuple[str, OnList]] = {}
    for state in STATES:
        async for row in _state(api, list_id, state):
            address = normalise_email(str(row.get("EmailAddress", "")))
            date = str(row.get("Date", ""))
            if address is not None and (address not in found or found[address][0] <= date):
                found[address] = date, OnList(state, _fields(row))
    return {address: it for address, (_, it) in found.items()}


async def _state(api: CampaignMonitor, list_id: str, state: str) -> AsyncIterator[Mapping[str, object]]:
    async for page in pages(lambda paging: api.lists.subscribers(list_id, state, paging), Paging()):  # type: ignore[arg-type]  # one of STATES
        for row in page.rows:
            yield row


def _fields(row: Mapping[str, object]) -> dict[str, frozenset[str]]:
    fields: dict[str, set[str]] = {}
    entries = row.get("CustomFields")
    for entry in entries if isinstance(entries, list) else ():
        fields.setdefault(field_name(str(entry.get("Key", ""))), set()).add(str(entry.get("Value", "")))
    return {name: frozenset(texts) for name, texts in fields.items()}
