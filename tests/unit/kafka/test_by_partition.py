"""Consumed messages are grouped by partition in order, the same in Python and compiled."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from connectors.kafka.consumer import grouped_in_python

native_pages = pytest.importorskip("connectors.kafka.native_pages", reason="there was no C compiler")


class Consumed:
    """Answers as confluent_kafka's Message does."""

    def __init__(self, topic: str, partition: int, offset: int, error: object = None) -> None:
        self.at = topic, partition, offset
        self._error = error

    def topic(self) -> str:
        return str(self.at[0])

    def partition(self) -> int:
        return int(self.at[1])

    def error(self) -> object:
        return self._error


def test_both_ways_group_runs_that_alternate_and_errors_the_same() -> None:
    chance = random.Random(1)
    offsets = itertools.count()
    messages: list[Any] = []
    for _ in range(60):
        topic, partition = chance.choice("ab") + "-topic", chance.randrange(3)
        run = [Consumed(topic, partition, next(offsets)) for _ in range(chance.randrange(5))]
        messages += [*run, *([Consumed(topic, partition, -1, error="end")] if chance.random() < 0.3 else [])]
    found, errors = grouped_in_python(messages)
    assert native_pages.by_partition(messages) == (found, errors)
    assert len(errors) + sum(map(len, found.values())) == len(messages)
    for (topic, partition), some in found.items():
        assert [m.at for m in some] == sorted(
            m.at for m in messages if m.error() is None and m.at[:2] == (topic, partition)
        )


@pytest.mark.parametrize("group", [grouped_in_python, native_pages.by_partition])
def test_nothing_gives_nothing(group: Any) -> None:
    assert group([]) == ({}, [])
