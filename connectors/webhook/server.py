"""The receiver: 200 only when the brokers have every event of a post, 503 when they have not."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

import structlog
from aiohttp import web

from connectors.kafka.producer import AsyncProducer, PublishError
from connectors.kafka.records import OutgoingRecord
from connectors.webhook import metrics
from connectors.webhook.body import Unreadable, events_of
from connectors.webhook.echo import Write, is_echo
from connectors.webhook.reading import BrokenBodyError, TooLargeError, read_body
from connectors.webhook.settings import WebhookSettings
from connectors.webhook.translate import Addressee, Told, told
from connectors.webhook.verify import Rejected, admit
from schemas import dead_letter
from schemas.envelope import rfc3339
from schemas.topics import TopicNames

log = structlog.get_logger(__name__)

READ_SECONDS = 30.0
"""For a whole body: a sender that drips holds a place."""
CHUNK_BYTES = 65_536
MOST_WAITING = 1_000
"""Posts that may wait for a place; more are told to come again, which costs them less than a time-out."""


class Receiver:
    """Takes posts. `addressee` names the list of a path, None while it is not known; `ready` says whether all are."""

    def __init__(
        self,
        settings: WebhookSettings,
        producer: AsyncProducer,
        names: TopicNames,
        *,
        addressee: Callable[[str], Addressee | None],
        ready: Callable[[], bool],
        writes: Callable[[str, str], Iterable[Write]] = lambda list_id, address: (),
        exported: Callable[[str], bool] = lambda list_id: False,
        max_quarantine_bytes: int = 900_000,
    ) -> None:
        self._settings = settings
        self._producer = producer
        self._topic = names["cm_activity"]
        self._dead_letters = names.dead_letters(self._topic)
        self._addressee = addressee
        self._ready = ready
        self._writes = writes
        self._exported = exported
        self._most_quarantined = max_quarantine_bytes
        self._places = asyncio.Semaphore(settings.max_posts_in_flight)
        self._waiting = 0
        self._runner: web.ServerRunner | None = None

    @property
    def port(self) -> int:
        """The port in use, also when it was chosen free."""
        if self._runner is None:
            raise RuntimeError("the receiver has not been started")
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Listen. Raises OSError when the address is taken."""
        server = web.Server(self._answer, access_log=None, auto_decompress=False)
        self._runner = web.ServerRunner(server, shutdown_timeout=self._settings.publish_timeout_seconds + 1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        log.info("webhook receiver listening", host=self._settings.host, port=self.port)

    async def stop(self) -> None:
        """Take no more posts, and answer those that are being handled."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        began = time.perf_counter()
        status = await self._handle(request)
        metrics.POSTS.labels(status).inc()
        if status == 200:
            metrics.SECONDS.observe(time.perf_counter() - began)
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
        if isinstance(admitted, Rejected):
            return self._rejected(admitted.status, admitted.reason)
        if self._waiting >= MOST_WAITING:
            return self._rejected(503, "busy")
        self._waiting += 1
        async with self._places:
            self._waiting -= 1
            try:
                async with asyncio.timeout(READ_SECONDS):
                    chunks = request.content.iter_chunked(CHUNK_BYTES)
                    body = await read_body(chunks, encoding, self._settings.max_body_bytes)
            except TooLargeError:
                return self._rejected(413, "size")
            except BrokenBodyError:
                return self._rejected(400, "broken")
            except TimeoutError:
                return self._rejected(408, "slow")
            if admitted.sample:
                return 200
            return await self._take(admitted.list_id, body)

    async def _take(self, list_id: str, body: bytes) -> int:
        to = self._addressee(list_id)
        if to is None:
            # A list that nobody wants any more is gone for good; one that is not read yet will be known soon.
            return self._rejected(404, "list") if self._ready() else self._rejected(503, "starting")
        received = rfc3339(datetime.now(UTC))
        try:
            events = events_of(body, list_id)
        except Unreadable as reason:
            return await self._quarantine(list_id, body, str(reason), received)
        records = [told(event, to, received) for event in events]
        await self._mark_echoes(list_id, records)
        out = [OutgoingRecord(self._topic, record.key, record.value()) for record in records]
        if not await self._published(out):
            return self._rejected(503, "broker")
        for record in records:
            kind = str(record.fields["event"])
            metrics.EVENTS.labels(kind if kind in metrics.KINDS else "other").inc()
        return 200

    async def _mark_echoes(self, list_id: str, records: list[Told]) -> None:
        """Mark what repeats our own writes; where a receipt may still be on its way, wait for it a moment."""
        if not self._exported(list_id):
            return
        open_records = [record for record in records if record.fields["event"] in ("subscribe", "update")]
        deadline = time.monotonic() + self._settings.echo_wait_seconds
        while True:
            open_records = [record for record in open_records if not self._is_echo(list_id, record)]
            if not open_records or time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.05)

    def _is_echo(self, list_id: str, record: Told) -> bool:
        fields = record.fields
        entries = fields["custom_fields"]
        values = [(entry["key"], entry["value"]) for entry in entries] if isinstance(entries, list) else []
        at = datetime.fromisoformat(str(fields["at"]))
        echo = is_echo(str(fields["event"]), at, values, self._writes(list_id, record.key.decode()))
        if echo:
            fields["echo"] = True
            metrics.ECHOES.inc()
        return echo

    async def _quarantine(self, list_id: str, body: bytes, reason: str, at: str) -> int:
        """Keep what cannot be read. Refusing it would, after a week of retries, end the webhook."""
        if len(body) > self._most_quarantined:
            return self._rejected(400, "unreadable and too long to keep")
        origin = dead_letter.Origin(f"webhook:{list_id}", 0, 0)
        kept = dead_letter.letter(
            list_id.encode(),
            body,
            (),
            reason=reason,
            stage=dead_letter.Stage.DECODE,
            origin=origin,
            at=at,
            max_bytes=self._most_quarantined + dead_letter.MIN_BYTES,
        )
        if not await self._published([OutgoingRecord(self._dead_letters, *kept)]):
            return self._rejected(503, "broker")
        metrics.QUARANTINED.inc()
        log.warning("webhook post kept as a dead letter", list_id=list_id, reason=reason, bytes=len(body))
        return 200

    async def _published(self, records: list[OutgoingRecord]) -> bool:
        with suppress(PublishError, TimeoutError):
            async with asyncio.timeout(self._settings.publish_timeout_seconds):
                await self._producer.publish_many(records)
            return True
        log.warning("the broker has not taken a webhook post", records=len(records))
        return False

    def _rejected(self, status: int, reason: str) -> int:
        metrics.REJECTED.labels(reason).inc()
        return status
