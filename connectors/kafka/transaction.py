"""Records and the offset of the task that led to them, in one transaction: both are seen, or neither.

The transactional id is fixed per task partition, so that whoever takes a partition over ends its predecessor's open
transaction at once and locks the predecessor out (fencing). What to publish is ready before the transaction is opened,
so it is open for milliseconds: until it ends, readers of committed records see nothing that came after it.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from connectors.kafka.client_config import transaction_config
from connectors.kafka.records import Position, RecordFields
from connectors.kafka.settings import KafkaSettings

log = structlog.get_logger(__name__)

OVERDUE_SECONDS = 5.0
"""For a call to come back after its own timeout; librdkafka may forget it when the broker was killed meanwhile."""
NO_NOTES: Mapping[Position, str] = {}
OPEN_SECONDS = 30.0
"""For taking over the transactional id: the coordinator first ends what the predecessor left open."""

FENCING_CODES = frozenset(
    {
        # Somebody else opened a publisher with our transactional id.
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        # The group gave our partition to somebody else.
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)


class TransactionError(RuntimeError):
    """The transaction was aborted and left no trace; the same publisher may try the same work again."""


class FencedError(TransactionError):
    """Someone else owns the task partition now: drop the work at hand. Nothing of it was published by this call."""


class BrokenPublisherError(TransactionError):
    """This publisher cannot go on, and its last transaction may or may not be committed.

    Open another one under the same id, which settles that, and read the task's committed offset before going on.
    """


def transactional_id(group: str, topic: str, partition: int) -> str:
    """Return the one id under which a partition's tasks are published, whichever process does it."""
    return f"{group}-{topic}-{partition}"


