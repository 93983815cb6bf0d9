"""The profile aggregator: the parts, put together. No rules."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from yarl import URL

from connectors.kafka.settings import KafkaSettings
from connectors.metrics import ScrapedGauge
from schemas.cm_profile import MAPPING_HEADER, SCHEMA_HEADER, SCHEMA_VERSION
from streams.batches import Batch, BatchApp, BatchSettings, DamagedRow, DeadLetter, Output
from streams.mapping.catalog import Catalog
from streams.mapping.fields import COMPILED
from streams.process import StreamsSettings, fatal_where_taken
from streams.profile.agent import ProfileAgent
from streams.profile.erasure import Erased
from streams.profile.folding.fold import ProfileFold, ProfileTopics, StreamFold
from streams.profile.server import ProfileServer
from streams.profile.settings import ProfileSettings, catalog_of, source_topics

log = structlog.get_logger(__name__)

MAPPING = ScrapedGauge(
    "cm_streams_mapping_info",
    "1, with the version of the mapping that profiles are folded by, and whether its fields are folded in C. Two "
    "versions at a time for longer than a roll-out: workers disagree.",
    ("version", "compiled"),
    unite="max",
)
TABLE = "profiles"
HOUR_MS = 3_600_000


class ProfileWorker:
    """A `BatchApp` that folds every mapped stream into profiles, and serves those that it owns."""

    def __init__(
        self,
        streams: StreamsSettings,
        kafka: KafkaSettings,
        profile: ProfileSettings,
        *,
        catalog: Catalog | None = None,
        beside: str = "",
        **overrides: Any,
    ) -> None:
        """`beside`: a suffix of the topics to build into, for a rebuild beside the running aggregator; it publishes
        no changes and no dead letters, which the running one has published. `overrides` go into the batch settings.
        """
        names = kafka.names()
        self.names = names
        self.catalog = catalog or catalog_of(profile)
        self.sources = source_topics(kafka, self.catalog)
        changes = names["cm_profile_changes"] if profile.changes and not beside else None
        memberships = None if beside else names["cm_membership-commands"]
        topics = ProfileTopics(names["cm_profile_moves"] + beside, names["cm_erasures"], changes, memberships)
        self.erased = Erased(kafka, topics.erasures)
        self.app = BatchApp(
            batch_settings(streams, kafka, profile, **overrides),
            dead_letters=_publish_nothing if beside else None,
            publish_moved=_publish_nothing if beside else None,  # the running aggregator has moved them
        )
        self.fold = ProfileFold(
            self.catalog,
            topics,
            id_cap=profile.event_ids,
            future_tolerance_ms=int(profile.future_tolerance_hours * HOUR_MS),
            erased=self.erased,
        )
        self.table = self.app.table(
            TABLE,
            codec=self.fold.codec,
            sources=[*self.sources.values(), topics.moves],
            changelog=names["cm_profile"] + beside,
            public=True,
            headers=[(SCHEMA_HEADER, str(SCHEMA_VERSION).encode()), (MAPPING_HEADER, self.catalog.version.encode())],
        )
        settings = self.app.settings
        self.agent = ProfileAgent(
            self.table,
            self.fold,
            self.app.metrics,
            max_row_bytes=settings.max_record_bytes,
        )
        for name, topic in self.sources.items():
            self.app.agent(topic)(_folding(self.agent, self.fold.streams[name]))
        self.app.agent(topics.moves)(self.agent.moves)
        self.app.on_assigned(self._check_assigned)
        self.app.service(self.erased.follow)
        self.server = ProfileServer(
            self.table,
            self._owner_of,
            token=profile.api_token,
            host=profile.http_host,
            port=profile.http_port,
            public_url=profile.public_url,
            partitions=settings.partitions,
            version=self.catalog.version,
        )
        MAPPING.add(lambda: [((self.catalog.version, str(COMPILED).lower()), 1.0)])
        log.info("mapping", version=self.catalog.version, streams=list(self.sources.values()), compiled=COMPILED)

    async def start(self) -> None:
        """Serve profiles and join the group. Raises WrongTopic when a topic is missing."""
        with fatal_where_taken():
            url = await self.server.start()
        self.app.faust.conf.canonical_url = URL(url)  # other workers learn it with the group's assignment
        await self.app.start()

    async def stop(self) -> None:
        """Leave the group, then stop serving."""
        await self.app.stop()
        await self.server.stop()

    def _owner_of(self, partition: int) -> str | None:
        """The URL of the worker that owns a partition, as Faust's assignor published it to every member."""
        topic = next(iter(self.sources.values()))
        for url, topics in self.app.faust.assignor.external_topics_metadata().items():
            if partition in topics.get(topic, ()):
                return str(url)
        return None

    async def _check_assigned(self, partition: int, generation: int) -> None:
        """Wait for the receipts of erasures; refuse profiles of other mappings: WrongMappingError at the first row.

        A first row that is damaged concerns its person only: their events become dead letters, the others' are folded.
        """
        await self.erased.known.wait()
        try:
            async for _rows in self.table.scan(partition, step=1):
                break
        except DamagedRow as error:
            log.error("damaged row", partition=partition, reason=str(error))


async def _publish_nothing(_records: Sequence[DeadLetter] | Sequence[Output]) -> None:
    pass


def batch_settings(
    streams: StreamsSettings, kafka: KafkaSettings, profile: ProfileSettings, **overrides: Any
) -> BatchSettings:
    """Return the runtime's settings from the process's."""
    values: dict[str, Any] = {
        "app_id": profile.consumer_group(kafka.topic_prefix),
        "kafka": kafka,
        "data_dir": streams.data_dir / "profiles",
        "instance_id": profile.instance_id,
        "on_lost_records": streams.on_lost_records,
        "max_record_bytes": min(900_000, kafka.max_message_bytes - 10_000),
        "max_batch_records": profile.max_batch_records,
        "cache_rows": profile.cache_rows,
        "cache_bytes": profile.cache_megabytes << 20,
    }
    return BatchSettings(**{**values, **overrides})


async def run_until_stopped(worker: ProfileWorker, stop: asyncio.Event) -> None:
    """Run the worker in this event loop until `stop` is set."""
    await worker.start()
    try:
        await stop.wait()
    finally:
        await worker.stop()


def _folding(agent: ProfileAgent, stream: StreamFold) -> Callable[[Batch], Awaitable[None]]:
    async def fold(batch: Batch) -> None:
        await agent.events(batch, stream)

    return fold
