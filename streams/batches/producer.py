"""One idempotent producer for everything that this process writes; every record is acknowledged or raises."""

from __future__ import annotations

from collections.abc import Sequence

from .batch import Output


class Producer:
    """confluent-kafka's producer behind awaitables: acks=all, murmur2, bounded delivery time."""

    async def publish(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Write one record; (partition, offset) once the broker has it. Raises NotDelivered, or FatalError."""
        raise NotImplementedError

    async def publish_all(self, outputs: Sequence[Output]) -> None:
        """Write many, wait for all. Raises NotDelivered when any of them is not acknowledged."""
        raise NotImplementedError
