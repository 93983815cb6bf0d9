"""How a coroutine can publish, method by method: python -m benchmarks.producers [--quick] [--runs 5].

Each way has the same librdkafka under it and the same configuration; what differs is who serves the delivery reports:
the event loop on a timer (ours), a thread that polls, or the thread pool of the client's own AIOProducer. The figures
and what followed from them are in README.md.
"""

import argparse
import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import confluent_kafka
import uvloop
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.aio import AIOProducer

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.kafka.client_config import producer_config
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings

PARTITIONS = 4
VALUE = b'{"email":"somebody@example.com","list":"a2b4c6","state":"Active","custom":{"points":"1234"}}' * 3
HEADERS = [("schema", b"1"), ("trace", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
REST_SECONDS = 0.02
BUSY_SECONDS = 0.005
"""What a fold holds the event loop for at a time, in the runs beside work."""


class Way(Protocol):
    """One way to publish: both return when the broker has all records; rows are for one partition."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> None: ...
    async def publish_rows(self, records: Sequence[OutgoingRecord]) -> None: ...
    async def close(self) -> None: ...


class EventLoop:
    """Ours: delivery reports are served by the event loop."""

    def __init__(self, settings: KafkaSettings, _size: int) -> None:
        self._producer = AsyncProducer(settings, "bench")
        self._next: int | None = None

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        if len(records) == 1:
            await self._producer.publish(*records[0])
        else:
            await self._producer.publish_many(records)

    async def publish_rows(self, records: Sequence[OutgoingRecord]) -> None:
        rows = [(record.key or b"", record.value, record.headers) for record in records]
        if self._next is None:
            self._next = (await self._producer.publish(*records[0])).offset + 1
        self._next = 1 + await self._producer.publish_rows(records[0].topic, 0, rows, next_offset=self._next)

    async def close(self) -> None:
        await self._producer.close()


class PollingThread:
    """The usual way: a thread polls, one callback counts a call's reports, the last one wakes the loop."""

    def __init__(self, settings: KafkaSettings, _size: int) -> None:
        self._producer = confluent_kafka.Producer(producer_config(settings, "bench"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.2)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        await self._publish(records, last_only=False)

    async def publish_rows(self, records: Sequence[OutgoingRecord]) -> None:
        await self._publish(records, last_only=True)

    async def _publish(self, records: Sequence[OutgoingRecord], *, last_only: bool) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        left = 1 if last_only else len(records)

        def delivered(error: Any, _message: Any) -> None:
            nonlocal left
            left -= 1
            if not left:
                loop.call_soon_threadsafe(future.set_result, None)

        produce = self._producer.produce
        for at, (topic, key, value, headers, partition) in enumerate(records, 1):
            where = -1 if partition is None else partition
            report = None if last_only and at < len(records) else delivered
            while True:
                try:
                    produce(topic, value, key, where, report, headers=list(headers) if headers else None)
                    break
                except BufferError:
                    await asyncio.sleep(0.002)
        await future

    async def close(self) -> None:
        await asyncio.to_thread(self._producer.flush)
        self._stopping.set()
        await asyncio.to_thread(self._thread.join)


class ClientsOwn:
    """confluent-kafka's AIOProducer: gathers calls, hands them over in a pool's thread. It takes no headers.

    Its buffer is as large as the call, so that it does not wait for its timeout of a second, and `flush` is awaited,
    because nothing else polls for reports before that timeout.
    """

    def __init__(self, settings: KafkaSettings, size: int) -> None:
        self._producer = AIOProducer(producer_config(settings, "bench"), batch_size=size)

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        produce = self._producer.produce
        if any(record.partition is not None for record in records):
            futures = [await produce(topic, value, key, partition=at) for topic, key, value, _, at in records]
        else:
            futures = [await produce(topic, value, key) for topic, key, value, _, _ in records]
        await self._producer.flush()
        await asyncio.gather(*futures)

    async def publish_rows(self, records: Sequence[OutgoingRecord]) -> None:
        await self.publish(records)

    async def close(self) -> None:
        await self._producer.close()


WAYS: dict[str, Callable[[KafkaSettings, int], Way]] = {
    "event loop": EventLoop,
    "polling thread": PollingThread,
    "AIOProducer": ClientsOwn,
}


class Load(NamedTuple):
    """One row of the table: `size` records a call, `calls` one after another."""

    name: str
    size: int
    calls: int
    headers: bool = False
    rest: bool = False
    busy: bool = False
    last_only: bool = False
    """All for one partition, and only the last one's report is asked for, as for rows of a changelog."""


LOADS = (
    Load("at rest, 1 a call", 1, 200, rest=True),
    Load("1 a call", 1, 2_000),
    Load("1 a call, headers", 1, 2_000, headers=True),
    Load("20 a call", 20, 1_000),
    Load("20 a call, headers", 20, 1_000, headers=True),
    Load("2000 a call", 2_000, 50),
    Load("2000 a call, headers", 2_000, 50, headers=True),
    Load("2000 rows a call, last report only", 2_000, 50, last_only=True),
    Load("2000 a call, busy loop", 2_000, 50, busy=True),
    Load("2000 a call, headers, busy loop", 2_000, 50, headers=True, busy=True),
)


class Figures(NamedTuple):
    """Of one run, without start-up: CPU of all threads, calls' times."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    per_second: float


class Work:
    """Holds the event loop as a fold does, and counts its own CPU."""

    def __init__(self) -> None:
        self.cpu_seconds = 0.0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            begun = time.thread_time()
            until = time.perf_counter() + BUSY_SECONDS
            while time.perf_counter() < until:
                pass
            self.cpu_seconds += time.thread_time() - begun
            await asyncio.sleep(0.0005)


async def measure(way: Way, load: Load, topic: str) -> Figures:
    """Warm up, then publish the load and take the figures; the CPU of the work beside it is not counted."""
    headers = HEADERS if load.headers else None
    where = 0 if load.last_only else None
    page = [OutgoingRecord(topic, b"person%d@example.com" % n, VALUE, headers, where) for n in range(load.size)]
    publish = way.publish_rows if load.last_only else way.publish
    for _ in range(5):
        await publish(page)
    work = Work()
    beside = asyncio.create_task(work.run()) if load.busy else None
    times = []
    cpu, begun = time.process_time(), time.perf_counter()
    for _ in range(load.calls):
        at = time.perf_counter()
        await publish(page)
        times.append(time.perf_counter() - at)
        if load.rest:
            await asyncio.sleep(REST_SECONDS)
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu - work.cpu_seconds
    if beside:
        beside.cancel()
    times.sort()
    count = load.calls * load.size
    return Figures(
        used / count * 1e6,
        statistics.median(times) * 1e3,
        times[int(len(times) * 0.99)] * 1e3,
        count / seconds,
    )


async def contest(settings: KafkaSettings, runs: int, scale: float, show: Callable[[str], Any]) -> None:
    """Run each load `runs` times, the ways in turns, and show the medians."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.create_topics([NewTopic("producers", PARTITIONS, 1)])["producers"].result(30)
    show("| load | way | CPU us/record | p50 ms/call | p99 ms/call | records/s |\n|---|---|--:|--:|--:|--:|")
    for load in LOADS:
        scaled = load._replace(calls=max(10, int(load.calls * scale)))
        found: dict[str, list[Figures]] = {name: [] for name in WAYS}
        for _ in range(runs):
            for name, make in WAYS.items():
                if load.headers and make is ClientsOwn:
                    continue
                way = make(settings, load.size)
                found[name].append(await measure(way, scaled, "producers"))
                await way.close()
        for name, figures in found.items():
            if figures:
                cpu, p50, p99, rate = (statistics.median(column) for column in zip(*figures, strict=True))
                show(f"| {load.name} | {name} | {cpu:.2f} | {p50:.2f} | {p99:.2f} | {rate:,.0f} |")


def main() -> None:
    """Start a broker and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls, one run")
    asked = parser.parse_args()
    with EmbeddedKafka(properties={"log.cleaner.enable": "false"}) as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers, _env_file=None)
        runs, scale = (1, 0.1) if asked.quick else (asked.runs, 1.0)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(contest(settings, runs, scale, lambda line: print(line, flush=True)))


if __name__ == "__main__":
    main()
