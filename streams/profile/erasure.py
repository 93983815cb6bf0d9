"""Erasures: requested by the CLI, done by the owner of the profile, remembered by digest only."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from uuid import uuid4

import structlog
from pydantic import ValidationError

from connectors.kafka.command_producer import CommandProducer
from connectors.kafka.compacted import CompactedTopic
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings
from schemas.cm_profile import ErasureReceipt
from schemas.envelope import EpochMillis
from schemas.identity import digest_of
from streams.mapping.dates import read_instant
from streams.profile.folding.moves import Move, move_output

log = structlog.get_logger(__name__)


class Erased(Mapping[str, EpochMillis]):
    """Digest of an address -> when its erasure was requested. Input topics keep their records, so whoever reads them
    again (a rebuild, an import of history) must not bring these people back."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._at: dict[str, EpochMillis] = {}
        self.known = asyncio.Event()
        """Everything that was in the topic is here."""

    async def follow(self) -> None:
        """Hold the receipts for as long as the worker runs."""
        async with CompactedTopic(self._kafka, self._topic, self._receive):
            self.known.set()
            await asyncio.Event().wait()

    def _receive(self, record: ConsumedRecord) -> None:
        try:
            receipt = ErasureReceipt.from_bytes(record.value or b"")
        except ValidationError:
            log.warning(
                "no receipt of an erasure", topic=record.topic, partition=record.partition, offset=record.offset
            )
            return
        at = read_instant(receipt.requested_at)
        if at is not None:
            self._at[receipt.email_sha256] = max(at, self._at.get(receipt.email_sha256, at))

    def __getitem__(self, digest: str) -> EpochMillis:
        return self._at[digest]

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


class NoReceiptError(RuntimeError):
    """No worker has answered in time; the request stays in the topic, and is carried out as soon as one runs."""


async def erase(kafka: KafkaSettings, email: str, timeout_seconds: float) -> ErasureReceipt:
    """Ask the owner of a profile to forget it, and wait for the receipt. Raises NoReceiptError, PublishError."""
    names = kafka.names()
    request_id = uuid4().hex
    move = Move("erase", request_id, email, time.time_ns() // 1_000_000)
    request = move_output(names["cm_profile_moves"], move)
    receipt: asyncio.Future[ErasureReceipt] = asyncio.get_running_loop().create_future()

    def receive(record: ConsumedRecord) -> None:
        if record.key == request_id.encode() and record.value and not receipt.done():
            answer = ErasureReceipt.from_bytes(record.value)
            if answer.email_sha256 == digest_of(email):
                receipt.set_result(answer)

    async with (
        CompactedTopic(kafka, names["cm_erasures"], receive),
        CommandProducer(kafka, "erase") as producer,
    ):
        await producer.publish(request.topic, request.key, request.value)
        try:
            return await asyncio.wait_for(receipt, timeout_seconds)
        except TimeoutError:
            raise NoReceiptError(
                f"No profile worker has answered within {timeout_seconds:g} s. The request {request_id} is stored, and "
                "is done as soon as one runs"
            ) from None
