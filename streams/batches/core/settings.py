"""Every setting of a batch application. Units are in the names; a comment names what breaks at the wrong value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from connectors.kafka.settings import KafkaSettings

RECORD_ROOM = 50_000
"""For the key, headers and encoding of a row of `max_record_bytes`."""


class BatchSettings(BaseModel):
    """Settings of one `BatchApp`.

    Partitions, replicas and the session and delivery timeouts are those of `kafka` where they are not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    app_id: str
    """Consumer group, and the name under which positions are kept. Another id starts from the earliest records."""
    kafka: KafkaSettings
    """How to reach the brokers, and what all clients of the process share."""
    data_dir: Path
    """Where the stores live; one directory for each process, never shared (RocksDB takes one owner)."""
    partitions: int = Field(default=12, ge=1)
    """Partition count of every source topic and changelog; checked at start. Never change it for live tables."""
    instance_id: str | None = None
    """Static group membership: a restart within the session timeout causes no rebalance."""

    # Batches. Bigger ones cost less for each event (one flush, one write, fewer duplicates of a key), but hold memory
    # (2 batches a partition at most) and delay other work of the same partition.
    max_batch_records: int = Field(default=20_000, ge=1)
    max_batch_bytes: int = Field(default=6 << 20, ge=1)
    """Keys and values; lenient by the last few records."""
    unsettled_bytes: int = Field(default=8 << 20, ge=1)
    """Keys and values of all batches in work or waiting, all partitions together; lenient by the last batch. Below a
    batch and some, a process with one busy partition waits for each fetch; more is only more memory."""
    fetch_max_bytes: int = Field(default=8 << 20, ge=1 << 16)
    """A partition's fetch. At Faust's default of 1 MiB a backlog idles half of the time between fetches."""
    fetch_max_wait_milliseconds: int = 500
    fetch_buffer_bytes: int = Field(default=32 << 20, ge=1 << 20)
    """All partitions' fetches of one answer, as they came (compressed)."""

    # Waits. message_timeout + heartbeat_interval < session_timeout: what a paused process left queued or in flight is
    # refused before the partition has another owner (a stale row behind a newer one would win at compaction; see
    # `oldest_write_seconds`). revoke_grace < rebalance_timeout.
    session_timeout_seconds: float = 30.0
    heartbeat_interval_seconds: float = 3.0
    rebalance_timeout_seconds: float = 60.0
    revoke_grace_seconds: float = 25.0
    """How long a batch in work may continue after revocation began; then it is abandoned, unacknowledged."""
    batch_alarm_seconds: float = 25.0
    """A batch that is still being retried after this long is reported as stuck, and the process as not ready."""
    retry_first_seconds: float = 0.1
    retry_longest_seconds: float = 5.0
    message_timeout_seconds: float = 20.0
    allowed_pause_seconds: float = 15.0
    """A longer gap between two ticks ends the process before it sends anything; below the session timeout."""
    commit_interval_seconds: float = 0.5
    """Bounds what is delivered again after a crash."""
    stall_seconds: float = 45.0
    """Watchdog: committed offset unchanged for this long while readable records wait, and it is not others' turn."""
    recovery_stall_seconds: float = 60.0
    """Recovery without one restored record for this long ends the process."""
    recovery_deadline_seconds: float = 3600.0
    stop_seconds: float = 9.0
    """Budget of a clean stop; process managers send SIGKILL after 10."""

    # Producer.
    linger_milliseconds: float = 1.0
    """At rest this is added to every acknowledgement; under load batches fill by themselves."""
    max_record_bytes: int = 1_000_000
    """A row, encoded, with its hidden state; at most the topics' max.message.bytes (1,048,588 by default)."""
    producer_buffer_bytes: int = 64 << 20

    # Store.
    cache_rows: int = Field(default=30_000, ge=0)
    """Decoded rows kept in memory, all partitions together; where they are seldom read again, a sample of them."""
    cache_bytes: int = Field(default=40 << 20, ge=0)
    """The same rows by their encoded size; a decoded row takes several times of that."""
    block_cache_bytes: int = 32 << 20
    """One cache for all stores of the process. Without it the default is 8 MiB a store, and absent keys cost reads."""
    write_buffer_bytes: int = 8 << 20
    """A memtable; at most two a store, and:"""
    write_buffers_bytes: int = Field(default=16 << 20, ge=1 << 20)
    """All memtables of the process, however many partitions it holds; beyond it the store that is written flushes."""

    # Topics that are ours.
    create_topics: bool = True
    """Create missing changelogs. Sources are never created."""
    replication_factor: int = Field(default=1, ge=1)
    """Of topics that we create; existing ones must have at least this."""
    min_insync_replicas: int = Field(default=1, ge=1)
    on_lost_records: Literal["halt", "continue"] = "halt"
    """Retention removed records that were never read: stop for a human, or count them, log an error and continue."""

    gc_threshold: int = Field(default=1_000_000, ge=10_000)
    """Cyclic garbage is collected when this many objects stay for half a minute, whatever batches in work hold: a bound
    on what cycles can hold. See process/memory.py."""

    consumer_options: dict[str, Any] = Field(default_factory=dict)
    """Passed to aiokafka's consumer last."""
    producer_options: dict[str, Any] = Field(default_factory=dict)
    """Passed to librdkafka's producer last."""

    @model_validator(mode="before")
    @classmethod
    def _of_kafka(cls, values: dict[str, Any]) -> dict[str, Any]:
        kafka = values.get("kafka")
        if isinstance(kafka, dict):
            kafka = KafkaSettings(**kafka)
        if not isinstance(kafka, KafkaSettings):
            return values  # refused as missing
        session = values.get("session_timeout_seconds", kafka.session_timeout_seconds)
        shared = {
            "partitions": kafka.partitions,
            "session_timeout_seconds": session,
            "heartbeat_interval_seconds": min(3.0, session / 10),
            "message_timeout_seconds": kafka.delivery_timeout_seconds,
            "allowed_pause_seconds": session / 2,
            "replication_factor": kafka.replication_factor or 1,
            "min_insync_replicas": kafka.min_insync_replicas or 1,
        }
        return {**shared, **values, "kafka": kafka}

    @model_validator(mode="after")
    def _waits_fit(self) -> BatchSettings:
        for smaller, larger in (
            ("message_timeout_seconds", "session_timeout_seconds"),
            ("allowed_pause_seconds", "session_timeout_seconds"),
            ("heartbeat_interval_seconds", "session_timeout_seconds"),
            ("revoke_grace_seconds", "rebalance_timeout_seconds"),
        ):
            if getattr(self, smaller) >= getattr(self, larger):
                raise ValueError(
                    f"{smaller} ({getattr(self, smaller)}) must be less than {larger} ({getattr(self, larger)})"
                )
        if self.message_timeout_seconds + self.heartbeat_interval_seconds >= self.session_timeout_seconds:
            raise ValueError(
                f"message_timeout_seconds ({self.message_timeout_seconds}) and heartbeat_interval_seconds "
                f"({self.heartbeat_interval_seconds}) must be less than session_timeout_seconds "
                f"({self.session_timeout_seconds}) together"
            )
        return self

    @property
    def max_message_bytes(self) -> int:
        """What the producer takes as one record: key, value, headers and a few dozen bytes (`message.max.bytes`)."""
        least = max(self.kafka.max_produced_bytes, self.max_record_bytes + RECORD_ROOM)
        return int(self.producer_options.get("message.max.bytes", least))

    @property
    def max_output_bytes(self) -> int:
        """What an agent may publish as one record: what the topics take. The producer's own limit has room for dead
        letters, whose topics take more; what a broker refuses is sent again, for ever."""
        return min(self.max_message_bytes, self.kafka.max_message_bytes)

    @property
    def oldest_write_seconds(self) -> float:
        """Age from which on the broker refuses a row (`message.timestamp.before.max.ms` of changelogs).

        Half way between the age at which our own producer abandons it and the age that a row can have when its
        partition has another owner: clocks of workers and brokers may differ by half of what lies between (3.5 s by
        default).
        """
        longest = self.session_timeout_seconds - self.heartbeat_interval_seconds
        return (self.message_timeout_seconds + longest) / 2
