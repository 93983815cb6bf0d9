"""Creates and checks our topics: the table in schemas/topics.py against what the brokers hold.

`plan` and `faults` are pure. Nothing else creates topics. One that came by accident has the wrong number of partitions,
or no compaction, and loses records in silence months later; so a process refuses to start on it, with a sentence.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from connectors.kafka.access import DEAD_LETTER_ROOM, KafkaAccess
from connectors.kafka.client_config import admin_config
from connectors.kafka.refusals import ClientReports
from schemas import dead_letter
from schemas.topic import Topic
from schemas.topics import TOPICS, TopicNames

if TYPE_CHECKING:
    from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

USUAL_REPLICAS = 3

REQUEST_SECONDS = 30.0
"""For one answer of the brokers, finding them included."""

CONFIGURATION_ERROR = 78
"""EX_CONFIG: started again without a change by a person, it would end the same way."""


class BrokersUnreachableError(RuntimeError):
    """No broker answered; the text names those that were asked."""


class TopicsRefusedError(RuntimeError):
    """Topics are missing or have the wrong shape. The text has one sentence for each; `exit_code` is the process's."""

    exit_code = CONFIGURATION_ERROR

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic as it is made: name, shape, and the configuration that goes with it."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]
    shared_partitions: bool = True
    """It is a data topic: all of them have KAFKA_PARTITIONS."""


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the brokers describe it; `config` holds the values in force."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicShape:
    """The settings that apply to all topics. None: chosen from the number of brokers."""

    partitions: int
    replication_factor: int | None
    min_insync_replicas: int | None
    max_message_bytes: int


def plan(names: TopicNames, shape: TopicShape, brokers: int) -> list[WantedTopic]:
    """Return every topic of the table as it should be on a cluster of so many brokers."""
    return [_wanted(topic, names, shape, brokers) for topic in TOPICS.values()]


def _wanted(topic: Topic, names: TopicNames, shape: TopicShape, brokers: int) -> WantedTopic:
    replicas = shape.replication_factor or min(USUAL_REPLICAS, brokers)
    # One less than all, so that one broker may be down; but never less than one.
    in_sync = shape.min_insync_replicas or max(1, replicas - 1)
    room = DEAD_LETTER_ROOM if topic.role.endswith(dead_letter.SUFFIX) else 0
    config = {
        "cleanup.policy": topic.cleanup,
        "min.insync.replicas": str(in_sync),
        "max.message.bytes": str(shape.max_message_bytes + room),
    }
    if topic.cleanup == "delete":
        config["retention.ms"] = str(topic.retention_ms)
    return WantedTopic(
        names[topic.role], topic.partitions or shape.partitions, replicas, config, topic.partitions is None
    )


def missing(topic: str) -> str:
    """Return the sentence for a topic that is not there."""
    return f"Topic {topic} is missing; create it with `cm-streams check-topics --create`."


def faults(wanted: WantedTopic, found: FoundTopic | None) -> Iterator[str]:
    """Yield one sentence for each difference that would lose records or split a person's story.

    Longer or shorter retention is the operator's business, and more of anything that protects records is welcome.
    """
    name = wanted.name
    if found is None:
        yield missing(name)
        return
    if found.partitions != wanted.partitions:
        yield _wrong_partitions(wanted, found)
    if found.replication_factor < wanted.replication_factor:
        yield (
            f"Topic {name} has replication factor {found.replication_factor} and {wanted.replication_factor} is wanted:"
            " add replicas, or set KAFKA_REPLICATION_FACTOR."
        )
    cleanup = found.config.get("cleanup.policy", "")
    if cleanup != wanted.config["cleanup.policy"]:
        yield (
            f"Topic {name} has cleanup.policy={cleanup} and {wanted.config['cleanup.policy']} is wanted: with another "
            "one records that are still needed expire, or pile up."
        )
    for key, setting in (
        ("min.insync.replicas", "KAFKA_MIN_INSYNC_REPLICAS"),
        ("max.message.bytes", "KAFKA_MAX_MESSAGE_BYTES"),
    ):
        if int(found.config.get(key, "0")) < int(wanted.config[key]):
            yield (
                f"Topic {name} has {key}={found.config.get(key, 'unset')} and {wanted.config[key]} is wanted: "
                f"raise it, or set {setting}."
            )


def _wrong_partitions(wanted: WantedTopic, found: FoundTopic) -> str:
    sentence = f"Topic {wanted.name} has {found.partitions} partitions and {wanted.partitions} are wanted: "
    if wanted.shared_partitions:
        return sentence + (
            "set KAFKA_PARTITIONS to what all data topics have. A topic in use keeps its number: for another one, "
            "rows are copied to new topics (`cm-streams stores copy --help`)."
        )
    return sentence + "name another one in KAFKA_TOPICS, or delete it where nothing in it is needed, and create it."


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic after a check: as wanted, as found (before anything was made), and what is wrong with it."""

    wanted: WantedTopic
    found: FoundTopic | None
    problems: tuple[str, ...]
    created: bool = False


def ensure_topics(settings: "KafkaSettings", *, create: bool = False) -> list[TopicReport]:
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


def check_topics(settings: "KafkaSettings", *, create: bool = False) -> list[TopicReport]:
    """Do as `ensure_topics`, without raising for wrong topics: the caller acts on the reports."""
    reported = ClientReports()
    client = AdminClient({**admin_config(settings, "admin"), "log_level": 0, "error_cb": reported})
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
        client.poll(0)
        refusal = reported.sentence(settings)
        raise (BrokersUnreachableError(refusal) if refusal else unreachable(settings, failure.args[0].str())) from None
    reports = []
    for topic in wanted:
        refusal = refusals.get(topic.name)
        problems = (refusal,) if refusal else tuple(faults(topic, found_now.get(topic.name)))
        created = topic.name not in found and topic.name in found_now
        reports.append(TopicReport(topic, found.get(topic.name), problems, created))
    return reports


def unreachable(settings: KafkaAccess, reason: str) -> BrokersUnreachableError:
    """Return the error that names the addresses, the reason, and what to look at."""
    return BrokersUnreachableError(
        f"No Kafka broker answered at {settings.bootstrap_servers} ({reason}): is "
        "KAFKA_BOOTSTRAP_SERVERS right, and are the KAFKA_SECURITY_PROTOCOL and credentials those of the brokers?"
    )


def shape_of(settings: "KafkaSettings") -> TopicShape:
    """Return the settings that apply to all topics."""
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
    """Create topics and return a sentence for each that could not be made. One that another process created is fine."""
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
