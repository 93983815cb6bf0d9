"""How far a rebuild is: what its group has committed, of what its topics hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka.read_to_end import EndReader, TopicAndPartition
from streams.profile.rebuild import RebuildProgress, progress_of_group

ENDS = {("a", 0): 10, ("a", 1): 0, ("b", 0): 5}


class EndsOnly:
    """An admin client that knows topics and their ends; asked for a group, the real one may end the process."""

    def list_topics(self, topic: str, timeout: float) -> Any:
        numbers = {number: None for name, number in ENDS if name == topic}
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=numbers)})

    def list_offsets(self, places: Mapping[TopicPartition, Any]) -> dict[TopicPartition, Future[Any]]:
        found: dict[TopicPartition, Future[Any]] = {}
        for place in places:
            found[place] = Future()
            found[place].set_result(SimpleNamespace(offset=ENDS[place.topic, place.partition]))
        return found


class Committed:
    """A reader whose consumer has committed these offsets."""

    def __init__(self, offsets: Mapping[tuple[str, int], int]) -> None:
        self._offsets = offsets

    def committed(self, parts: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, int]:
        return {part: self._offsets[part] for part in parts if part in self._offsets}


def progress(offsets: Mapping[tuple[str, int], int]) -> RebuildProgress:
    reader = cast(EndReader, Committed(offsets))
    return progress_of_group(cast(AdminClient, EndsOnly()), reader, ["a", "b"])


def test_what_is_committed_counts_up_to_the_end() -> None:
    assert progress({}) == (0, 15)
    assert progress({("a", 0): 4}) == (4, 15)
    assert progress({("a", 0): 10, ("b", 0): 9}) == (15, 15), "behind the end: the topic was cut meanwhile"
