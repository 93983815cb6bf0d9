"""Both workers on a disk that is full when a store is written, when its changelog is loaded, and at the start; their
logs on one.
"""

import json
import random
import shutil
import subprocess
from string import ascii_letters

import pytest

from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from streams.batches import ExitCode
from tests import kafka_io
from tests.deadline import within
from tests.faults.edges.real_workers import PARTITIONS
from tests.unit.cli.test_no_broker import asked

DISK = 64 << 20
PEOPLE = 250
ROW_BYTES = 100_000
"""What the people's rows take together, 25 MB, is more than a worker keeps in memory before it writes (16 MiB)."""
FIELD_BYTES = 10_000
"""An event is refused whose fields hold more than 16,384 bytes each."""
SENTENCE = "free space or repair the disk"
INPUTS = {"profiles": "cm_activity", "export": "audience-membership"}


class Disk:
    """A file system of its own for both workers' stores, whose free space the test sets."""

    def __init__(self, path):
        self.path = path

    def leave(self, size):
        """Fill the disk until `size` bytes are free."""
        filler = self.path / "filler"
        filler.unlink(missing_ok=True)
        with filler.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(self.path).free - size)))


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield Disk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def large_events():
    """Yield (key, value of cm_activity, value of audience-membership) of each person."""
    for number in range(PEOPLE):
        email = f"person{number}@example.com"
        text = "".join(random.Random(number).choices(ascii_letters, k=ROW_BYTES))
        activity = {"event_id": f"{number:032x}", "event": "open", "email": email, "city": text}
        user = {f"field{start}": text[start : start + FIELD_BYTES] for start in range(0, ROW_BYTES, FIELD_BYTES)}
        change = {"change": "enter", "email": email, "audience": {"id": "vip", "name": "VIP"}, "user": user}
        at = {"at": "2025-01-01T00:00:00Z"}
        yield email.encode(), json.dumps({**activity, **at, "source": "webhook"}), json.dumps({**change, **at})


def test_a_full_disk_ends_both_workers_with_a_sentence(start, disk, bootstrap_servers, namespace, tmp_path):
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    names = kafka.names()
    keys, activities, changes = zip(*large_events(), strict=True)
    for role, values in (("cm_activity", activities), ("audience-membership", changes)):
        kafka_io.produce(bootstrap_servers, names[role], zip(keys, values, strict=True))

    def ends_with_a_sentence():
        workers = {name: start(name, 0, disk.path / name) for name in INPUTS}
        for name, worker in workers.items():
            log = tmp_path / f"{name}.log"
            assert worker.wait(60) == ExitCode.STORE, log.read_text()[-3000:]
            assert SENTENCE in log.read_text().splitlines()[-1]
            assert "Traceback" not in log.read_text()
            log.write_text("")

    disk.leave(1 << 20)
    ends_with_a_sentence()  # rows are written
    for size in (1 << 20, 0):
        for name in INPUTS:
            shutil.rmtree(disk.path / name)
        disk.leave(size)
        ends_with_a_sentence()  # the changelog is loaded; a store is opened


def test_a_log_on_a_full_disk_ends_no_worker(start, disk, bootstrap_servers, namespace, tmp_path):
    """Its lines are lost, and nothing else: profiles are folded, what is refused is kept, a stop is clean."""
    kafka = KafkaSettings(
        _env_file=None, bootstrap_servers=bootstrap_servers, topic_prefix=namespace, partitions=PARTITIONS
    )
    ensure_topics(kafka, create=True)
    names = kafka.names()
    for name in INPUTS:
        (tmp_path / f"{name}.log").symlink_to(disk.path / f"{name}.log")
        (disk.path / f"{name}.log").touch()
    disk.leave(0)
    ports = dict(zip(INPUTS, free_ports(len(INPUTS)), strict=True))
    workers = {name: start(name, ports[name]) for name in INPUTS}
    for port in ports.values():
        within(60, lambda port=port: (asked(f"http://127.0.0.1:{port}/ready") or [0])[0] == 200)
    activity = {"event_id": "1" * 32, "event": "open", "email": "ann@example.com", "at": "2025-01-01T00:00:00Z"}
    for role, value in (("cm_activity", activity | {"source": "webhook"}), ("audience-membership", {"change": []})):
        kafka_io.produce(bootstrap_servers, names[role], [(b"ann@example.com", json.dumps(value))])
    for output in ("cm_profile", "audience-membership.dlq"):
        within(30, lambda output=output: kafka_io.read_all(bootstrap_servers, names[output]))
    assert all((disk.path / f"{name}.log").stat().st_size == 0 for name in INPUTS), "the disk was not full"
    disk.leave(1 << 20)
    for worker in workers.values():
        worker.terminate()
    for name, worker in workers.items():
        assert worker.wait(30) == 0, (tmp_path / f"{name}.log").read_text()
        assert (disk.path / f"{name}.log").stat().st_size > 0, "nothing is written where there is space again"
