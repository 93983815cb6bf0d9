"""Rules of access follow from the tables: a topic that is added appears in them, and code names no other topic."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from connectors.kafka.acls import Usage, access_of, commands
from connectors.kafka.settings import KafkaSettings
from schemas import topics
from schemas.topic import OPERATORS, Process, Topic
from schemas.topics import TOPICS, TopicNames
from streams.cli.acls import ProcessName, process_access
from streams.profile import settings

ROOT = Path(__file__).parents[2]
ROOMS: dict[str, Process] = {
    "streams/export": "export-worker",
    "streams/profile": "profile-worker",
    "connectors/importer": "connector",
    "connectors/webhook": "webhooks",
}
"""Rooms that run in one process alone."""
PROCESSES: tuple[Process, ...] = get_args(Process)
KAFKA = KafkaSettings(_env_file=None, bootstrap_servers="broker:9092", topic_prefix="a-")


@pytest.fixture(scope="module", autouse=True)
def one_catalog() -> Iterator[None]:
    """Mappings take a fifth of a second to compile, each time that rules are asked for."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(settings, "load_catalog", functools.cache(settings.load_catalog))
        yield


def used_by(room: str) -> set[str]:
    """Roles that the room's code resolves to names."""
    code = "\n".join(file.read_text() for file in (ROOT / room).rglob("*.py"))
    return {role for role in re.findall(r'(?:names|names\(\))\["([\w.-]+)"\]', code) if role in TOPICS}


def test_the_command_knows_every_process() -> None:
    assert tuple(ProcessName) == PROCESSES


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_no_topic_that_does_not_name_its_process(room: str) -> None:
    used = used_by(room)
    assert used
    for role in used:
        assert ROOMS[room] in {*TOPICS[role].writers, *TOPICS[role].readers}, role


def test_a_topic_that_is_added_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Topic(role="cm_new", key="k", content=None, writers=("connector",), readers=("webhooks",), doc="New.")
    monkeypatch.setitem(topics.TOPICS, "cm_new", added)  # type: ignore[index]
    of = {name: {rule.name: rule for rule in process_access(KAFKA, name)} for name in PROCESSES}
    assert of["connector"]["a-cm_new"].operations == ("Write", "Describe", "DescribeConfigs")
    assert of["webhooks"]["a-cm_new"].operations == ("Read", "Describe", "DescribeConfigs")
    assert of["export-worker"]["a-cm_new"].operations == ("Describe", "DescribeConfigs")
    assert "Create" in of["cli"]["a-cm_new"].operations


@pytest.mark.parametrize("process", PROCESSES)
def test_nobody_gets_more_than_is_declared(process: Process) -> None:
    rules = {rule.name: rule for rule in process_access(KAFKA, process)}
    for topic in TOPICS.values():
        rule = rules[f"a-{topic.role}"]
        replays = process in OPERATORS and topic.dead_letters
        assert ("Write" in rule.operations) == (process in topic.writers or replays)
        assert ("Read" in rule.operations) == (process in topic.readers or process in OPERATORS)
        assert ("AlterConfigs" in rule.operations) == (topic.is_table and process in topic.writers)
    assert not rules.keys() & {"", "*"}


def test_a_mapped_stream_is_read_with_its_dead_letters() -> None:
    usage = Usage({"group": "why"}, {}, sources=("visits",))
    rules = {rule.name: rule.operations for rule in access_of("profile-worker", TopicNames(), usage)}
    assert rules["visits"] == ("Read", "Describe", "DescribeConfigs")
    assert rules["visits.dlq"] == ("Write", "Describe", "DescribeConfigs")


def test_rules_become_commands_that_a_shell_reads() -> None:
    rule = process_access(KAFKA, "connector")[-1]
    (line,) = commands([rule], "User:CN=import,O=Acme Inc", "broker:9092")
    assert line == (
        "kafka-acls.sh --bootstrap-server broker:9092 --command-config admin.properties --add "
        "--allow-principal 'User:CN=import,O=Acme Inc' --operation Write --operation Describe "
        "--transactional-id a-cm-import- --resource-pattern-type prefixed"
    )
