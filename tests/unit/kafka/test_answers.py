"""What brokers answer while they start, and groups move between them."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition

PART = TopicAndPartition("topic", 0)


def reader(*errors: int) -> EndReader:
    """A reader whose brokers refuse so often before they answer."""
    left = list(errors)

    def answered(parts: Any, _seconds: float) -> Any:
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return [TopicPartition("topic", 0, 7)] if isinstance(parts, list) else (3, 7)

    return EndReader(cast(Any, SimpleNamespace(committed=answered, get_watermark_offsets=answered)))


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TRANSPORT,
    ],
)
def test_a_group_whose_coordinator_moves_is_asked_for_again(code: int) -> None:
    """A rebuild at a broker that had just started ended with `Not coordinator`."""
    assert reader(code, code).committed([PART]) == {PART: 7}
    assert reader(code).bounds(PART) == (3, 7)


def test_what_does_not_pass_is_a_sentence_at_once() -> None:
    for ask in (lambda found: found.committed([PART]), lambda found: found.bounds(PART)):
        with pytest.raises(ReadError, match="cannot be read"):
            ask(reader(KafkaError.GROUP_AUTHORIZATION_FAILED))
