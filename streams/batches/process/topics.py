"""Topics as the broker has them: checked before the first record, created when they are missing, offsets reset."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from contextlib import closing
from typing import Any, Literal, NamedTuple

import structlog
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from connectors.kafka.client_config import admin_config
from connectors.kafka.read_to_end import EndReader, ReadError, TopicAndPartition, reader_config
from schemas.dead_letter import SUFFIX
from streams.batches.consume.offsets import topic_metadata
from streams.batches.core.errors import FatalError, TransientError, WrongTopic
from streams.batches.core.settings import BatchSettings
from streams.batches.table.rows import topic_hash

log = structlog.get_logger(__name__)

TIMEOUT = 15.0
OLDEST_WRITE = "message.timestamp.before.max.ms"
"""Topic setting of Kafka 3.6 and later (KIP-937): records with an older timestamp are refused."""
LETTERS_MILLISECONDS = 30 * 86_400_000
"""How long dead letters wait to be replayed."""
TOMBSTONES_MILLISECONDS = 9 * 86_400_000
"""A public tombstone carries hidden state (event ids of 8 days, offsets): it must outlive every replay of an event."""

MORE_PARTITIONS = (
    "A topic in use cannot grow: create it again as it was; for more partitions see `cm-streams stores copy --help`"
)


class TopicFacts(NamedTuple):
    """A topic's properties on the broker."""

    name: str
    topic_id: int
    partitions: int
    replication: int


def admin_client(settings: BatchSettings) -> AdminClient:
    """An admin client for the brokers of the application."""
    role = f"{settings.app_id}-admin"
    return AdminClient({**admin_config(settings.kafka, role), "logger": logging.getLogger("librdkafka")})


def describe(admin: Any, names: Sequence[str]) -> dict[str, TopicFacts]:
    """Return facts by name; missing topics are left out. Raises TransientError when the broker does not answer."""
    facts: dict[str, TopicFacts] = {}
    for name, future in admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT).items():
        try:
            found = future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue
            raise TransientError(f"topic {name}: {error.args[0].str()}") from error
        replication = min((len(p.replicas) for p in found.partitions), default=0)
        facts[name] = TopicFacts(name, topic_hash(str(found.topic_id)), len(found.partitions), replication)
    return facts


def check_sources(facts: dict[str, TopicFacts], sources: Sequence[str], settings: BatchSettings) -> None:
    """WrongTopic unless every source exists with the wanted partition count."""
    for name in sources:
        if name not in facts:
            raise WrongTopic(f"topic {name}: not found, wanted with {settings.partitions} partitions; create it first")
        if facts[name].partitions != settings.partitions:
            raise WrongTopic(
                f"topic {name}: found {facts[name].partitions} partitions, wanted {settings.partitions}; "
                f"keys would meet rows of other keys' partitions. {MORE_PARTITIONS}"
            )


def refuse_changes(known: dict[str, TopicFacts], now: dict[str, TopicFacts], missing: Collection[str]) -> None:
    """Raise WrongTopic for a topic that has other partitions than at start, or is another one of its name (pure).

    `missing`: what was not found before, either; once may be a broker that starts.
    """
    for name, before in known.items():
        found = now.get(name)
        if found is None:
            if name in missing:
                raise WrongTopic(f"topic {name}: it was deleted while it was in use; create it, and start again")
        elif found.topic_id != before.topic_id:
            raise WrongTopic(
                f"topic {name}: it was deleted and created again while it was in use; start again, and follow what is "
                "named then for offsets or stores of the former one"
            )
        elif found.partitions != before.partitions:
            raise WrongTopic(
                f"topic {name}: found {found.partitions} partitions, there were {before.partitions} at start; keys "
                f"would meet rows of other keys' partitions. {MORE_PARTITIONS}"
            )


def ensure_dead_letters(
    admin: Any, facts: dict[str, TopicFacts], sources: Sequence[str], settings: BatchSettings
) -> None:
    """Create the missing dead-letter topics of the sources. `facts`: what `describe` knows of both.

    Without one the first record that is refused would stop its partition for ever. Raises WrongTopic, TransientError.
    """
    missing = [source + SUFFIX for source in sources if source + SUFFIX not in facts]
    if missing and not settings.create_topics:
        raise WrongTopic(f"dead-letter topics {', '.join(missing)}: not found, and create_topics is off")
    config = {
        "cleanup.policy": "delete",
        "min.insync.replicas": str(settings.min_insync_replicas),
        "retention.ms": str(LETTERS_MILLISECONDS),
        "max.message.bytes": str(settings.max_message_bytes),
    }
    _create(admin, missing, settings, config)


def ensure_changelogs(admin: Any, names: Sequence[str], settings: BatchSettings) -> dict[str, TopicFacts]:
    """Create missing changelogs, check the others: partition count, compaction without deletion, replication.

    Raises WrongTopic, TransientError.
    """
    facts = describe(admin, names) if names else {}
    missing = [name for name in names if name not in facts]
    if missing and not settings.create_topics:
        raise WrongTopic(f"changelogs {', '.join(missing)}: not found, and create_topics is off")
    if missing:
        _create(admin, missing, settings, _changelog_config(settings))
        facts |= describe(admin, missing)
    for name in names:
        if name not in facts:
            raise TransientError(f"topic {name} was created but is not known yet")
        if facts[name].partitions != settings.partitions:
            raise WrongTopic(
                f"changelog {name}: found {facts[name].partitions} partitions, wanted {settings.partitions}"
            )
        if facts[name].replication < settings.replication_factor:
            raise WrongTopic(
                f"changelog {name}: found replication {facts[name].replication}, wanted {settings.replication_factor}"
            )
    _fence(admin, _unfenced(admin, names, settings), settings)
    return facts


