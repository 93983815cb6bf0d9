"""Commands of the suite `command-line` that look at every person: an export's plan and comparison, a rebuild."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from benchmarks.contest import Bench, WrongOutputError
from benchmarks.job import PARTITIONS
from benchmarks.measure import ROOT
from benchmarks.suites.export_world import world
from benchmarks.suites.waiting import until
from benchmarks.topics import Message
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings

COMMAND = (sys.executable, "-m", "streams.cli")
PEOPLE, RECORDS = 10_000, 4_000
RUNS = 5
BEGAN = "2026-01-01T00:00:00.000Z"
MAX_ALL_MS = 3_000.0
"""For all people of an export: who asks waits at a terminal."""
MAX_BUILD_MS, MAX_DIFF_MS = 8_000.0, 3_000.0
"""A build starts a stream processor, and stops it again."""


class Timed(NamedTuple):
    """A command, how long each of its runs took, and how long it may take at the median."""

    workload: str
    milliseconds: list[float]
    limit: float


def run_command(settings: Mapping[str, str], *arguments: str) -> tuple[float, bytes]:
    """Return the milliseconds that a command takes, and its answer. Raises WrongOutputError."""
    began = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments], env=os.environ | settings, cwd=ROOT, capture_output=True, check=False)
    taken = (time.perf_counter() - began) * 1000
    if done.returncode:
        raise WrongOutputError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-500:].decode()}")
    return taken, done.stdout


def export_commands(bench: Bench) -> list[Timed]:
    """Time `export plan` and `export reconcile` when everybody of a list was delivered. Raises WrongOutputError."""
    few = bench.check_only or bench.quick
    people = [f"person{number}@example.com" for number in range(100 if few else PEOPLE)]
    taken: dict[str, list[float]] = {"export plan": [], "export reconcile": []}
    with world(bench, "commands") as here:
        here.job()
        with here.worker(8):
            for person in people:
                here.send(person, "enter")
            here.producer.flush(10)
            until(lambda: here.active() == len(people) and here.folded(), 120, f"{len(people):,} people on the list")
            for _ in range(2 if few else RUNS):
                for command, found in taken.items():
                    milliseconds, answer = run_command(here.environment(), *command.split(), "bench", "--json")
                    body = orjson.loads(answer)
                    count = body["unchanged" if command == "export plan" else "compared"]
                    if count != len(people):
                        raise WrongOutputError(f"{command} counts {count:,} people: {body}")
                    found.append(milliseconds)
    return [Timed(f"{command}, {len(people):,} people", found, MAX_ALL_MS) for command, found in taken.items()]


def fresh_topics(bench: Bench, name: str) -> tuple[KafkaSettings, Path, dict[str, str]]:
    """Create all topics under a prefix of their own; returns it, an empty directory, and a process's environment."""
    prefix, directory = bench.fresh(name)
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bench.topics.bootstrap, topic_prefix=prefix, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": prefix,
        "KAFKA_PARTITIONS": str(PARTITIONS),
    }
    return kafka, directory, settings


def rebuild_commands(bench: Bench) -> list[Timed]:
    """Time `mapping rebuild` and `--diff` where every profile differs. Raises WrongOutputError."""
    few = bench.check_only or bench.quick
    records = 100 if few else RECORDS
    kafka, directory, settings = fresh_topics(bench, "command-line-rebuild")
    settings["STREAMS_DATA_DIR"] = str(directory)
    topic = kafka.names()["cm_activity"]
    try:
        bench.topics.fill(_activity(topic, number) for number in range(records))
        built: list[float] = []
        compared: list[float] = []
        for found, options in ((built, ()), *((compared, ("--diff",)) for _ in range(2 if few else 3))):
            milliseconds, answer = run_command(settings, "mapping", "rebuild", "--json", *options)
            if (count := answer.count(b"\n")) != records:
                raise WrongOutputError(f"mapping rebuild {' '.join(options)} shows {count:,} profiles, not {records:,}")
            found.append(milliseconds)
    finally:
        bench.topics.delete(kafka.topic_prefix)
    return [
        Timed(f"mapping rebuild, {records:,} records", built, MAX_BUILD_MS),
        Timed(f"mapping rebuild --diff, {records:,} profiles", compared, MAX_DIFF_MS),
    ]


def _activity(topic: str, number: int) -> Message:
    email = f"person{number}@example.com"
    body = {"event_id": f"{number:032x}", "event": "open", "email": email, "at": BEGAN, "source": "webhook"}
    return Message(topic, email.encode(), orjson.dumps(body))
