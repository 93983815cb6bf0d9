"""Dead letters fit into what the producer and the topic take, whatever was refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import confluent_kafka
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.kafka.settings import KafkaSettings
from schemas import dead_letter
from streams.batches import (
    Batch,
    BatchSettings,
    DeadLetter,
    NotDelivered,
    Output,
    OutputTooLarge,
    Producer,
    StoredRecord,
    TopicIncarnation,
)
from streams.batches.consume.attempt import Attempts
from streams.batches.process.dead_letters import DeadLetterTopics
from streams.batches.process.topic_limits import DEFAULT_TOPIC_BYTES, TopicLimits
from streams.batches.table.folding import check_outputs

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)


class Broker:
    """A dead-letter topic with a limit, and the admin client that reports it."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.requests: list[list[Output]] = []
        self.asked = 0

    def describe_configs(self, resources: Sequence[Any], request_timeout: float) -> dict[Any, Future[Any]]:
        self.asked += 1
        future: Future[Any] = Future()
        if self.limit is None:
            future.set_exception(confluent_kafka.KafkaException("unknown topic"))
        else:
            future.set_result({"max.message.bytes": SimpleNamespace(value=str(self.limit))})
        return dict.fromkeys(resources, future)

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        size = sum(dead_letter.wire_bytes(o.key, o.value, o.headers) for o in outputs)
        if self.limit is not None and size > self.limit:
            raise NotDelivered("message too large")
        self.requests.append(list(outputs))


def topics_of(broker: Broker, producer_bytes: int = 1_000_000) -> DeadLetterTopics:
    return DeadLetterTopics(TopicLimits(broker.publish_all, lambda: broker, producer_bytes), clock=lambda: NOW)


def refused(value: bytes | None, *, key: bytes | None = b"k", headers: Any = (), offset: int = 7) -> DeadLetter:
    return DeadLetter("in", 3, StoredRecord(offset, key, value, 0, headers), "row-size", "too large")


async def test_a_small_record_is_kept_whole_with_headers_that_say_why_and_from_where() -> None:
    broker = Broker(DEFAULT_TOPIC_BYTES)
    await topics_of(broker).publish([refused(b"v", headers=[("own", b"1")])])
    ((output,),) = broker.requests
    assert output[:3] == ("in.dlq", b"k", b"v")
    assert list(output.headers) == [
        ("own", b"1"),
        ("dlq.reason", b"too large"),
        ("dlq.stage", b"fold"),
        ("dlq.topic", b"in"),
        ("dlq.partition", b"3"),
        ("dlq.offset", b"7"),
        ("dlq.at", b"2026-01-02T03:04:05.678Z"),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 40_000), st.integers(0, 3000)), min_size=1, max_size=6),
    st.integers(4096, 20_000),
    st.integers(4096, 20_000),
)
async def test_whatever_is_refused_is_accepted(records: list[Any], producer_bytes: int, topic_bytes: int) -> None:
    broker = Broker(topic_bytes)
    letters = [refused(b"v" * v, key=b"k" * k, headers=[("h", b"x")] * h) for v, k, h in records]
    await topics_of(broker, producer_bytes).publish(letters)
    published = [output for request in broker.requests for output in request]
    assert len(published) == len(letters)
    for output in published:
        assert dead_letter.wire_bytes(output.key, output.value, output.headers) <= min(producer_bytes, topic_bytes)


async def test_the_topic_is_asked_once_and_again_after_a_refusal() -> None:
    broker = Broker(100_000)
    topics = topics_of(broker)
    await topics.publish([refused(b"v" * 50_000)])
    await topics.publish([refused(b"v" * 50_000)])
    assert broker.asked == 1
    broker.limit = 10_000
    with pytest.raises(NotDelivered):
        await topics.publish([refused(b"v" * 50_000)])
    await topics.publish([refused(b"v" * 50_000)])
    assert broker.requests[-1][0].value is None


async def test_a_topic_that_cannot_be_asked_is_taken_for_one_with_kafka_s_default() -> None:
    broker = Broker(None)
    await topics_of(broker, 2_000_000).publish([refused(b"v" * 1_040_000), refused(b"v" * 1_050_000, offset=8)])
    assert broker.asked == 1
    assert [len(output.value or b"") for request in broker.requests for output in request] == [1_040_000, 0]


@pytest.fixture
def settings(tmp_path: Path) -> BatchSettings:
    return BatchSettings(
        app_id="a",
        kafka=KafkaSettings(_env_file=None, bootstrap_servers="localhost:1"),
        data_dir=tmp_path,
        partitions=1,
        max_record_bytes=900_000,
    )


@pytest.mark.parametrize("options", [{}, {"message.max.bytes": 5000}, {"message.max.bytes": "20000"}])
async def test_librdkafka_takes_the_largest_letter(
    settings: BatchSettings, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Its local check, which needs no broker, is what ended the process before."""

    configs: list[dict[str, Any]] = []
    make = confluent_kafka.Producer
    monkeypatch.setattr("connectors.kafka.producer.Producer", lambda config: configs.append(config) or make(config))
    settings = settings.model_copy(update={"producer_options": options})
    await Producer(settings).close(0)
    assert int(configs[0]["message.max.bytes"]) == settings.max_message_bytes
    monkeypatch.undo()
    quiet = logging.getLogger("quiet")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    client = confluent_kafka.Producer({"message.max.bytes": settings.max_message_bytes, "logger": quiet})
    broker = Broker(None)
    for key, value, headers in ((4, 2_000_000, 0), (2_000_000, 4, 0), (4, 4, 100_000)):
        letter = refused(b"v" * value, key=b"k" * key, headers=[("header", b"content")] * headers)
        await topics_of(broker, settings.max_message_bytes).publish([letter])
    for value in range(settings.max_message_bytes - 2000, settings.max_message_bytes, 7):
        await topics_of(broker, settings.max_message_bytes).publish([refused(b"v" * value)])
    for (output,) in broker.requests:
        client.produce(output.topic, output.value, output.key, headers=list(output.headers))
        client.purge()
    assert any(output.value for (output,) in broker.requests)


def test_an_output_is_measured_with_key_and_headers() -> None:
    fits = Output("out", b"k" * 100, b"v" * 100, [("name", b"content")])
    check_outputs([fits], 1000)
    for larger in (
        fits._replace(key=b"k" * 1000),
        fits._replace(value=b"v" * 1000),
        fits._replace(headers=[("name", b"x" * 1000)]),
        fits._replace(headers=[("n", None)] * 100),
    ):
        with pytest.raises(OutputTooLarge, match="limit of 1000 bytes"):
            check_outputs([fits, larger], 1000)


async def test_an_output_that_is_too_large_costs_its_record_not_the_process(settings: BatchSettings) -> None:

    done: list[int] = []
    letters: list[DeadLetter] = []

    async def agent(batch: Batch) -> None:
        check_outputs([Output("out", r.key, r.value) for r in batch.records], 1000)
        done.extend(r.offset for r in batch.records)

    async def publish(refused: Sequence[DeadLetter]) -> None:
        letters.extend(refused)

    records = [StoredRecord(n, b"k", b"v" * (2000 if n == 3 else 10)) for n in range(8)]
    batch = Batch(TopicIncarnation("in", 1), 0, records)
    await Attempts(batch, agent, publish, settings, publish_moved=publish, closing=asyncio.Event()).run()
    assert done == [0, 1, 2, 4, 5, 6, 7]
    assert [(letter.record.offset, letter.stage) for letter in letters] == [(3, "output-size")]