def _changelog_config(settings: BatchSettings) -> dict[str, str]:
    return {
        "cleanup.policy": "compact",
        "min.insync.replicas": str(settings.min_insync_replicas),
        "delete.retention.ms": str(TOMBSTONES_MILLISECONDS),
        "max.message.bytes": str(max(1_048_588, settings.max_record_bytes + 50_000)),
        "message.timestamp.type": "CreateTime",
    }


def _create(admin: Any, names: Sequence[str], settings: BatchSettings, config: dict[str, str]) -> None:
    if not names:
        return
    new = [NewTopic(name, settings.partitions, settings.replication_factor, config=config) for name in names]
    for name, future in admin.create_topics(new, request_timeout=TIMEOUT).items():
        try:
            future.result()
            log.info("topic created", topic=name, partitions=settings.partitions)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another worker was faster
                raise TransientError(f"topic {name} cannot be created: {error.args[0].str()}") from error


def _unfenced(admin: Any, names: Sequence[str], settings: BatchSettings) -> list[str]:
    """Check the changelogs' configuration; return those whose OLDEST_WRITE is not as wanted."""
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    found: list[str] = []
    if not resources:
        return found
    for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT).items():
        try:
            config = future.result()
        except KafkaException as error:
            raise TransientError(f"topic {resource.name}: {error.args[0].str()}") from error
        policy = config["cleanup.policy"].value
        if policy != "compact":
            raise WrongTopic(
                f"changelog {resource.name}: found cleanup.policy {policy!r}, wanted 'compact'; rows would expire"
            )
        if config["message.timestamp.type"].value != "CreateTime":
            raise WrongTopic(
                f"changelog {resource.name}: found message.timestamp.type {config['message.timestamp.type'].value!r}, "
                "wanted 'CreateTime'; a late write could not be distinguished from a new one"
            )
        oldest = config.get(OLDEST_WRITE)
        if oldest is None or oldest.value != _oldest_write(settings):
            found.append(resource.name)
    return found


def _oldest_write(settings: BatchSettings) -> str:
    return str(int(settings.oldest_write_seconds * 1000))


def _fence(admin: Any, names: Sequence[str], settings: BatchSettings) -> None:
    """Let the broker refuse rows that were in flight for so long that their partition may have another owner.

    A worker that was paused (a suspended machine, a stopped process) ends when it wakes, but a request that was half
    sent goes out in that instant, and nothing else in Kafka fences it.
    """
    entry = ConfigEntry(OLDEST_WRITE, _oldest_write(settings), incremental_operation=AlterConfigOpType.SET)
    resources = [ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry]) for name in names]
    if not resources:
        return
    for resource, future in admin.incremental_alter_configs(resources, request_timeout=TIMEOUT).items():
        try:
            future.result()
        except KafkaException as error:
            log.warning(
                "the broker does not refuse late rows",
                topic=resource.name,
                wanted={OLDEST_WRITE: _oldest_write(settings)},
                reason=error.args[0].str(),
            )


class Reset(NamedTuple):
    """One partition's committed offset, before (None: there was none) and now."""

    partition: int
    before: int | None
    now: int


def reset(settings: BatchSettings, topic: str, begin: Literal["earliest", "latest"] = "earliest") -> list[Reset]:
    """Commit the topic's first offsets (or its end) for the stopped group `app_id`; return what was changed.

    Rows are safe: they remember offsets with the topic's id. Records of the same topic that are in a row already are
    skipped when they are delivered again, records of a topic that was created again are folded. Blocking.

    Raises WrongTopic when there is no such topic, or no such group, which setting offsets would make; FatalError while
    members of the group run, TransientError when the broker does not answer.
    """
    group, admin = settings.app_id, admin_client(settings)
    facts = describe(admin, [topic]).get(topic)
    if facts is None:
        raise WrongTopic(f"topic {topic}: not found; there is nothing to reset")
    if not _exists(admin, group):
        raise WrongTopic(f"group {group}: not found; there is nothing to reset")
    parts = [TopicAndPartition(topic, number) for number in range(facts.partitions)]
    metadata = topic_metadata(facts.topic_id)
    with closing(group_consumer(settings)) as consumer:
        reader = EndReader(consumer)
        try:
            before = reader.committed(parts)
            now = {part: reader.bounds(part)[0 if begin == "earliest" else 1] for part in parts}
        except ReadError as failure:
            raise TransientError(f"group {group}: {failure}") from failure
        wanted = [TopicPartition(*part, now[part], metadata) for part in parts]
        try:
            done = consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            raise FatalError(_running(group, error.args[0].str())) from error
    for tp in done:
        if tp.error is not None:
            raise FatalError(_running(group, tp.error.str()))
    return [Reset(part.partition, before.get(part), now[part]) for part in parts]


def group_consumer(settings: BatchSettings) -> Consumer:
    """A consumer that reads and sets the group's offsets, and does not join it: an admin client may end the process."""
    return Consumer(reader_config(settings.kafka, f"{settings.app_id}-reset", settings.app_id))


def _exists(admin: Any, group: str) -> bool:
    """Whether the broker knows the group, by members or by offsets of any topic. Raises TransientError."""
    try:
        found = admin.list_consumer_groups(request_timeout=TIMEOUT).result()
    except KafkaException as error:
        raise TransientError(f"group {group}: {error.args[0].str()}") from error
    return any(listing.group_id == group for listing in found.valid)


def _running(group: str, why: str) -> str:
    return (
        f"the offsets of group {group} cannot be set while its processes run: stop them, and wait for the session "
        f"timeout where they are static members ({why})"
    )
