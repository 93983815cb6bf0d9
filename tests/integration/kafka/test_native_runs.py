"""Records taken from librdkafka's memory are the ones that confluent-kafka delivers, and their memory is given back."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer

from connectors.kafka import bulk_reader
from connectors.kafka.bulk_reader import BulkReader
from connectors.kafka.read_to_end import ReadError, TopicAndPartition, reader_config
from connectors.kafka.settings import KafkaSettings
from streams.batches.table.changelog import STATE_HEADER, put_in_python
from tests.kafka_io import create_topic

native_runs = pytest.importorskip("connectors.kafka.native_runs", reason="there was no C compiler")
native_restore = pytest.importorskip("streams.batches.table.native_restore", reason="there was no C compiler")

RECORDS = [
    (b"plain", b"value", None),
    (b"with state", b"value", [("other", b"x"), (STATE_HEADER, b"state")]),
    (b"state alone", None, [(STATE_HEADER, b"state")]),
    (b"tombstone", None, None),
    (b"tombstone with other headers", None, [("other", b"x"), ("empty", b""), ("none", None)]),
    (b"state without bytes", b"value", [(STATE_HEADER, None)]),
    (b"the last state counts", b"value", [(STATE_HEADER, b"old"), ("other", None), (STATE_HEADER, b"new")]),
    (b"empty value", b"", [(STATE_HEADER, b"")]),
    (b"", b"empty key", None),
    (None, b"no key", None),
    (b"long", b"v" * 70_000, [(STATE_HEADER, bytes(range(256)) * 300)]),
]


def settings_of(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


@contextmanager
def opened(bootstrap_servers: str, records: int) -> Iterator[BulkReader]:
    consumer = Consumer(reader_config(settings_of(bootstrap_servers), "test"))
    reader = BulkReader(consumer, records, silence_seconds=20)
    try:
        yield reader
    finally:
        reader.close()
        consumer.close()


def read_all(reader: BulkReader) -> None:
    while reader.open:
        reader.poll_bulk(0.1)


@pytest.fixture
def topic(bootstrap_servers: str, namespace: str) -> str:
    """Four partitions: records of every kind, some of a transaction that was aborted, and one empty partition."""
    topic = create_topic(bootstrap_servers, namespace + "x", 4)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": namespace, "linger.ms": 1})
    producer.init_transactions()
    for number in range(6):
        producer.begin_transaction()
        for key, value, headers in RECORDS * 20:
            for partition in (0, 1, 3):
                producer.produce(topic, value, key, partition, headers=headers)
        producer.flush()
        (producer.abort_transaction if number % 2 else producer.commit_transaction)()
    return topic


Seen = tuple[str, int, int, bytes | None, bytes | None, object]


def read(bootstrap_servers: str, topic: str, records: int) -> list[Seen]:
    found: list[Seen] = []
    with opened(bootstrap_servers, records) as reader:
        reader.assign(reader.partitions(topic))
        while reader.open:
            for messages in reader.poll_bulk(0.1).values():
                assert len(messages) <= records
                assert messages[-1].offset() == list(messages)[-1].offset()
                found += [
                    (m.topic(), m.partition(), m.offset(), m.key(), m.value(), m.headers() or None) for m in messages
                ]
    return sorted(found, key=lambda seen: seen[1])  # stable: each partition's order stays


@pytest.mark.parametrize("records", [7, 10_000])
def test_both_ways_read_the_same_in_the_same_order(
    bootstrap_servers: str, topic: str, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = read(bootstrap_servers, topic, records)
    monkeypatch.setattr(bulk_reader, "PartitionQueue", None)
    assert taken == read(bootstrap_servers, topic, records)
    assert len(taken) == 3 * 3 * 20 * len(RECORDS)


@pytest.mark.parametrize("state_header", [STATE_HEADER, None])
def test_rows_are_put_from_the_clients_memory_as_from_messages(
    bootstrap_servers: str, topic: str, state_header: str | None
) -> None:
    checked = 0
    with opened(bootstrap_servers, 1_000) as reader:
        reader.assign(reader.partitions(topic))
        while reader.open:
            for messages in reader.poll_bulk(0.1).values():
                ways: list[list[tuple[bytes, bytes | None]]] = [[], []]
                for put_records, rows in zip((native_restore.put_records, put_in_python), ways, strict=True):
                    put_records(
                        lambda k, b, rows=rows: rows.append((k, b)),
                        lambda k, rows=rows: rows.append((k, None)),
                        messages,
                        1,
                        len(messages),
                        state_header,
                    )
                assert ways[0] == ways[1]
                checked += len(ways[0])
    assert checked


def test_a_page_is_empty_after_the_next_poll_and_after_the_close(bootstrap_servers: str, topic: str) -> None:
    """Its memory is librdkafka's, and was given back."""

    def ignore(*row: object) -> None:
        pass

    with opened(bootstrap_servers, 100) as reader:
        reader.assign([TopicAndPartition(topic, 0)])
        pages = [page for _ in range(20) for page in reader.poll_bulk(0.1).values()]
        assert len(pages) > 1
        assert [len(page) for page in pages[:-1]] == [0] * (len(pages) - 1)
    for page in pages:
        assert len(page) == 0
        with pytest.raises(IndexError):
            page[-1]
        with pytest.raises(IndexError):
            native_restore.put_records(ignore, ignore, page, 0, 1, STATE_HEADER)


@pytest.mark.parametrize("start", [0, 100])
def test_it_begins_where_it_is_told_and_is_assigned_once(bootstrap_servers: str, topic: str, start: int) -> None:
    """A second assignment would lose its records: librdkafka ends the first one's forwarding after it."""
    part, first = TopicAndPartition(topic, 1), None
    with opened(bootstrap_servers, 50) as reader:
        reader.assign([part], {part: start})
        while reader.open:
            for messages in reader.poll_bulk(0.1).values():
                first = messages[0].offset() if first is None else first
        with pytest.raises(RuntimeError, match="once"):
            reader.assign([part])
    assert first == start


def test_an_offset_that_is_gone_is_an_error(bootstrap_servers: str, topic: str) -> None:
    part = TopicAndPartition(topic, 0)
    config = {**reader_config(settings_of(bootstrap_servers), "test"), "auto.offset.reset": "error"}
    consumer = Consumer(config)
    reader = BulkReader(consumer, 100, silence_seconds=20)
    try:
        reader.assign([part], {part: 1_000_000}, {part: 2_000_000})
        with pytest.raises(ReadError, match="cannot be read"):
            read_all(reader)
    finally:
        reader.close()
        consumer.close()


def test_the_handle_is_the_clients_and_this_release_is_known(bootstrap_servers: str) -> None:
    """After an update of confluent-kafka: the way to its client is checked here, and slower without it."""
    consumer = Consumer({**reader_config(settings_of(bootstrap_servers), "test"), "client.id": "named by the test"})
    assert native_runs.name_of(consumer).startswith("named by the test#consumer-")
    consumer.close()
    with pytest.raises(RuntimeError, match="closed"):
        native_runs.name_of(consumer)
    with pytest.raises(TypeError):
        native_runs.name_of(object())
    pinned = Path("requirements.lock").read_text().split("confluent-kafka==")[1].split()[0]
    assert native_runs.FIRST_VERSION <= tuple(map(int, pinned.split(".")[:2])) < native_runs.BEHIND_LAST_VERSION
