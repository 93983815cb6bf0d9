"""Dead letters on real topics: listed, and sent again once."""

import asyncio
from typing import Any

import pytest
from confluent_kafka import Producer

from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import FencedError
from schemas import dead_letter
from streams.dead_letters.letters import Letter, ReplayError
from streams.dead_letters.replays import discard, read_letters, replay, replay_group
from tests.kafka_io import create_topic, read_all


@pytest.fixture
def settings(bootstrap_servers: str) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=bootstrap_servers)


@pytest.fixture
def topic(bootstrap_servers: str, namespace: str) -> str:
    create_topic(bootstrap_servers, namespace + "in.dlq", 3)
    return create_topic(bootstrap_servers, namespace + "in", 3)


async def keep(settings: KafkaSettings, topic: str, numbers: range) -> None:
    async with AsyncProducer(settings, "test") as producer:
        letters = [
            dead_letter.letter(
                b"k%d" % n,
                b"v%d" % n,
                [("h", b"1")],
                reason="at: missing",
                stage=dead_letter.Stage.SCHEMA,
                origin=dead_letter.Origin(topic, 0, n),
                at="2026-01-02T00:00:00.000Z",
                max_bytes=settings.max_produced_bytes,
            )
            for n in numbers
        ]
        await producer.publish_many(OutgoingRecord(topic + ".dlq", *letter) for letter in letters)


def keys_of(bootstrap_servers: str, topic: str, at_least: int) -> list[bytes]:
    return sorted(record.key or b"" for record in read_all(bootstrap_servers, topic, at_least=at_least))


async def test_each_is_sent_once_also_when_it_is_asked_twice(
    settings: KafkaSettings, topic: str, bootstrap_servers: str
) -> None:
    await keep(settings, topic, range(1_200))
    assert len(list(read_letters(settings, topic, waiting_only=True))) == 1_200
    seen: list[int] = []
    assert (await replay(settings, topic, progress=seen.append)).sent == 1_200
    assert len(seen) > 1
    assert (await replay(settings, topic)).sent == 0
    await keep(settings, topic, range(1_200, 1_210))
    assert (await replay(settings, topic)).sent == 10
    records = await asyncio.to_thread(read_all, bootstrap_servers, topic, at_least=1_210)
    assert sorted(record.key or b"" for record in records) == sorted(b"k%d" % n for n in range(1_210))
    assert {record.headers[0] for record in records} == {("h", b"1")}
    assert all([name for name, _value in record.headers] == ["h", "dlq.first", "dlq.times"] for record in records)
    assert all(record.value == (record.key or b"").replace(b"k", b"v") for record in records)
    assert list(read_letters(settings, topic, waiting_only=True)) == []
    assert len(list(read_letters(settings, topic))) == 1_210


async def test_one_that_is_broken_off_goes_on_where_it_was(
    settings: KafkaSettings, topic: str, bootstrap_servers: str
) -> None:
    await keep(settings, topic, range(1_500))

    class BrokenOffError(Exception):
        pass

    def break_off(_sent: int) -> None:
        raise BrokenOffError

    with pytest.raises(BrokenOffError):
        await replay(settings, topic, progress=break_off)
    await replay(settings, topic)
    keys = await asyncio.to_thread(keys_of, bootstrap_servers, topic, 1_500)
    assert keys == sorted(b"k%d" % n for n in range(1_500))


async def test_of_two_at_once_the_earlier_one_is_locked_out(
    settings: KafkaSettings, topic: str, bootstrap_servers: str
) -> None:
    await keep(settings, topic, range(1_500))
    config = {"bootstrap.servers": bootstrap_servers, "transactional.id": replay_group(settings, topic)}

    def another_starts(_sent: int) -> None:
        Producer(config).init_transactions()

    with pytest.raises(FencedError):
        await replay(settings, topic, progress=another_starts)
    await replay(settings, topic)
    keys = await asyncio.to_thread(keys_of, bootstrap_servers, topic, 1_500)
    assert keys == sorted(b"k%d" % n for n in range(1_500))


async def test_a_topic_without_dead_letters_is_a_sentence(settings: KafkaSettings, namespace: str) -> None:
    with pytest.raises(ReplayError, match=f"There is no dead-letter topic {namespace}nothing.dlq"):
        list(read_letters(settings, namespace + "nothing"))
    with pytest.raises(ReplayError, match="There is no dead-letter topic"):
        await replay(settings, namespace + "nothing")


async def refuse_again(settings: KafkaSettings, topic: str, bootstrap_servers: str, times: int) -> None:
    """What an agent does with four replayed records that are still wrong, refused so many times already."""
    records = await asyncio.to_thread(read_all, bootstrap_servers, topic, at_least=4 * times)
    letters = [
        dead_letter.letter(
            record.key,
            record.value,
            record.headers,
            reason="at: missing",
            stage=dead_letter.Stage.SCHEMA,
            origin=dead_letter.Origin(topic, record.partition, record.offset),
            at="2026-01-03T00:00:00.000Z",
            max_bytes=settings.max_produced_bytes,
        )
        for record in records
        if dict(record.headers)[dead_letter.TIMES] == b"%d" % times
    ]
    async with AsyncProducer(settings, "test") as producer:
        await producer.publish_many(OutgoingRecord(topic + ".dlq", *letter) for letter in letters)


async def test_what_is_refused_again_is_one_letter_with_a_count(
    settings: KafkaSettings, topic: str, bootstrap_servers: str
) -> None:
    """Four letters were eight after a replay, and twelve after the next."""
    await keep(settings, topic, range(1_000, 1_004))
    for times in (2, 3):
        assert (await replay(settings, topic)).sent == 4
        assert list(read_letters(settings, topic, waiting_only=True)) == []
        await refuse_again(settings, topic, bootstrap_servers, times - 1)
        for waiting in (True, False):
            found = list(read_letters(settings, topic, waiting_only=waiting))
            assert sorted(letter.record.key or b"" for letter in found) == [b"k%d" % n for n in range(1_000, 1_004)]
            assert {letter.times for letter in found} == {times}


async def test_single_letters_are_replayed_or_discarded_in_any_order(
    settings: KafkaSettings, topic: str, bootstrap_servers: str
) -> None:
    await keep(settings, topic, range(20))

    def of(*numbers: int) -> Any:
        keys = {b"k%d" % n for n in numbers}
        return lambda letter: letter.record.key in keys

    def waiting() -> set[bytes | None]:
        found: list[Letter] = list(read_letters(settings, topic, waiting_only=True))
        assert len(found) == len({letter.record.key for letter in found})
        return {letter.record.key for letter in found}

    everybody = {b"k%d" % n for n in range(20)}
    assert (await replay(settings, topic, of(7, 13))).sent == 2
    assert waiting() == everybody - {b"k7", b"k13"}
    assert (await replay(settings, topic, of(7, 13))).sent == 0
    assert await discard(settings, topic, of(0, 7, 19)) == 2
    assert waiting() == everybody - {b"k7", b"k13", b"k0", b"k19"}
    assert (await replay(settings, topic)).sent == 16
    assert waiting() == set()
    keys = await asyncio.to_thread(keys_of, bootstrap_servers, topic, 18)
    assert keys == sorted(everybody - {b"k0", b"k19"})
    await keep(settings, topic, range(20, 22))
    assert waiting() == {b"k20", b"k21"}
