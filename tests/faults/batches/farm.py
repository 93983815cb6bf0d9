"""Workers, each a process with a disk of its own, and the witness of what came of their topics."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from tests import kafka_io, oracle
from tests.deadline import within
from tests.faults.batches.launcher import Launcher, Process
from tests.faults.batches.worker import MARKS, Marks

KILLS = int(os.environ.get("FAULT_KILLS", "12"))
"""How large a run is: 12 kills on an ordinary day, 50 and more for `make faults`."""

FULL = KILLS >= 50
"""Every run over two workers or a failing broker has 200,000 events then."""

FULL_EVENTS = 200_000

PARTITIONS = 4


class Worker:
    """One worker, from its start to its end."""

    def __init__(self, name: str, process: Process, directory: Path) -> None:
        self.name = name
        self.process = process
        self.directory = directory
        self.marks = Marks(directory / "marks")

    @property
    def in_hand(self) -> bool:
        """Is a batch in work, or settled and not yet committed?"""
        agents, uncommitted, *_ = self.marks.read()
        return agents > 0 or uncommitted > 0

    @property
    def batches(self) -> int:
        """Done since the start."""
        return self.marks.read()[2]

    def at_work(self, seconds: float = 60.0) -> None:
        """Wait for its first batch."""
        within(seconds, lambda: self.batches > 0 or self.process.exit_code is not None, every=0.005)

    def kill(self) -> bool:
        """SIGKILL, now; did it have work in hand?"""
        self.process.signal(signal.SIGKILL)
        self.process.wait(30)
        return self.in_hand

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; the exit code."""
        self.process.signal(signal.SIGTERM)
        return self.ended(seconds)

    def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end; the exit code. Fails with the end of its output."""
        try:
            return self.process.wait(seconds)
        except AssertionError as late:
            raise AssertionError(f"{self.name} still runs after {seconds:g} s: {self.output()[-2000:]}") from late

    def hurry(self) -> None:
        """Stand still no more at the boundaries."""
        self.marks.put(3, 0)

    def output(self) -> str:
        """Everything it printed."""
        return (self.directory / "output").read_text(errors="replace")


class Rows(NamedTuple):
    """Rows and positions by key, of the workers' disks."""

    data: dict[bytes, Any]
    positions: dict[bytes, Any]


