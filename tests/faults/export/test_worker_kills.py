"""Export workers that are killed: each change has one receipt, the list is what it should be, no mail is sent twice.

Two processes as `cm-streams worker export` starts them, a broker that may be killed and started again on its data, the
simulator with faults of the API, and people who unsubscribe under way. `FAULT_KILLS` is the number of SIGKILLs of
workers, `FAULT_BROKER_KILLS` of the broker (after which it takes minutes: who has no answer is read alone),
`FAULT_CHANGES` about how many changes there are, `FAULT_LATENCY_MS` how long a call takes, `FAULT_SEED` the dice. The
changes come in waves that are large enough to be sent before rows are written; the people of the first are there before
the job, which finds them as a backfill.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.simulator.server import Simulator
from connectors.devkit.simulator.settings import SimulatorSettings
from tests.deadline import eventually
from tests.faults.export.killing import Play, Workers, folded, judge, more, receipt_count
from tests.integration.importer.importing import kafka_settings

KILLS = int(os.environ.get("FAULT_KILLS", "3"))
SEED = int(os.environ.get("FAULT_SEED", str(random.randrange(10_000))))
CHANGES = int(os.environ.get("FAULT_CHANGES", str(2_800 + 800 * KILLS)))
BROKER_KILLS = min(int(os.environ.get("FAULT_BROKER_KILLS", "0")), max(0, KILLS - 1))
LATENCY_MS = int(os.environ.get("FAULT_LATENCY_MS", "100"))
# In every wave a fifth of the people enter twice, and a seventh of those before a third time.
PEOPLE = int(CHANGES / (1.2 + KILLS / (KILLS + 1) / 7))
BOUNDARIES = (
    "after-read",
    "after-note",
    "before-call",
    "after-call",
    "after-receipts",
    "before-changelog",
    "inside-changelog",
    "after-changelog",
    "after-store",
    "after-settle",
    "after-commit",
    "after-mark",
    "inside-recovery",
    "after-recovery",
)
ONCE_A_LIFE = ("inside-recovery", "after-recovery")
TIMES = max(1, KILLS // 12)
Count = Callable[[str, object], None]


@pytest.fixture
def started() -> Iterator[list[Workers]]:
    made: list[Workers] = []
    yield made
    for workers in made:
        workers.end()


@contextlib.asynccontextmanager
async def playing(
    broker: EmbeddedKafka, namespace: str, directory: Path, started: list[Workers], failing: float, count: Count
) -> AsyncIterator[Play]:
    """Two workers, and an API of whose calls thrice `failing` fail; the job finds the first wave as a backfill."""
    times = {"session_timeout_seconds": 6.0, "delivery_timeout_seconds": 5.0}
    kafka = kafka_settings(broker.bootstrap_servers, namespace).model_copy(update=times)
    async with Simulator(SimulatorSettings(latency_ms=LATENCY_MS)) as simulator:
        client_id = simulator.controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        list_id = simulator.controls.add_list(client_id, "Newsletter")
        for kind, change in (("status", {"status": 500}), ("reset", {"after": True}), ("truncate", {})):
            simulator.controls.inject(
                kind=kind, probability=failing, count=None, seed=SEED, path="/subscribers/*", **change
            )
        workers = Workers(kafka, simulator, directory)
        started.append(workers)
        play = Play(kafka, simulator, client_id, list_id, workers, datetime.now(UTC) - timedelta(minutes=20))
        play.wave(PEOPLE // (KILLS + 1))
        await eventually(lambda: folded(kafka), seconds=90, every=0.5)
        await play.put_job("City")
        yield play
        answered = 0
        while answered < play.changes:  # slowly: whose call has no answer is read alone
            await eventually(lambda seen=answered: more(kafka, seen), seconds=150, every=1.0)
            answered = await asyncio.to_thread(receipt_count, kafka)
        assert workers.defects() == []
        simulator.controls.clear_faults()
        judge(play, count)


@pytest.mark.slow
@pytest.mark.timeout(240 + 40 * KILLS + 200 * BROKER_KILLS)
async def test_killed_at_random(
    own_broker: EmbeddedKafka, namespace: str, tmp_path: Path, started: list[Workers], record_property: Count
) -> None:
    print(f"FAULT_SEED={SEED}")
    dice = random.Random(SEED)
    broker_kills = set(dice.sample(range(1, KILLS), BROKER_KILLS)) if BROKER_KILLS > 0 else set()
    async with playing(own_broker, namespace, tmp_path, started, 0.01, record_property) as play:
        for wave in range(KILLS + 1):
            if wave:
                play.wave(PEOPLE // (KILLS + 1))
                play.unsubscribe(range(wave % 23, play.people, 23 * wave))
            answered = await asyncio.to_thread(receipt_count, play.kafka)
            await eventually(lambda seen=answered: more(play.kafka, seen), seconds=90, every=0.1)
            await asyncio.sleep(dice.random() * 0.6)
            if wave < KILLS:
                play.workers.kill(dice.randrange(2))
            if wave in broker_kills:
                await asyncio.to_thread(own_broker.kill)
                await asyncio.to_thread(own_broker.start)
    assert len(play.left) > play.people // 100 or not KILLS


@pytest.mark.slow
@pytest.mark.timeout(300 + 60 * TIMES * len(BOUNDARIES))
async def test_killed_at_every_boundary(
    own_broker: EmbeddedKafka, namespace: str, tmp_path: Path, started: list[Workers], record_property: Count
) -> None:
    print(f"FAULT_SEED={SEED}")
    dice = random.Random(SEED)
    points = [f"{point}:{1 if point in ONCE_A_LIFE else time}" for point in BOUNDARIES for time in range(1, TIMES + 1)]
    dice.shuffle(points)
    # A call that fails lets the list wait, and after each kill thousands are read alone: an hour at one in thirty.
    async with playing(own_broker, namespace, tmp_path, started, 0.002, record_property) as play:
        for number, point in enumerate(points):
            if "recovery" in point:
                play.workers.wipe(0)
            play.workers.kill(0, kill_at=point)
            if "mark" in point:
                await play.put_job(f"City {number}")
            for _ in range(20):
                play.wave(500)
                if await asyncio.to_thread(play.workers.has_ended, 0, 6.0):
                    break
            assert play.workers.processes[0].returncode == -9, f"{point} was not reached"
            play.unsubscribe(range(number % 23, play.people, 23 * (number + 1)))
            if number == len(points) // 2:
                await asyncio.to_thread(own_broker.kill)
                await asyncio.to_thread(own_broker.start)
        play.workers.kill(0)
    assert len(play.left) > play.people // 100
