"""Two workers killed again and again while events come, many of them twice; every row is compared with an oracle.

The oracle (`benchmarks.mail_oracle`) shares no code with the aggregator: it works a profile out from all of a person's
messages at once, every field of the default mapping.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.mail_oracle import summarise
from connectors.devkit.ports import free_ports
from tests import kafka_io
from tests.deadline import within
from tests.faults.batches.worker import MARKS, Marks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.profile.conftest import World

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
KINDS = ("sent", "open", "click", "bounce", "deactivate", "cm_user")
WEIGHTS = (65, 20, 6, 3, 2, 4)
AGAIN = 0.2
"""The share of records that repeat an event published before."""
MOVERS = 20
PATIENCE_S = 60
STRETCH = 4_000
"""Microseconds at each boundary, so that a worker has something in hand when it is killed."""
SOURCES = ("cm_user", "cm_activity", "cm_profile_moves")
PARTITIONS = 4


@dataclass
class Story:
    """The records to publish, in order, and the profiles that must result."""

    messages: list[tuple[str, dict[str, Any]]]
    moves: list[tuple[str, dict[str, Any]]]
    wanted: dict[str, dict[str, Any]]


@dataclass
class Outcome:
    """What the kills came to."""

    kills: int
    in_hand: int
    seconds: float
    longest: float
    """Seconds from a start to the first batch, at most."""
    ports: dict[str, int]
    """Of the workers by name: one that comes back under its name is asked where it was."""


def story(records: int, people: int, rnd: random.Random) -> Story:
    """Events in the order in which they are published; some are published twice; a few people change their address."""
    events = [_event(number, f"p{rnd.randrange(people)}@x.com", rnd) for number in range(round(records * (1 - AGAIN)))]
    messages = events + rnd.sample(events, records - len(events))
    rnd.shuffle(messages)
    moves = [
        (
            "cm_activity",
            _message(10**7 + n, f"moved{n}@x.com", event="update", source="webhook", old_email=f"p{n}@x.com"),
        )
        for n in range(MOVERS)
    ]
    address = {move["old_email"]: move["email"] for _, move in moves}
    by_person: dict[str, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for stream, message in [*events, *moves]:
        who = address.get(message["email"], message["email"])
        by_person[who][stream == "cm_activity"].append(message | {"email": who})
    wanted = {who: summarise(users, activities) for who, (users, activities) in by_person.items()}
    return Story(messages, moves, json.loads(json.dumps(wanted)))


def _message(number: int, email: str, **more: Any) -> dict[str, Any]:
    at = FIRST + timedelta(milliseconds=number * 70)  # each its own, so that no two can tie
    shown = f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"
    return {"event_id": f"{number:032x}", "at": shown, "email": email, "client_id": "c1", **more}


def _event(number: int, email: str, rnd: random.Random) -> tuple[str, dict[str, Any]]:
    kind = rnd.choices(KINDS, WEIGHTS)[0]
    listed = {"list_id": f"l{rnd.randrange(3)}", "list_name": f"L{rnd.randrange(3)}"}
    if kind == "cm_user":
        status = rnd.choice(["Active", "Unsubscribed"])
        return "cm_user", _message(number, email, name=f"N{number}", status=status, **listed)
    more: dict[str, Any] = {"campaign_id": f"k{rnd.randrange(40)}"}
    if kind in ("open", "click"):
        more["cc"] = rnd.choice(["DE", "AU", "NL"])
    if kind == "click":
        more["url"] = f"https://e.com/{rnd.randrange(20)}?x={number}"
    if kind == "deactivate":
        more["status"] = rnd.choice(["unsubscribe", "bounce"])
    return "cm_activity", _message(number, email, event=kind, source="campaign", **listed, **more)


class Victim:
    """A worker that is killed and started again on its disk."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self.since = 0.0
        self._world = world
        self._file = world.directory / f"{name}.marks"
        self.start()

    def start(self) -> None:
        self._file.write_bytes(MARKS.pack(0, 0, 0, STRETCH))
        self.marks = Marks(self._file)
        self.since = time.monotonic()
        self.process: subprocess.Popen[bytes] = self._world.process(
            self.name,
            module="tests.integration.profile.killed_worker",
            log_file=self._world.directory / f"{self.name}.log",
            WORKER_MARKS=str(self._file),
            PROFILE_INSTANCE_ID=self.name,
            PROFILE_HTTP_PORT=str(self.port),
            PROFILE_MAX_BATCH_RECORDS="100",
        )

    async def at_work(self, more: Callable[[], Awaitable[None]]) -> float:
        """Wait for the first batch since the start; how long it took.

        The other worker may have read everything before this one had a partition: `more` publishes events again.
        """
        for _ in range(PATIENCE_S // 2):
            try:
                within(2, lambda: self.marks.read()[2] > 0 or self.process.poll() is not None, every=0.005)
            except AssertionError:
                await more()
            else:
                assert self.process.poll() is None, self.last_output()
                return time.monotonic() - self.since
        raise AssertionError(f"{self.name} has no batch after {PATIENCE_S} s\n{self.last_output()}")

    def kill(self) -> bool:
        """SIGKILL; was a batch in work, or settled and not committed?"""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        agents, uncommitted, *_ = self.marks.read()
        return agents > 0 or uncommitted > 0

    def hurry(self) -> None:
        """Stand still no more."""
        self.marks.put(3, 0)

    def last_output(self) -> str:
        return (self._world.directory / f"{self.name}.log").read_text(errors="replace")[-3000:]


async def killed_again_and_again(world: World, published: Story, kills: int, rnd: random.Random) -> Outcome:
    """Publish a share, kill a worker in the midst of it, start it again; until all is folded and committed."""
    began, in_hand, longest = time.monotonic(), 0, 0.0
    victims = [Victim(world, name) for name in ("one", "two")]
    try:
        share = len(published.messages) // kills
        for turn in range(kills):
            messages = published.messages[turn * share : None if turn == kills - 1 else (turn + 1) * share]
            if turn == kills // 2:
                messages = messages + published.moves

            async def publish(share: list[tuple[str, dict[str, Any]]] = messages) -> None:
                for stream in ("cm_user", "cm_activity"):
                    await world.publish(stream, *(message for name, message in share if name == stream))

            await publish()
            victim = victims[turn % 2]
            longest = max(longest, await victim.at_work(publish))
            await asyncio.sleep(rnd.random() * 0.4)
            in_hand += victim.kill()
            victim.start()
        for victim in victims:
            victim.hurry()
        within(180, lambda: _drained(world, victims), every=0.2)
    finally:
        for victim in victims:
            victim.process.terminate()
        for victim in victims:
            victim.process.wait(30)
    return Outcome(kills, in_hand, time.monotonic() - began, longest, {victim.name: victim.port for victim in victims})


async def rows(world: World, disk: str, ports: dict[str, int]) -> dict[bytes, Any]:
    """Every row that two workers have on their disks, with all that it holds."""
    found: dict[bytes, Any] = {}
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(world.running(disk + name, instance_id=name, http_port=port))
            for name, port in ports.items()
        ]
        for worker in workers:
            await worker.app.settled()
        assert sum(len(worker.table.owned()) for worker in workers) == PARTITIONS
        for worker in workers:
            for partition in worker.table.owned():
                async for part in worker.table.scan(partition):
                    for row in part:
                        found[row.key] = (row.data, sorted(row.positions.items()))
    return found


def public(found: dict[bytes, Any]) -> dict[str, dict[str, Any]]:
    """The profiles among the rows; the others are tombstones."""
    return {key.decode(): profile.fields.public() for key, (profile, _) in found.items() if profile.fields}


def _drained(world: World, victims: list[Victim]) -> bool:
    """Whether everything is committed: offsets first, then ends, so that nothing may have come in between."""
    for victim in victims:
        assert victim.process.poll() is None, victim.last_output()
    for topic in SOURCES:
        name = world.namespace + topic
        group = world.namespace + "cm-profiles"
        committed = kafka_io.committed(world.bootstrap_servers, group, name, PARTITIONS)
        ends = _ends(world.bootstrap_servers, name)
        if any(max(at, 0) < end for at, end in zip(committed, ends, strict=True)):
            return False
    return True


def _ends(bootstrap_servers: str, topic: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "witness"})
    try:
        parts = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        return [consumer.get_watermark_offsets(part, timeout=30)[1] for part in parts]
    finally:
        consumer.close()
