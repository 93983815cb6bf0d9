"""Lag by offsets alone."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from connectors.kafka import lag
from connectors.kafka.lag import LagReader, measure
from connectors.kafka.settings import KafkaSettings


@pytest.mark.parametrize(
    ("committed", "start", "end", "lag", "exact", "lost", "beyond"),
    [
        (10, 0, 10, 0, True, 0, False),
        (7, 0, 10, 3, False, 0, False),
        (None, 0, 10, 10, False, 0, False),
        (None, 4, 10, 6, False, 0, False),
        (None, 10, 10, 0, True, 0, False),
        (2, 5, 10, 5, False, 3, False),
        (2, 5, 5, 0, True, 3, False),
        (12, 0, 10, 0, True, 0, True),
        (0, 0, 0, 0, True, 0, False),
    ],
)
def test_measure(committed: int | None, start: int, end: int, lag: int, exact: bool, lost: int, beyond: bool) -> None:
    found = measure("g", "t", 0, committed, start, end)
    assert (found.lag, found.exact, found.lost, found.beyond) == (lag, exact, lost, beyond)


class _Consumer:
    """Answers for one partition: the codes first, then its offset."""

    def __init__(self, codes: list[int]) -> None:
        self.codes = codes

    def offsets_for_times(self, parts: list[TopicPartition], timeout: float) -> list[Any]:
        """Answer as the client does: an error at the partition that it concerns."""
        return [self._answer(part) for part in parts]

    def list_topics(self, timeout: float) -> None: ...

    def _answer(self, part: TopicPartition) -> Any:
        assert part.offset == OFFSET_END
        failing = part.partition == 1 and self.codes
        error = KafkaError(self.codes.pop(0)) if failing else None
        return SimpleNamespace(topic=part.topic, partition=part.partition, offset=7, error=error)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lag, "AGAIN_SECONDS", 0.0)
    with LagReader(KafkaSettings(bootstrap_servers="127.0.0.1:1")) as reader:
        yield reader


def _ends(reader: Any, codes: list[int]) -> dict[tuple[str, int], int]:
    consumer, reader._consumer = reader._consumer, _Consumer(codes)
    try:
        found: dict[tuple[str, int], int] = reader._offsets([("t", 0), ("t", 1)], OFFSET_END)
    finally:
        reader._consumer = consumer
    return found


def test_a_leader_that_changes_is_asked_for_again(reader: Any) -> None:
    codes = [KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE]
    assert _ends(reader, codes) == {("t", 0): 7, ("t", 1): 7}


def test_what_the_client_knows_of_leaders_is_refreshed(reader: Any) -> None:
    """Without it a client believed for minutes what it had heard while a broker was away for some seconds."""

    class Believing(_Consumer):
        believed = KafkaError._UNKNOWN_PARTITION

        def offsets_for_times(self, parts: list[TopicPartition], timeout: float) -> list[Any]:
            """Fail as a whole as long as nothing was heard."""
            if self.believed:
                raise KafkaException(KafkaError(self.believed))
            return super().offsets_for_times(parts, timeout)

        def list_topics(self, timeout: float) -> None:
            """Ask for all topics."""
            self.believed = 0

    for code in (KafkaError._UNKNOWN_PARTITION, KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH):
        Believing.believed = code
        consumer, reader._consumer = reader._consumer, Believing([])
        try:
            assert reader._offsets([("t", 0)], OFFSET_END) == {("t", 0): 7}
        finally:
            reader._consumer = consumer


def test_a_leader_that_changes_for_all_partitions_is_asked_for_again(reader: Any) -> None:
    class Failing(_Consumer):
        failures = 1

        def offsets_for_times(self, parts: list[TopicPartition], timeout: float) -> list[Any]:
            """Fail as a whole first."""
            self.failures -= 1
            if self.failures >= 0:
                raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
            return super().offsets_for_times(parts, timeout)

    consumer, reader._consumer = reader._consumer, Failing([])
    try:
        assert reader._offsets([("t", 0)], OFFSET_END) == {("t", 0): 7}
    finally:
        reader._consumer = consumer


def test_a_topic_that_is_gone_is_left_out(reader: Any) -> None:
    assert _ends(reader, [KafkaError.UNKNOWN_TOPIC_OR_PART]) == {("t", 0): 7}


def test_another_error_is_raised(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaException):
        _ends(reader, [KafkaError.TOPIC_AUTHORIZATION_FAILED])
    monkeypatch.setattr(reader, "_seconds", -1.0)
    with pytest.raises(KafkaException):
        _ends(reader, [KafkaError.NOT_LEADER_FOR_PARTITION])


def test_counting_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at this address: each of the partitions would wait for itself."""
    lags = [measure("g", "t", partition, 0, 0, 5) for partition in range(50)]
    with LagReader(KafkaSettings(bootstrap_servers="127.0.0.1:1"), count_seconds=0.5) as reader:
        began = time.monotonic()
        counted = reader._counted(lags)
        assert time.monotonic() - began < 3
    assert counted == lags
    assert not any(row.exact for row in counted)
