"""Peer: a bare confluent-kafka loop, no framework, state in a dict or in RocksDB: what Python can do at most.

It writes outputs but no changelog, and commits every five seconds: its state does not survive, except RocksDB's, which
after a crash counts the replayed events a second time. Options: `dict` or `rocksdb`.
"""

import sys
import time
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Message, Producer

from benchmarks.job import Job, Stopwatch
from benchmarks.peers.profile_update import update

COMMIT_SECONDS = 5.0


class Output:
    """Updated profiles on their way to the broker; a refused one ends the run."""

    def __init__(self, job: Job) -> None:
        self._topic = job.output
        self._producer = Producer(
            {
                "bootstrap.servers": job.bootstrap,
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "on_delivery": self._delivered,
            }
        )
        self._failed: KafkaError | None = None

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        self._failed = self._failed or error

    def send(self, key: bytes, value: bytes, partition: int) -> None:
        while True:
            try:
                return self._producer.produce(self._topic, value, key, partition=partition)
            except BufferError:
                self._producer.poll(0.1)

    def poll(self) -> None:
        self._producer.poll(0)

    def flush(self) -> None:
        self._producer.flush()
        if self._failed is not None:
            raise SystemExit(f"output was refused: {self._failed}")


class DictState:
    """One dict for all: each event is folded and its profile written at once."""

    def __init__(self) -> None:
        self._profiles: dict[bytes, dict[str, Any]] = {}

    def fold(self, records: list[Message], output: Output) -> None:
        profiles, loads, dumps = self._profiles, orjson.loads, orjson.dumps
        for record in records:
            key = record.key()
            profile = profiles.get(key)
            if profile is None:
                profiles[key] = profile = {}
            update(profile, loads(record.value()))
            output.send(key, dumps(profile), record.partition())


class RocksState:
    """RocksDB: one read and one write for each key and batch, the latest profile written out."""

    def __init__(self, job: Job) -> None:
        from rocksdict import BlockBasedOptions, Cache, Options, Rdict

        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(64 << 20)
        blocks = BlockBasedOptions()
        blocks.set_bloom_filter(10, False)
        blocks.set_block_cache(Cache(256 << 20))
        options.set_block_based_table_factory(blocks)
        self._store = Rdict(str(job.state), options)

    def fold(self, records: list[Message], output: Output) -> None:
        from rocksdict import WriteBatch

        store, loads, dumps = self._store, orjson.loads, orjson.dumps
        touched: dict[bytes, tuple[dict[str, Any], int]] = {}
        for record in records:
            key = record.key()
            row = touched.get(key)
            if row is None:
                stored = store.get(key)
                touched[key] = row = (loads(stored) if stored else {}, record.partition())
            update(row[0], loads(record.value()))
        batch = WriteBatch(raw_mode=True)
        for key, (profile, partition) in touched.items():
            value = dumps(profile)
            batch.put(key, value)
            output.send(key, value, partition)
        store.write(batch)


def main() -> None:
    """Fold `events` events and end."""
    job = Job.from_arguments(sys.argv[1:])
    stopwatch, output = Stopwatch(), Output(job)
    state = RocksState(job) if "rocksdb" in job.options else DictState()
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.app,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(list(job.inputs))
    done, committed = 0, time.monotonic()
    while done < job.events:
        records = [record for record in consumer.consume(5000, 0.5) if record.error() is None]
        if not records:
            continue
        stopwatch.start()
        state.fold(records, output)
        output.poll()
        done += len(records)
        if time.monotonic() - committed > COMMIT_SECONDS:
            output.flush()
            consumer.commit(asynchronous=True)
            committed = time.monotonic()
    output.flush()
    consumer.commit(asynchronous=False)
    stopwatch.report(done)
    consumer.close()


if __name__ == "__main__":
    main()
