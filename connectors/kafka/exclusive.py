"""A lock that one process holds at a time: whoever has the only partition of a topic in a group of its own.

For work that several processes may want at the same moment and that must be done once, such as a refresh of tokens. A
holder that dies loses it with its session; one that stood still for longer than that may find somebody else at work.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.kafka.consumer import GroupConsumer
from connectors.kafka.records import ConsumedRecord
from connectors.kafka.settings import KafkaSettings

LONGEST_HOLD_SECONDS = 90.0
"""What a holder may take: a token request, and the write of its answer, with their time limits. Shorter, and the next
one would begin beside it; longer, and a holder that hangs keeps all others waiting."""


@asynccontextmanager
async def exclusive(kafka: KafkaSettings, group: str, topic: str) -> AsyncIterator[None]:
    """Hold the lock `group` while the context is open. `topic` has one partition; its records are not looked at.

    Raises TimeoutError when another holder did not release it, KafkaException when the brokers refuse the group.
    """
    held, released = asyncio.Event(), asyncio.Event()

    async def assigned(partitions: frozenset[int]) -> None:
        if partitions:
            held.set()

    async def revoked(_partitions: frozenset[int]) -> None:
        # The group waits for this: until it returns nobody else is given the partition.
        if held.is_set():
            await released.wait()

    async def ignore(_record: ConsumedRecord) -> None:
        """The topic's records have their own reader."""

    consumer = GroupConsumer(
        kafka, group, topic, on_assigned=assigned, on_revoked=revoked, revoke_seconds=LONGEST_HOLD_SECONDS
    )
    member = asyncio.create_task(consumer.run(ignore), name=f"exclusive-{group}")
    waiting = asyncio.create_task(held.wait())
    try:
        async with asyncio.timeout(2 * LONGEST_HOLD_SECONDS):
            await asyncio.wait({member, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if member.done():
            member.result()
        yield
    finally:
        released.set()
        waiting.cancel()
        member.cancel()
        await asyncio.gather(member, waiting, return_exceptions=True)
