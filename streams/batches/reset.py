"""Setting a group's offsets of one topic anew: the one command after a topic was deleted, truncated or expired."""

from __future__ import annotations

from typing import Literal, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from .errors import FatalError, TransientError, WrongTopic
from .positions import topic_metadata
from .settings import BatchSettings
from .topics import TIMEOUT, admin_client, describe


class Reset(NamedTuple):
    """One partition's committed offset, before (None: there was none) and now."""

    partition: int
    before: int | None
    now: int


def reset(settings: BatchSettings, topic: str, begin: Literal["earliest", "latest"] = "earliest") -> list[Reset]:
    """Commit the topic's first offsets (or its end) for the stopped group `settings.app_id`; what was changed.

    Rows are safe: they remember offsets with the topic's id. Records of the same topic that are in a row already are
    skipped when they come again, records of a topic that was made anew are folded. Blocking. Raises WrongTopic when
    there is no such topic, FatalError while members of the group run, TransientError when the broker does not answer.
    """
    group, admin = settings.app_id, admin_client(settings)
    facts = describe(admin, [topic]).get(topic)
    if facts is None:
        raise WrongTopic(f"topic {topic}: not found; there is nothing to reset")
    parts = [TopicPartition(topic, number) for number in range(facts.partitions)]
    spec = OffsetSpec.earliest() if begin == "earliest" else OffsetSpec.latest()
    try:
        asked = ConsumerGroupTopicPartitions(group, parts)
        known = admin.list_consumer_group_offsets([asked], request_timeout=TIMEOUT)[group].result().topic_partitions
        bounds = admin.list_offsets(
            dict.fromkeys(parts, spec), isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=TIMEOUT
        )
        now = {tp.partition: future.result().offset for tp, future in bounds.items()}
    except KafkaException as error:
        raise TransientError(f"group {group}: {error.args[0].str()}") from error
    before = {tp.partition: tp.offset if tp.offset >= 0 else None for tp in known}
    metadata = topic_metadata(facts.topic_id)
    wanted = [TopicPartition(topic, number, now[number], metadata) for number in sorted(now)]
    change = [ConsumerGroupTopicPartitions(group, wanted)]
    try:
        done = admin.alter_consumer_group_offsets(change, request_timeout=TIMEOUT)[group].result()
    except KafkaException as error:
        raise FatalError(_running(group, error.args[0].str())) from error
    for tp in done.topic_partitions:
        if tp.error is not None:
            raise FatalError(_running(group, tp.error.str()))
    return [Reset(number, before.get(number), now[number]) for number in sorted(now)]


def _running(group: str, why: str) -> str:
    return (
        f"the offsets of group {group} cannot be set while its processes run: stop them, and wait for the session "
        f"timeout where they are static members ({why})"
    )
