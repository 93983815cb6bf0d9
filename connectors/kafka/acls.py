"""Rules of access (ACLs) for one process: the least that brokers must allow it. Pure.

They follow from what the code declares: the writers and readers in the table of topics, and the groups and
transactional ids that a process's own settings name. Nothing is listed a second time, so a new topic appears by itself.
"""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from connectors.kafka.client_config import READER_GROUPS
from schemas.topic import OPERATORS, Process, Topic
from schemas.topics import TOPICS, TopicNames

Resource = Literal["topic", "group", "transactional-id"]
Pattern = Literal["literal", "prefixed"]

CHECK = ("Describe", "DescribeConfigs")
"""Every process compares all topics with the table before it starts; that shows shapes, and no records."""


@dataclass(frozen=True, slots=True, order=True)
class AccessRule:
    """Operations on one resource, or on all whose names begin with `name`, and why they are needed."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    why: str
    pattern: Pattern = "literal"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses beside the table's topics."""

    joined: Mapping[str, str]
    """Consumer groups that it joins or whose offsets it sets -> why."""
    joined_prefixes: Mapping[str, str]
    """The same for groups whose names begin so."""
    temporary: tuple[str, ...] = ()
    """What groups begin with that it makes and deletes."""
    seen: tuple[str, ...] = ()
    """Groups whose members and offsets it shows."""
    transactions: tuple[str, ...] = ()
    """What the transactional ids begin with."""
    sources: tuple[str, ...] = ()
    """Topics that it reads and which are not in the table: streams of its mapping; each has dead letters."""


def access_of(process: Process, names: TopicNames, usage: Usage) -> list[AccessRule]:
    """Return what the process needs, in the order topics, groups, transactional ids."""
    return [*_topics(process, names, usage), *_groups(names, usage), *_transactions(usage)]


def _topics(process: Process, names: TopicNames, usage: Usage) -> Iterator[AccessRule]:
    for topic in TOPICS.values():
        uses, operations = _uses(process, topic)
        yield AccessRule("topic", names[topic.role], operations, ", ".join(uses) or "compared with the table at start")
    if process == "cli":
        # A rebuild has topics of its own beside these, named by the version of the mapping.
        for role in ("cm_profile", "cm_profile_moves"):
            operations = ("Read", "Write", "Create", "Delete", "AlterConfigs", *CHECK)
            yield AccessRule("topic", names[role] + ".", operations, "profiles rebuild", "prefixed")
    for source in usage.sources:
        yield AccessRule("topic", source, ("Read", *CHECK), "mapped stream")
        yield AccessRule("topic", names.dead_letters(source), ("Write", *CHECK), "dead letters of a mapped stream")


def _uses(process: Process, topic: Topic) -> tuple[list[str], tuple[str, ...]]:
    """Return what a process does with a topic, and the operations for it."""
    uses: list[str] = []
    operations: list[str] = []
    if process in topic.readers:
        uses.append("reads")
        operations.append("Read")
    elif process in OPERATORS:
        uses.append("shows")
        operations.append("Read")
    if process in topic.writers:
        uses.append("writes")
        operations.append("Write")
    elif process in OPERATORS and topic.dead_letters:
        uses.append("sends dead letters again")
        operations.append("Write")
    if process == "cli":
        uses.append("check-topics --create")
        operations.append("Create")
    if topic.is_table and process in topic.writers:
        uses.append("has late rows refused")
        operations.append("AlterConfigs")
    return uses, (*operations, *CHECK)


def _groups(names: TopicNames, usage: Usage) -> Iterator[AccessRule]:
    for group, why in usage.joined.items():
        yield AccessRule("group", group, ("Read", "Describe"), why)
    for prefix, why in usage.joined_prefixes.items():
        yield AccessRule("group", prefix, ("Read", "Describe"), why, "prefixed")
    for prefix in usage.temporary:
        yield AccessRule("group", prefix, ("Read", "Describe", "Delete"), "made and deleted", "prefixed")
    for group in usage.seen:
        if group not in usage.joined:
            yield AccessRule("group", group, ("Describe",), "shows lag")
    yield AccessRule("group", names.prefix + READER_GROUPS, ("Describe",), "reads without joining a group", "prefixed")


def _transactions(usage: Usage) -> Iterator[AccessRule]:
    for prefix in usage.transactions:
        yield AccessRule("transactional-id", prefix, ("Write", "Describe"), "publishes in transactions", "prefixed")


def commands(rules: Iterable[AccessRule], principal: str, bootstrap_servers: str) -> Iterator[str]:
    """Yield the commands of Kafka's own tool that add the rules."""
    for rule in rules:
        operations = " ".join(f"--operation {name}" for name in rule.operations)
        pattern = " --resource-pattern-type prefixed" if rule.pattern == "prefixed" else ""
        yield (
            f"kafka-acls.sh --bootstrap-server {bootstrap_servers} --command-config admin.properties --add "
            f"--allow-principal {shlex.quote(principal)} {operations} "
            f"--{rule.resource} {shlex.quote(rule.name)}{pattern}"
        )


def dead_letter_inputs() -> list[str]:
    """Return the roles of the topics whose dead letters are sent again."""
    return [topic.role for topic in TOPICS.values() if topic.dead_letters]
