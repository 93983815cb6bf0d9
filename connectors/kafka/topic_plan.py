"""What each topic should look like, and how one that was found differs from it (pure)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas import dead_letter
from schemas.topics import TOPICS, Topic, TopicNames

USUAL_REPLICAS = 3

DEAD_LETTER_ROOM = 65_536
"""A dead letter is its record plus our headers: without room for them the largest records could not be put aside."""

DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
"""`max.message.bytes` of a topic for which nobody set it."""


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic as it is made: name, shape, and the configuration that goes with it."""

    name: str
    partitions: int
    replication_factor: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as the brokers describe it; `config` holds the values in force."""

    partitions: int
    replication_factor: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TopicShape:
    """What settings say about all topics. None: chosen from the number of brokers."""

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
    return WantedTopic(names[topic.role], topic.partitions or shape.partitions, replicas, config)


def faults(wanted: WantedTopic, found: FoundTopic | None) -> Iterator[str]:
    """Yield one sentence for each difference that would lose records or split a person's story.

    Longer or shorter retention is the operator's business, and more of anything that protects records is welcome.
    """
    name = wanted.name
    if found is None:
        yield f"Topic {name} is missing; create it with `cm-streams check-topics --create`."
        return
    if found.partitions != wanted.partitions:
        yield (
            f"Topic {name} has {found.partitions} partitions and {wanted.partitions} are wanted: all data topics need "
            f"the same number; make it anew, or set KAFKA_PARTITIONS to what all of them have."
        )
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