class Farm:
    """One job: its topics, its workers, and their disks."""

    def __init__(
        self,
        launcher: Launcher,
        bootstrap_servers: str,
        namespace: str,
        directory: Path,
        count: Callable[[str, object], None] = lambda name, value: None,
    ) -> None:
        """`count` gets what a verdict counted, by the names of tests/faults/report.py."""
        self.bootstrap_servers = bootstrap_servers
        self.group, self.source = f"{namespace}app", f"{namespace}events"
        self.changelog = f"{namespace}rows"
        self.dead_letters = f"{self.source}.dlq"
        self.workers: dict[str, Worker] = {}
        self._launcher = launcher
        self._directory = directory
        self._count = count
        for topic in (self.source, self.dead_letters):
            kafka_io.create_topic(bootstrap_servers, topic, PARTITIONS)
        self._next: dict[bytes, int] = {}

    # -- input

    def events(self, count: int, users: int, seed: int = 0) -> Iterator[tuple[bytes, bytes]]:
        """Good records; each key's are numbered on from the last call."""
        dice = random.Random(seed)
        for _ in range(count):
            key = b"user-%d" % dice.randrange(users)
            number = self._next[key] = self._next.get(key, -1) + 1
            yield key, oracle.event(number, dice.randrange(1000))

    def produce(self, records: Iterator[tuple[bytes | None, bytes | None]] | Sequence[Any], **more: Any) -> None:
        """Publish, and wait for the broker: from here on they are obligations."""
        kafka_io.produce(self.bootstrap_servers, self.source, records, **more)

    # -- workers

    def start(
        self,
        name: str,
        *,
        kill_at: str | None = None,
        stretch: int = 0,
        sabotage: Sequence[str] = (),
        static: bool = True,
        environment: Mapping[str, str] | None = None,
        job: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Worker:
        """Start (again) a worker. `stretch`: microseconds at each boundary. `static`: as a static member."""
        directory = self._directory / name
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "marks").write_bytes(MARKS.pack(0, 0, 0, stretch))
        (directory / "ask").unlink(missing_ok=True)
        config = {
            "source": self.source,
            "changelog": self.changelog,
            "directory": str(directory),
            "sabotage": list(sabotage),
            "settings": {
                "app_id": self.group,
                "kafka": {"bootstrap_servers": self.bootstrap_servers},
                "data_dir": str(directory / "data"),
                "partitions": PARTITIONS,
                "instance_id": name if static else None,
                "commit_interval_seconds": 0.1,
                "fetch_max_wait_milliseconds": 50,
                "max_batch_records": 100,
                "session_timeout_seconds": 6.0,
                "heartbeat_interval_seconds": 0.5,
                "rebalance_timeout_seconds": 10.0,
                "revoke_grace_seconds": 5.0,
                "message_timeout_seconds": 4.0,
                "allowed_pause_seconds": 4.0,
                "block_cache_bytes": 8 << 20,
                "write_buffer_bytes": 1 << 20,
                **settings,
            },
            **(job or {}),
        }
        armed = {"BATCHES_KILL_AT": kill_at} if kill_at else {}
        process = self._launcher.start(config, {**armed, **(environment or {})}, directory / "output")
        self.workers[name] = worker = Worker(name, process, directory)
        return worker

    def wipe(self) -> None:
        """Empty every disk."""
        for worker in self.workers.values():
            shutil.rmtree(worker.directory / "data", ignore_errors=True)

    def stop(self) -> list[int]:
        """SIGTERM to all that run; their exit codes."""
        running = self.running()
        for worker in running:
            worker.process.signal(signal.SIGTERM)
        return [worker.process.wait(30) for worker in running]

    def kill(self) -> None:
        """SIGKILL to all that run."""
        for worker in self.running():
            worker.process.signal(signal.SIGKILL)
            worker.process.wait(30)

    def running(self) -> list[Worker]:
        """Workers that have not ended."""
        return [worker for worker in self.workers.values() if worker.process.exit_code is None]

    # -- the witness

    def drained(self, seconds: float = 60.0) -> None:
        """Wait until everything readable is committed."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": self.group,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        wanted = [TopicPartition(self.source, partition) for partition in range(PARTITIONS)]

        def done() -> bool:
            for worker in self.workers.values():
                assert worker.process.exit_code in (None, 0, -9), worker.output()[-3000:]
            ends = [consumer.get_watermark_offsets(tp, timeout=30)[1] for tp in wanted]
            committed = kafka_io.committed_of(consumer, wanted)
            return all(at >= end for at, end in zip(committed, ends, strict=True) if end)

        try:
            within(seconds, done, every=0.1)
        finally:
            consumer.close()

    def committed(self) -> int:
        """All partitions' committed offsets together; nothing committed counts as 0."""
        offsets = kafka_io.committed(self.bootstrap_servers, self.group, self.source, PARTITIONS)
        return sum(max(0, offset) for offset in offsets)

    def expected(self) -> dict[bytes, oracle.Expected]:
        """What the input must come to."""
        read = kafka_io.read_all(self.bootstrap_servers, self.source)
        return oracle.expected(oracle.Event(r.key, r.value, r.offset, r.partition) for r in read if r.key and r.value)

    def published(self) -> dict[bytes, Any]:
        """The newest record of each key in the changelog: what a rebuild would come to, read without our code."""
        newest = {r.key: r for r in kafka_io.read_all(self.bootstrap_servers, self.changelog) if r.key is not None}
        return {key: json.loads(record.value) for key, record in newest.items() if record.value}

    def refused(self) -> set[tuple[bytes, bytes]]:
        """(partition, offset) of the dead letters; a replay may write one twice."""
        headers = [dict(r.headers) for r in kafka_io.read_all(self.bootstrap_servers, self.dead_letters)]
        return {(letter["dlq.partition"], letter["dlq.offset"]) for letter in headers}

    def rows(self) -> Rows:
        """What the running workers have, each asked for the partitions it owns."""
        asked = self.running()
        data: dict[bytes, Any] = {}
        positions: dict[bytes, Any] = {}

        def whole() -> bool:
            data.clear(), positions.clear()
            for worker in asked:
                (worker.directory / "rows.json").unlink(missing_ok=True)
                (worker.directory / "ask").touch()
            for worker in asked:
                answer = worker.directory / "rows.json"
                within(20, answer.exists)
                for key, (row, at) in json.loads(answer.read_text()).items():
                    data[key.encode()], positions[key.encode()] = row, at
            return len(data) == len(published)

        published = self.published()
        within(30, whole, every=0.2)
        return Rows(data, positions)

    def verdict(self, *, rebuild: bool = True, **settings: Any) -> oracle.Verdict:
        """Compare the changelog, then the rows on the same disks, then those rebuilt on empty ones; the worst of them.

        Every worker is stopped, and those started again are without sabotage.
        """
        wanted = self.expected()
        verdicts = [oracle.judge(wanted, self.published())]
        if rebuild:
            self.kill()
            names = list(self.workers)
            found = []
            for wiped in (False, True):
                if wiped:
                    self.wipe()
                for name in names:
                    self.start(name, **settings)
                self.drained()
                found.append(self.rows())
                verdicts.append(oracle.judge(wanted, found[-1].data))
                assert all(code == 0 for code in self.stop())
            if all(verdict.exact for verdict in verdicts):
                assert found[0] == found[1], "the same rows and positions on the same disk and rebuilt on an empty one"
        worst = max(verdicts, key=lambda v: v.lost + v.double + v.wrong + v.unknown)
        counts = {"obligations": worst.obligations, "lost": worst.lost, "doubled": worst.double, "wrong": worst.wrong}
        for name, value in counts.items():
            self._count(name, value)
        return worst
