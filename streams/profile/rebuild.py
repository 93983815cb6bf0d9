"""Profiles under other mappings: built beside the running ones, compared with them, and put in their place.

    build    the input topics are read from their beginning into `cm_profile.<version>`, beside the running aggregator
    compare  which profiles differ, and in which fields
    switch   with the aggregators stopped, every profile is written over in `cm_profile`, state and all, and the group
             continues where the build ended. Repeating it is harmless; a worker that finds a mixture refuses to start.

Consumers of `cm_profile` keep their topic: they see one more update of each profile that changed.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import closing
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.kafka.client_config import admin_config
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.read_to_end import (
    EndReader,
    MissingTopicError,
    ReadError,
    newest_by_partition,
    reader_config,
)
from connectors.kafka.records import ConsumedRecord, OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from streams.mapping.catalog import Catalog
from streams.process import StreamsSettings
from streams.profile.settings import ProfileSettings, catalog_of, source_topics

REQUEST_SECONDS = 30.0
LOOK_SECONDS = 0.25
"""Between two looks at how far a build is; its offsets are committed every half second."""
SILENCE_SECONDS = 20.0


class RebuildError(RuntimeError):
    """The rebuild cannot go on; the text names the reason and what to do."""


class RebuildProgress(NamedTuple):
    """How far a build is."""

    done: int
    """Records of the input topics that are folded in."""
    total: int


class ProfileDifference(NamedTuple):
    """One profile that is not the same under the new mappings."""

    email: str
    fields: dict[str, tuple[Any, Any]]
    """Field -> (now, rebuilt); None where it is absent."""


def rebuild_app_id(profile: ProfileSettings, version: str) -> str:
    """Return what the group of a rebuild is called, without a prefix."""
    return f"{profile.app_id}-rebuild-{version}"


class Rebuild:
    """One rebuild, named by the version of the mappings it builds for; every step can be run again."""

    def __init__(self, streams: StreamsSettings, kafka: KafkaSettings, profile: ProfileSettings) -> None:
        self.streams = streams
        self.kafka = kafka
        self.profile = profile
        self.catalog: Catalog = catalog_of(self.profile)
        self.beside = f".{self.catalog.version}"
        names = self.kafka.names()
        self.running = names["cm_profile"]
        self.shadow = self.running + self.beside
        self._moves = names["cm_profile_moves"] + self.beside
        self._settings = self.profile.model_copy(
            update={
                "app_id": rebuild_app_id(self.profile, self.catalog.version),
                "http_port": 0,
                "instance_id": None,
            }
        )

    async def build(self, report: Callable[[RebuildProgress], None], **overrides: Any) -> None:
        """Fold everything that is in the input topics into the shadow topic; return when nothing is left."""
        from streams.profile.worker import ProfileWorker  # and with it the stream processor, which only a build needs

        await asyncio.to_thread(self._make_topics)
        state = self.streams.model_copy(update={"data_dir": self.streams.data_dir / "rebuild"})
        worker = ProfileWorker(state, self.kafka, self._settings, catalog=self.catalog, beside=self.beside, **overrides)
        sources = [*worker.sources.values(), self._moves]
        await worker.start()
        try:
            async for progress in self._followed(worker.app.settings.app_id, sources):
                report(progress)
        finally:
            await worker.stop()

    def differences(self) -> Generator[ProfileDifference, None, None]:
        """Yield every profile that differs, a partition at a time: memory holds one partition of each topic."""
        with closing(self._newest(self.running)) as running, closing(self._newest(self.shadow)) as shadow:
            for now, rebuilt in zip(running, shadow, strict=True):
                for key in sorted({*now, *rebuilt}):
                    old, new = _value(now.get(key)), _value(rebuilt.get(key))
                    if old != new:
                        changed = {
                            name: (old.get(name), new.get(name))
                            for name in {**old, **new}
                            if old.get(name) != new.get(name)
                        }
                        yield ProfileDifference(key.decode(), changed)

    async def switch(self) -> int:
        """Put the rebuilt profiles in place; return how many records were written. Raises RebuildError."""
        group = self.profile.consumer_group(self.kafka.topic_prefix)
        await asyncio.to_thread(self._refuse_members, group)
        written = 0
        async with AsyncProducer(self.kafka, "rebuild") as producer:
            pairs = zip(self._newest(self.running), self._newest(self.shadow), strict=True)
            for partition, (now, rebuilt) in enumerate(pairs):
                removed = (key for key, kept in now.items() if key not in rebuilt and kept.value is not None)
                records = [OutgoingRecord(self.running, key, None, None, partition) for key in removed]
                records += [
                    OutgoingRecord(self.running, key, kept.value, kept.headers, partition)
                    for key, kept in rebuilt.items()
                ]
                written += await producer.publish_many(records)
        await asyncio.to_thread(self._commit_positions, group)
        return written

    def clean(self) -> None:
        """Remove the shadow topics, their group and their local state."""
        admin = self._admin
        for future in admin.delete_topics([self.shadow, self._moves, self._moves + ".dlq"]).values():
            _wait_unless(future, KafkaError.UNKNOWN_TOPIC_OR_PART)
        for future in admin.delete_consumer_groups([self._settings.consumer_group(self.kafka.topic_prefix)]).values():
            _wait_unless(future, KafkaError.GROUP_ID_NOT_FOUND)
        shutil.rmtree(self.streams.data_dir / "rebuild", ignore_errors=True)

    async def _followed(self, group: str, sources: list[str]) -> AsyncIterator[RebuildProgress]:
        """RebuildProgress until the group has everything. Raises ReadError.

        One look shows the end: moves are published before their source's offset is committed, and each look asks for
        ends after offsets.
        """
        with closing(self._consumer_of(group)) as consumer:
            reader = EndReader(consumer)
            while True:
                progress = await asyncio.to_thread(progress_of_group, reader, sources)
                yield progress
                if progress.done >= progress.total:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    def _make_topics(self) -> None:
        topics = self._admin.list_topics(timeout=REQUEST_SECONDS).topics
        model = topics.get(self.running)
        if model is None:
            raise RebuildError(f"there is no topic {self.running}: nothing has been built yet that could be rebuilt")
        wanted = [
            NewTopic(name, len(model.partitions), len(model.partitions[0].replicas), config=config)
            for name, config in (
                (self.shadow, {"cleanup.policy": "compact"}),
                (self._moves, {}),
                (self._moves + ".dlq", {}),
            )
        ]
        for future in self._admin.create_topics(wanted).values():
            _wait_unless(future, KafkaError.TOPIC_ALREADY_EXISTS)

    def _refuse_members(self, group: str) -> None:
        described = self._admin.describe_consumer_groups([group])[group].result(REQUEST_SECONDS)
        if described.members:
            raise RebuildError(
                f"{len(described.members)} profile workers run; stop them, switch, and start them with the new mappings"
            )
        left = self._progress(self._settings.consumer_group(self.kafka.topic_prefix), [self._moves])
        if left.done < left.total:
            raise RebuildError("the rebuild is not complete; run `cm-streams mapping rebuild` again")

    def _progress(self, group: str, topics: list[str]) -> RebuildProgress:
        with closing(self._consumer_of(group)) as consumer:
            return progress_of_group(EndReader(consumer), topics)

    def _consumer_of(self, group: str) -> Consumer:
        return Consumer(reader_config(self.kafka, "rebuild", group))

    def _commit_positions(self, group: str) -> None:
        """The group continues where the build ended; its own moves topic keeps its place."""
        with closing(self._consumer_of(self._settings.consumer_group(self.kafka.topic_prefix))) as consumer:
            reader = EndReader(consumer)
            topics = source_topics(self.kafka, self.catalog).values()
            parts = [part for topic in topics for part in reader.partitions(topic)]
            built = [Place(*part, offset) for part, offset in reader.committed(parts).items()]
        if built:
            with closing(self._consumer_of(group)) as consumer:
                set_by_broker = consumer.commit(offsets=built, asynchronous=False)
            for place in set_by_broker:
                if place.error is not None:
                    raise KafkaException(place.error)

    def _newest(self, topic: str) -> Generator[dict[bytes, ConsumedRecord], None, None]:
        try:
            yield from newest_by_partition(self.kafka, "rebuild", topic, silence_seconds=SILENCE_SECONDS)
        except MissingTopicError:
            raise RebuildError(f"there is no topic {topic}: run `cm-streams mapping rebuild`") from None
        except ReadError as failure:
            raise RebuildError(str(failure)) from None

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient(admin_config(self.kafka, "rebuild"))  # kept: its answers die with it


def progress_of_group(reader: EndReader, topics: list[str]) -> RebuildProgress:
    """Return how far the group of the reader's consumer is in these topics. Raises ReadError.

    Offsets are asked for by a consumer: the admin client ends the process, by SIGSEGV, where a broker that has just
    started answers that it does not coordinate the group yet (librdkafka issue 5040).
    """
    parts = [part for topic in topics for part in reader.partitions(topic)]
    committed = reader.committed(parts)
    ends = {part: reader.bounds(part)[1] for part in parts}
    done = sum(min(end, committed.get(part, 0)) for part, end in ends.items())
    return RebuildProgress(done, sum(ends.values()))


def _value(kept: ConsumedRecord | None) -> dict[str, Any]:
    return orjson.loads(kept.value) if kept is not None and kept.value is not None else {}


def _wait_unless(future: Any, code: int) -> None:
    try:
        future.result(REQUEST_SECONDS)
    except KafkaException as error:
        if error.args[0].code() != code:
            raise
