"""How far a rebuild is: what its group has committed, of what its topics hold."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from connectors.kafka.read_to_end import EndReader, TopicAndPartition
from connectors.kafka.settings import KafkaSettings
from streams.process import StreamsSettings
from streams.profile import rebuild
from streams.profile.rebuild import Rebuild, RebuildProgress, progress_of_group
from streams.profile.settings import ProfileSettings

ENDS = {("a", 0): 10, ("a", 1): 0, ("b", 0): 5}


class Group:
    """A reader whose consumer has committed these offsets; notes the order of what is asked."""

    def __init__(self, offsets: Mapping[tuple[str, int], int]) -> None:
        self._offsets = offsets
        self.asked: list[str] = []

    def partitions(self, topic: str) -> list[TopicAndPartition]:
        return [TopicAndPartition(*place) for place in ENDS if place[0] == topic]

    def committed(self, parts: Sequence[TopicAndPartition]) -> dict[TopicAndPartition, int]:
        self.asked.append("committed")
        return {part: self._offsets[part] for part in parts if part in self._offsets}

    def bounds(self, part: TopicAndPartition) -> tuple[int, int]:
        self.asked.append("end")
        return 0, ENDS[part]


def progress(offsets: Mapping[tuple[str, int], int]) -> RebuildProgress:
    return progress_of_group(cast(EndReader, Group(offsets)), ["a", "b"])


def test_what_is_committed_counts_up_to_the_end() -> None:
    assert progress({}) == (0, 15)
    assert progress({("a", 0): 4}) == (4, 15)
    assert progress({("a", 0): 10, ("b", 0): 9}) == (15, 15), "behind the end: the topic was cut meanwhile"


def test_ends_are_asked_for_after_offsets() -> None:
    """Else moves that were published in between were not counted, and one look would not show the end."""
    group = Group({})
    progress_of_group(cast(EndReader, group), ["a", "b"])
    assert group.asked == ["committed", "end", "end", "end"]


async def test_a_build_is_over_with_the_first_look_that_shows_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are counted: one after each look that shows more to do, and none behind the end."""
    looks = [RebuildProgress(done, 9) for done in (0, 4, 9)]
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def look(_reader: Any, _topics: list[str]) -> RebuildProgress:
        return looks.pop(0)

    monkeypatch.setattr(rebuild.asyncio, "sleep", sleep)
    monkeypatch.setattr(rebuild, "progress_of_group", look)
    work = Rebuild(StreamsSettings(), KafkaSettings(bootstrap_servers="127.0.0.1:1"), ProfileSettings())
    seen = [progress.done async for progress in work._followed("group", ["a"])]
    assert (seen, len(waits), looks) == ([0, 4, 9], 2, [])


def test_a_comparison_does_not_load_the_stream_processor() -> None:
    """It takes longer to load than to compare thousands of profiles."""
    program = "import sys, streams.profile.rebuild; print('faust' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
