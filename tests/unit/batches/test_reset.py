"""Offsets are set for a group that the broker knows, and no group is made by that."""

from types import SimpleNamespace
from typing import Any

import pytest

from connectors.kafka.settings import KafkaSettings
from streams.batches import reset
from streams.batches.core.errors import WrongTopic
from streams.batches.core.settings import BatchSettings
from streams.batches.process import topics
from streams.batches.process.topics import TopicFacts


class Broker:
    """An admin client of a broker that knows one group; setting offsets is noted."""

    def __init__(self) -> None:
        self.changed: list[Any] = []

    def list_consumer_groups(self, **_: Any) -> Any:
        """The groups that there are."""
        return _done(SimpleNamespace(valid=[SimpleNamespace(group_id="known")]))

    def list_consumer_group_offsets(self, requests: Any, **_: Any) -> Any:
        """No offset of any partition."""
        return {requests[0].group_id: _done(requests[0])}

    def list_offsets(self, wanted: Any, **_: Any) -> Any:
        """Every partition begins at 7."""
        return {part: _done(SimpleNamespace(offset=7)) for part in wanted}

    def alter_consumer_group_offsets(self, requests: Any, **_: Any) -> Any:
        """Set what is asked for."""
        self.changed += requests
        return {requests[0].group_id: _done(requests[0])}


def _done(result: Any) -> Any:
    return SimpleNamespace(result=lambda: result)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    found = Broker()
    monkeypatch.setattr(topics, "admin_client", lambda settings: found)
    monkeypatch.setattr(topics, "describe", lambda admin, names: {name: TopicFacts(name, 1, 2, 1) for name in names})
    return found


def _settings(group: str) -> BatchSettings:
    return BatchSettings(app_id=group, kafka=KafkaSettings(), data_dir="unused")


def test_a_group_that_there_is_not_is_refused_and_not_made(broker: Broker) -> None:
    with pytest.raises(WrongTopic, match="group unknown: not found; there is nothing to reset"):
        reset(_settings("unknown"), "events")
    assert broker.changed == []


def test_a_group_without_offsets_of_the_topic_gets_them(broker: Broker) -> None:
    assert reset(_settings("known"), "events") == [(0, None, 7), (1, None, 7)]
    assert len(broker.changed) == 1
