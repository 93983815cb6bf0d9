"""Follows `audience-delivery` from a little while ago: what was written, so that its echo is recognised."""

import asyncio
import logging
import time
import uuid

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from pydantic import ValidationError

from connectors.kafka.client_config import consumer_config
from connectors.kafka.consumer import drained
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.echo import KEEP, Write, Writes
from schemas.audience_delivery import DeliveryReceipt, Outcome
from schemas.identity import normalise_email

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.2
RECORDS_PER_POLL = 2_000
WRITTEN = frozenset({Outcome.ADDED, Outcome.UPDATED, Outcome.REMOVED})
"""Outcomes that changed the subscriber, and so come back."""


async def follow(settings: KafkaSettings, writes: Writes) -> None:
    """Fill `writes` until cancelled. Every receiver reads all receipts: a post may come to any of them."""
    config = consumer_config(settings, "receipts", f"{settings.topic_prefix}receipts-{uuid.uuid4().hex}")
    consumer = Consumer({**config, "logger": logging.getLogger("librdkafka")})
    try:
        await asyncio.to_thread(_assign, consumer, settings.names()["audience-delivery"])
        while True:
            for message in await asyncio.to_thread(drained, consumer, RECORDS_PER_POLL, POLL_SECONDS):
                if message.error() is None:
                    take(message.value() or b"", writes)
    finally:
        await asyncio.shield(asyncio.to_thread(consumer.close))


def take(value: bytes, writes: Writes) -> None:
    """Remember what a receipt says was written."""
    try:
        receipt = DeliveryReceipt.from_bytes(value)
    except ValidationError:
        log.warning("receipt not understood")
        return
    if receipt.outcome in WRITTEN:
        address = normalise_email(receipt.address or receipt.email) or receipt.email
        writes.add(receipt.list_id, address, Write(receipt.at, frozenset(receipt.audiences)))


def _assign(consumer: Consumer, topic: str) -> None:
    known = consumer.list_topics(topic, timeout=10).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    since = int((time.time() - KEEP.total_seconds()) * 1000)
    consumer.assign(consumer.offsets_for_times([TopicPartition(topic, one, since) for one in known.partitions], 10))
