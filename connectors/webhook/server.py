"""The receiver: 200 only when the brokers have every event of a post, 503 when they have not."""

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache

import structlog
from aiohttp import web
from prometheus_client import Counter, Histogram

from connectors.bounded_server import BoundedServer, HeldBytes, Memory, MemoryFullError
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.publishing import PublishError
from connectors.kafka.records import OutgoingRecord
from connectors.process import listen
from connectors.webhook.body import BodyTooLargeError, BrokenBodyError, GenuinePost, RejectedPost, admit, read_body
from connectors.webhook.echo import OwnWrite, is_echo
from connectors.webhook.envelope import HookEvent, UnparsedEvent, UnreadableBodyError, as_utf8, events_of, raw_events
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import ActivityRecord, HookedList, UnusableEvent, encode, to_activities, usual_records
from schemas import dead_letter
from schemas.envelope import rfc3339
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)

POSTS = Counter(
    "cm_streams_webhook_posts_total",
    "Posts by the status they were answered with. 503: Kafka did not acknowledge in time, Campaign Monitor sends them "
    "again; 404: the path of no list's webhook, somebody guesses or a webhook is left over.",
    ["status"],
)
posts_with = lru_cache(maxsize=64)(POSTS.labels)
"""The counter of one status: finding it costs more than counting."""
REJECTED = Counter(
    "cm_streams_webhook_rejected_total",
    "Posts that were not taken, by reason. `broker` and `memory` are ours to repair; the others are the sender's.",
    ["reason"],
)
EVENTS = Counter(
    "cm_streams_webhook_events_total",
    "What lists reported and Kafka acknowledged, by kind. None for hours while people subscribe: see the hooks.",
    ["event"],
)
events_of_kind = lru_cache(maxsize=8)(EVENTS.labels)
ECHOES = Counter("cm_streams_webhook_echoes_total", "Events that are our own writes coming back; they change no count.")
QUARANTINED = Counter(
    "cm_streams_webhook_dead_letters_total",
    "Genuine posts, or events of one, that could not be read and were kept as dead letters of cm_activity, by the step "
    "that refused them. decode: a proxy changes bodies; any other: Campaign Monitor sends something new.",
    ["reason"],
)
quarantined_at = {stage: QUARANTINED.labels(stage) for stage in dead_letter.Stage}  # all begin at zero, for alerts
SECONDS = Histogram(
    "cm_streams_webhook_acknowledge_seconds",
    "From the first byte of a post to its answer, broker included. Campaign Monitor waits for a few seconds only.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
KINDS = frozenset({"subscribe", "update", "deactivate"})
"""Kinds that have a label of their own; others are counted as `other`, so that a sender cannot make labels."""
READ_SECONDS = 30.0
"""For a whole body: a sender that drips holds a place."""
MAX_WAITING = 1_000
"""Posts that may wait for a place; more are answered 503, which costs the sender less than a time-out."""


class Receiver:
    """Accepts posts. `hooked_list`: the list of a path by id, None when no job imports it."""

    def __init__(
        self,
        settings: WebhookSettings,
        producer: AsyncProducer,
        names: TopicNames,
        *,
        hooked_list: Callable[[str], HookedList | None],
        writes: Callable[[str, str], Iterable[OwnWrite]] = lambda list_id, address: (),
        exported: Callable[[str], bool] = lambda list_id: False,
        max_record_bytes: int = 1_048_576,
        max_letter_bytes: int = 1_048_576,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = names["cm_activity"]
        self._dead_letters = names.dead_letters(self._topic)
        self._hooked_list = hooked_list
        self._writes = writes
        self._exported = exported
        self._max_record_bytes = max_record_bytes
        self._max_letter_bytes = max_letter_bytes
        self._places = asyncio.Semaphore(settings.max_posts_in_flight)
        self._waiting = 0
        self._memory = Memory(settings.max_posts_in_flight * settings.max_body_bytes)
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also when it was chosen free."""
        if self._runner is None:
            raise RuntimeError("the receiver has not been started")
        return int(self._runner.addresses[0][1])

    @property
    def waiting(self) -> int:
        """How many posts wait for a place now."""
        return self._waiting

    async def start(self) -> None:
        """Listen. Raises CannotListenError when the address is taken."""
        # Cancelled when its sender disconnects: a post that nobody waits for any more must not keep others waiting. It
        # was not acknowledged, so it is sent again; what was published of it meanwhile has the same event ids.
        server = BoundedServer(
            self.answer,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=self._settings.publish_timeout_seconds + 1)
        await self._runner.setup()
        await listen(self._runner, self._settings.host, self._settings.port, "WEBHOOK_HOST or WEBHOOK_PORT")
        log.info("webhook receiver listening", host=self._settings.host, port=self.port)

    async def stop(self) -> None:
        """Accept no more posts, and answer those that are being handled."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Handle one post and return its answer, which has a status and no content."""
        began = time.perf_counter()
        status = await self._handle(request)
        posts_with(status).inc()
        if status == 200:
            SECONDS.observe(time.perf_counter() - began)
        response = web.Response(status=status)
        if status >= 400 and not request.content.is_eof():
            response.force_close()  # what is left of the body is not read
        return response

    async def _handle(self, request: web.BaseRequest) -> int:
        headers = request.headers
        encoding = headers.get("Content-Encoding", "")
        admitted = admit(
            request.method,
            request.path,
            headers.get("Content-Type", ""),
            encoding,
            request.content_length,
            self._settings.secrets,
            self._settings.max_body_bytes,
        )
        if isinstance(admitted, RejectedPost):
            return self._rejected(admitted.status, admitted.reason)
        if self._waiting >= MAX_WAITING:
            return self._rejected(503, "busy")
        held = HeldBytes(self._memory)
        try:
            return await self._handle_body(request, encoding, admitted, held)
        finally:
            held.release()

    async def _take_place(self) -> None:
        """Wait for one of the places in which posts are handled; the caller releases it.

        A post that is cancelled while it waits, as its sender disconnected, is waiting no more.
        """
        self._waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._waiting -= 1

    async def _handle_body(self, request: web.BaseRequest, encoding: str, post: GenuinePost, held: HeldBytes) -> int:
        """Read the body, then wait for a place: a sender that drips keeps nobody waiting."""
        try:
            async with asyncio.timeout(READ_SECONDS):
                chunks = request.content.iter_any()
                body = await read_body(chunks, encoding, self._settings.max_body_bytes, held.hold)
        except BodyTooLargeError:
            return self._rejected(413, "size")
        except BrokenBodyError:
            return self._rejected(400, "broken")
        except TimeoutError:
            return self._rejected(408, "slow")
        except MemoryFullError:
            return self._rejected(503, "memory")
        if post.sample:
            return 200
        await self._take_place()
        try:
            return await self._publish_events(post.list_id, body)
        finally:
            self._places.release()

    async def _publish_events(self, list_id: str, body: bytes) -> int:
        hooked = self._hooked_list(list_id)
        if hooked is None:
            return self._rejected(404, "list")
        received = rfc3339(datetime.now(UTC))
        try:
            text = as_utf8(body)
            found = events_of(text, list_id)
        except UnreadableBodyError as reason:
            return await self._quarantine(list_id, body, str(reason), received)
        usual = None if self._exported(list_id) else usual_records(found, hooked, self._topic, self._max_record_bytes)
        if usual is not None:
            records, kinds = usual
            if not await self._published(records):
                return self._rejected(503, "broker")
            _count_events(kinds)
            return 200
        return await self._publish_unusual(list_id, hooked, text, found, received)

    async def _publish_unusual(
        self, list_id: str, hooked: HookedList, text: bytes, found: list[HookEvent | UnparsedEvent], received: str
    ) -> int:
        """Publish the events of a post that may hold echoes, or an event that cannot be used; that is a dead letter."""
        records, unreadable = to_activities(found, hooked)
        await self._mark_echoes(list_id, records.values())
        out, unusable = encode(records, self._topic, self._max_record_bytes)
        refused = unreadable + unusable
        if refused:
            raw = raw_events(text)
            out += [self._letter(list_id, event, raw[event.position], received) for event in refused]
        if not await self._published(out):
            return self._rejected(503, "broker")
        not_counted = {event.position for event in refused}
        _count_events(str(record.fields["event"]) for index, record in records.items() if index not in not_counted)
        for event in refused:
            quarantined_at[event.stage].inc()
            log.warning("webhook event kept as a dead letter", list_id=list_id, reason=event.reason)
        return 200

    async def _mark_echoes(self, list_id: str, records: Iterable[ActivityRecord]) -> None:
        """Mark what repeats our own writes; where a receipt may still be on its way, wait for it a moment."""
        if not self._exported(list_id):
            return
        open_records = [record for record in records if record.fields["event"] in ("subscribe", "update", "deactivate")]
        deadline = time.monotonic() + self._settings.echo_wait_seconds
        while True:
            open_records = [record for record in open_records if not self._is_echo(list_id, record)]
            if not open_records or time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.05)

    def _is_echo(self, list_id: str, record: ActivityRecord) -> bool:
        fields = record.fields
        entries = fields["custom_fields"]
        values = [(entry["key"], entry["value"]) for entry in entries] if isinstance(entries, list) else []
        at = datetime.fromisoformat(str(fields["at"]))
        writes = self._writes(list_id, record.key.decode())
        echo = is_echo(str(fields["event"]), str(fields.get("status", "")), at, values, writes)
        if echo:
            fields["echo"] = True
            ECHOES.inc()
        return echo

    async def _quarantine(self, list_id: str, body: bytes, reason: str, received: str) -> int:
        """Keep a body that cannot be read as a dead letter: refused, its retries would end the webhook after a week."""
        refused = UnusableEvent(0, list_id.encode(), reason, dead_letter.Stage.DECODE)
        if not await self._published([self._letter(list_id, refused, body, received)]):
            return self._rejected(503, "broker")
        quarantined_at[refused.stage].inc()
        log.warning("webhook post kept as a dead letter", list_id=list_id, reason=reason, bytes=len(body))
        return 200

    def _letter(self, list_id: str, refused: UnusableEvent, raw: bytes, received: str) -> OutgoingRecord:
        """Return the dead letter of an event or a whole body; a value too large for the topic is left out."""
        kept = dead_letter.letter(
            refused.key or list_id.encode(),
            raw,
            (),
            reason=refused.reason,
            stage=refused.stage,
            origin=dead_letter.Origin(f"webhook:{list_id}", 0, 0),
            at=received,
            max_bytes=self._max_letter_bytes,
        )
        return OutgoingRecord(self._dead_letters, *kept)

    async def _published(self, records: list[OutgoingRecord]) -> bool:
        with suppress(PublishError, TimeoutError):
            async with asyncio.timeout(self._settings.publish_timeout_seconds):
                await self._producer.publish_many(records)
            return True
        log.warning("webhook post not acknowledged by the broker", records=len(records))
        return False

    def _rejected(self, status: int, reason: str) -> int:
        REJECTED.labels(reason).inc()
        return status


def _count_events(kinds: Iterable[str]) -> None:
    for kind, count in Counts(kinds).items():
        events_of_kind(kind if kind in KINDS else "other").inc(count)
