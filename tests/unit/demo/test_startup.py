"""What a start waits for: processes start beside the broker only where its data has every topic."""

import asyncio
import dataclasses
import threading

import pytest

from connectors.kafka.settings import KafkaSettings
from schemas.topics import TOPICS, TopicNames
from streams.demo import startup
from streams.demo.startup import StartUp, has_topics, side_by_side


@pytest.mark.parametrize("names", [TopicNames(), TopicNames("crm-", {"cm_user": "crm.subscribers"})])
def test_one_missing_topic_is_noticed(tmp_path, names):
    """As after an upgrade that brings a topic: a process that misses it would end before it is made."""
    for role in TOPICS:
        assert not has_topics(tmp_path, names)
        (tmp_path / f"{names[role]}-0").mkdir()
    assert has_topics(tmp_path, names)


async def test_the_first_that_fails_ends_the_others_and_is_the_one_that_is_reported():
    ended = asyncio.Event()

    async def waits():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def fails():
        await asyncio.sleep(0)
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        await side_by_side(waits(), fails())
    assert ended.is_set()


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the parts of a start are: names in place of commands."""

    bootstrap_servers: str = ""
    simulated: bool = False

    def service(self, name: str) -> str:
        return name

    def simulator(self) -> str:
        return "simulator"


class Parts:
    """What starts, and in which order; the broker and the supervisor in one."""

    bootstrap_servers = "127.0.0.1:19092"

    def __init__(self, directory) -> None:
        self.directory = directory
        self.begun: list[str] = []
        self.processes_begun, self.both = asyncio.Event(), threading.Barrier(2, timeout=5)
        self.simulated = False

    async def start(self, *services: str) -> None:
        self.begun.append(services[0])
        if services == ("simulator",):
            await asyncio.to_thread(self.both.wait)
        else:
            self.processes_begun.set()

    def keep(self, _broker) -> None:
        """Nothing is watched here."""


@pytest.fixture
def parts(tmp_path, monkeypatch):
    made = Parts(tmp_path)

    def topics(_kafka, create):
        made.begun.append("topics")
        if made.simulated:
            made.both.wait()

    monkeypatch.setattr(startup, "ensure_topics", topics)
    monkeypatch.setattr(startup, "Demonstration", lambda *_: None)
    return made


def start_of(parts, **here) -> StartUp:
    kept = {"KAFKA_BOOTSTRAP_SERVERS": parts.bootstrap_servers}
    return StartUp(Place(**here), KafkaSettings(_env_file=None), parts, kept, lambda _line: None)


async def test_processes_start_beside_the_broker_whose_data_has_every_topic(parts, monkeypatch):
    """The broker answers here only once they have begun: a start that waits for it first would wait for ever."""
    for role in TOPICS:
        (parts.directory / "data" / f"{TopicNames()[role]}-0").mkdir(parents=True)

    async def answers(_broker):
        await asyncio.wait_for(parts.processes_begun.wait(), 5)
        parts.begun.append("broker")

    monkeypatch.setattr(startup, "restarted", answers)
    begun = start_of(parts)
    await begun.start(parts, None)
    assert parts.begun[1:] == ["broker", "topics"]
    assert begun.here.bootstrap_servers == begun.kafka.bootstrap_servers == parts.bootstrap_servers


async def test_processes_wait_for_the_topics_where_one_is_missing(parts, monkeypatch):
    async def answers(_broker):
        parts.begun.append("broker")

    monkeypatch.setattr(startup, "restarted", answers)
    await start_of(parts).start(parts, None)
    assert parts.begun[:2] == ["broker", "topics"]
    assert len(parts.begun) == 3


async def test_the_topics_and_the_local_campaign_monitor_are_made_side_by_side(parts):
    """Each waits for the other here."""
    parts.simulated = True
    await start_of(parts, simulated=True).start(None, None)
    assert sorted(parts.begun[:2]) == ["simulator", "topics"]
