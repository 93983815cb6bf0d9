"""Makes and checks our topics: the table in schemas/topics.py against what the brokers hold.

Nothing else makes topics. One that came by accident has the wrong number of partitions, or no compaction, and loses
records in silence months later; so a process refuses to start on it, with a sentence.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from connectors.kafka.client_config import admin_config
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.topic_plan import FoundTopic, TopicShape, WantedTopic, faults, plan

log = structlog.get_logger(__name__)

REQUEST_SECONDS = 30.0
"""For one answer of the brokers, finding them included."""

CONFIGURATION_ERROR = 78
"""EX_CONFIG: started again without a change by a person, it would end the same way."""


class BrokersUnreachableError(RuntimeError):
    """No broker answered; says which were asked."""


class TopicsRefusedError(RuntimeError):
    """Topics are missing or have the wrong shape. The text has one sentence for each; `exit_code` is the process's."""

    exit_code = CONFIGURATION_ERROR

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic after a check: as wanted, as found (before anything was made), and what is wrong with it."""

    wanted: WantedTopic
    found: FoundTopic | None
    problems: tuple[str, ...]
    created: bool = False


def ensure_topics(settings: KafkaSettings, *, create: bool = False) -> list[TopicReport]:
    """Check every topic of the table, making the missing ones first where asked; return them all.

    Existing topics are never changed. Blocks for as long as the brokers take.

    Raises:
        TopicsRefusedError: some are missing or wrong; names topic, found and wanted.
        BrokersUnreachableError: nobody answered.
    """
    reports = check_topics(settings, create=create)
    problems = [problem for report in reports for problem in report.problems]
    if problems:
        raise TopicsRefusedError(problems)
    return reports


def check_topics(settings: KafkaSettings, *, create: bool = False) -> list[TopicReport]:
    """Do as `ensure_topics`, leaving the judgement to the caller."""
    client = AdminClient({**admin_config(settings, "admin"), "log_level": 0})
    try:
        brokers = len(client.list_topics(timeout=REQUEST_SECONDS).brokers)
        wanted = plan(settings.names(), shape_of(settings), brokers)
        found = describe(client, [topic.name for topic in wanted])
        missing = [topic for topic in wanted if topic.name not in found] if create else []
        refusals = _create(client, missing) if missing else {}
        if missing:
            found_now = describe(client, [topic.name for topic in wanted], at_least=len(wanted) - len(refusals))
        else:
            found_now = found
    except KafkaException as failure:
        raise BrokersUnreachableError(
            f"No Kafka broker answered at {settings.bootstrap_servers} ({failure.args[0].str()}): is "
            "KAFKA_BOOTSTRAP_SERVERS right, and are the KAFKA_SECURITY_PROTOCOL and credentials those of the brokers?"
        ) from None
    reports = []
    for topic in wanted:
        refusal = refusals.get(topic.name)
        problems = (refusal,) if refusal else tuple(faults(topic, found_now.get(topic.name)))
        created = topic.name not in found and topic.name in found_now
        reports.append(TopicReport(topic, found.get(topic.name), problems, created))
    return reports


def shape_of(settings: KafkaSettings) -> TopicShape:
    """Return what the settings say about all topics."""
    return TopicShape(
        settings.partitions, settings.replication_factor, settings.min_insync_replicas, settings.max_message_bytes
    )


def describe(client: AdminClient, names: Sequence[str], at_least: int = 0) -> dict[str, FoundTopic]:
    """Return those of the named topics that exist; waits until there are `at_least` so many and each has a leader."""
    deadline = time.monotonic() + REQUEST_SECONDS
    while True:
        known: dict[str, Any] = {}
        for name, future in client.describe_topics(TopicCollection(list(names))).items():
            try:
                known[name] = future.result(REQUEST_SECONDS)
            except KafkaException as failure:
                if failure.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        led = all(part.leader is not None for topic in known.values() for part in topic.partitions)
        if (len(known) >= at_least and led) or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    if not known:
        return {}
    configs = client.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in known])
    settled = {resource.name: future.result(REQUEST_SECONDS) for resource, future in configs.items()}
    return {
        name: FoundTopic(
            partitions=len(topic.partitions),
            replication_factor=min(len(part.replicas) for part in topic.partitions),
            config={key: entry.value or "" for key, entry in settled[name].items()},
        )
        for name, topic in known.items()
    }


def _create(client: AdminClient, topics: Sequence[WantedTopic]) -> dict[str, str]:
    """Make topics and return a sentence for each that could not be made. One that another process made is fine."""
    refusals = {}
    made = client.create_topics(
        [NewTopic(t.name, t.partitions, t.replication_factor, config=dict(t.config)) for t in topics]
    )
    for name, future in made.items():
        try:
            future.result(REQUEST_SECONDS)
            log.info("topic created", topic=name)
        except KafkaException as failure:
            if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refusals[name] = f"Topic {name} is missing and could not be created: {failure.args[0].str()}"
    return refusals
