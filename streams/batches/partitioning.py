"""Kafka's murmur2 partitioner, to check that a record lies where its key belongs."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def in_python(key: bytes, partitions: int) -> int:
    """As `partition_of`, where nothing could be compiled."""
    return int((murmur2(key) & 0x7FFF_FFFF) % partitions)


try:
    from .murmur2 import partition_of
except ImportError:
    partition_of = in_python

__all__ = ["in_python", "partition_of"]
