"""One running system for all faults of a module: each test cures what it breaks."""

import json
import os
import subprocess
from datetime import UTC, datetime

import pytest

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from tests.faults.operations.running_system import RunningSystem

DISK_BYTES = 256 << 20


def enters(people, audience="vip"):
    """Return records of audience-membership in which people enter an audience now."""
    return [
        (
            email.encode(),
            json.dumps(
                {
                    "change": "enter",
                    "email": email,
                    "audience": {"id": audience, "name": audience.upper()},
                    "at": datetime.now(UTC).isoformat(),
                    "user": {},
                }
            ),
        )
        for email in people
    ]


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A file system of its own for the stores; an ordinary directory where none can be mounted."""
    path = tmp_path_factory.mktemp("stores")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    yield path
    if mounted:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def system(tmp_path_factory, disk):
    """The running system, with an export of everybody and an import that is kept updated."""
    directory = tmp_path_factory.mktemp("system")
    with EmbeddedKafka(directory / "broker", quick_jit=True) as broker:
        running = RunningSystem(directory, broker, disk)
        try:
            running.start_all()
            client, newsletter = running.list_ids()["Newsletter"]
            _client, exported = running.list_ids()["Audience export"]
            account = ("--authorization", "main", "--client", client, "--no-check")
            running.command("job", "create-export", *account, "--list", exported, "--id", "everybody")
            running.command(
                *("job", "create-import", *account, "--list", newsletter, "--id", "news"),
                *("--keep-updated", "--interval", "60"),
            )
            running.client, running.newsletter, running.exported = client, newsletter, exported
            running.publish("audience-membership", enters(f"known{number}@example.com" for number in range(5)))
            running.await_clear("CmStreamsProcessDown", "CmStreamsNotReady")
            yield running
        finally:
            running.close()
            if os.environ.get("FAULT_LOGS"):
                for log in directory.glob("*.log"):
                    print(f"--- {log.name}\n{log.read_text()[-4000:]}")