class TransactionalPublisher:
    """Publishes pages, one transaction each; one at a time, in the order of the calls.

        async with TransactionalPublisher(settings, transactional_id(group, topic, 3)) as publisher:
            await publisher.publish(records, consumed=[task.position], group=consumer.group_metadata())

    Calls block in a thread of this publisher's own.
    """

    def __init__(self, settings: KafkaSettings, transactional_id: str, config: dict[str, Any] | None = None) -> None:
        self._id = transactional_id
        self._seconds = settings.transaction_timeout_seconds
        merged = {**transaction_config(settings, transactional_id), **(config or {})}
        self._producer = Producer({**merged, "logger": logging.getLogger("librdkafka")})
        self._thread = DaemonWorker(f"transaction-{transactional_id}")

    async def open(self) -> None:
        """Take the transactional id over: the predecessor's open transaction is aborted, the predecessor fenced.

        Raises:
            BrokenPublisherError: the brokers did not grant it in time.
        """
        await self._run(lambda: self._take_over(time.monotonic() + OPEN_SECONDS), OPEN_SECONDS)

    async def publish(
        self,
        records: Iterable[RecordFields],
        *,
        consumed: Sequence[Position] = (),
        group: Any = None,
        notes: Mapping[Position, str] = NO_NOTES,
    ) -> int:
        """Publish all records and mark the consumed ones as done, at once; return the number of records.

        `consumed` holds the position of each task record that is done with (not the next one), `group` the consumer's
        `group_metadata()`, which proves that the partition is still ours. `notes` are kept with the offsets (at most
        4,096 bytes each, as brokers are set).

        Raises:
            TransactionError: aborted; try again.
            FencedError: aborted; the task is somebody else's.
            BrokenPublisherError: outcome unknown; make another publisher.
        """
        page = list(records)
        # A transaction and its abort have so long each.
        await self._run(lambda: self._transact(page, consumed, group, notes), 2 * self._seconds)
        return len(page)

    async def close(self) -> None:
        """End the publisher; an open transaction is left to its successor or its timeout."""
        self._thread.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, work: Callable[[], None], seconds: float) -> None:
        """Run in the publisher's thread, to its end also when the caller is cancelled: half a step helps nobody."""
        try:
            async with asyncio.timeout(seconds + OVERDUE_SECONDS):
                await asyncio.shield(self._thread.submit(work))
        except TimeoutError:
            raise BrokenPublisherError(f"{self._id}: a call did not come back in {seconds:g} s") from None

    def _take_over(self, deadline: float) -> None:
        try:
            self._repeated(lambda seconds: self._producer.init_transactions(seconds), deadline)
        except KafkaException as failure:
            raise BrokenPublisherError(f"{self._id}: not opened: {failure.args[0].str()}") from None

    def _transact(
        self, page: list[RecordFields], consumed: Sequence[Position], group: Any, notes: Mapping[Position, str]
    ) -> None:
        deadline = time.monotonic() + self._seconds
        done = [TopicPartition(at.topic, at.partition, at.offset + 1, notes.get(at, "")) for at in consumed]
        stage = "begin"
        try:
            self._producer.begin_transaction()
            stage = "publish"
            self._produce(page, deadline)
            if done:
                stage = "offsets"
                self._repeated(lambda left: self._producer.send_offsets_to_transaction(done, group, left), deadline)
            stage = "commit"
            self._repeated(lambda left: self._producer.commit_transaction(left), deadline)
        except (KafkaException, BufferError) as failure:
            self._abort(failure, stage)

    def _produce(self, page: list[RecordFields], deadline: float) -> None:
        """Hand the page to the client. A record that the brokers refuse later fails the commit."""
        for topic, key, value, headers, partition in page:
            where = -1 if partition is None else partition
            while True:
                try:
                    self._producer.produce(topic, value, key, where, headers=list(headers) if headers else None)
                    break
                except BufferError:
                    if time.monotonic() > deadline:
                        raise
                    self._producer.poll(0.01)

    def _repeated(self, call: Callable[[float], object], deadline: float) -> None:
        """Call again while the client reports that this may help and there is time."""
        while True:
            left = deadline - time.monotonic()
            try:
                call(max(left, 0.1))
            except KafkaException as failure:
                if not failure.args[0].retriable() or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _abort(self, failure: KafkaException | BufferError, stage: str) -> None:
        """Abort where that is still possible, and raise what the caller can act on."""
        error: KafkaError | None = failure.args[0] if isinstance(failure, KafkaException) else None
        reason = f"{self._id}: transaction failed at {stage}: {error.str() if error else 'the buffer stayed full'}"
        fenced = error if error and error.code() in FENCING_CODES else None
        # Met in the background and reported by the next call without its reason: only the abort gives that.
        ended = error is not None and error.fatal() and error.code() != KafkaError._FATAL
        if ended and not fenced:
            raise BrokenPublisherError(reason) from None
        # After a commit that timed out the client still wants that commit, not an abort: the outcome is open.
        if error and stage == "commit" and error.retriable():
            raise BrokenPublisherError(reason) from None
        if not ended:
            try:
                self._repeated(lambda left: self._producer.abort_transaction(left), time.monotonic() + self._seconds)
            except KafkaException as refused:
                second: KafkaError = refused.args[0]
                reason = f"{reason}; then at abort: {second.str()}"
                fenced = fenced or (second if second.code() in FENCING_CODES else None)
                if not fenced:
                    raise BrokenPublisherError(reason) from None
        if fenced:
            log.warning("fenced", transactional_id=self._id, stage=stage, code=fenced.name())
            raise FencedError(reason) from None
        log.warning("transaction aborted", transactional_id=self._id, stage=stage, code=error.name() if error else "")
        raise TransactionError(reason) from None


_Work = tuple[Callable[[], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class DaemonWorker:
    """Runs calls one after another in a thread that never keeps its process from ending.

    A pool of concurrent.futures joins its threads when the interpreter ends. A call into librdkafka that does not come
    back (seen: sending offsets to a transaction, after the broker was killed, in spite of its timeout) would then hold
    a process that was asked to stop, for ever.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Hand over a call; the future ends with what it returned or raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._calls.put((call, loop, future))
        return future

    def close(self) -> None:
        """End after the calls that were handed over."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            call, loop, future = work
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_end, future, result, failure)


def _end(future: "asyncio.Future[Any]", result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
