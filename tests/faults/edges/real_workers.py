"""Both workers, as `make run` starts them."""

import contextlib
import os
import subprocess
import sys

import pytest

from connectors.control.crypto import new_key
from tests.unit.cli.test_no_broker import environment

PARTITIONS = 2


@pytest.fixture
def start(bootstrap_servers, namespace, tmp_path):
    """Starts a worker as `make run` does, with a data directory and a log of its own; returns the process."""
    with contextlib.ExitStack() as stack:

        def started(name, port, data_dir=None):
            settings = environment(
                data_dir or tmp_path / name,
                bootstrap_servers,
                KAFKA_TOPIC_PREFIX=namespace,
                KAFKA_PARTITIONS=str(PARTITIONS),
                PROFILE_APP_ID=f"{namespace}p",
                PROFILE_INSTANCE_ID="one",  # a static member: after a kill it is back in the group at once
                PROFILE_PUBLIC_URL="http://127.0.0.1:9",
                EXPORT_INSTANCE_ID="one",
                EXPORT_APP_ID=f"{namespace}e",
                CONTROL_ENCRYPTION_KEY=new_key(),
                STREAMS_HEALTH_PORT=str(port),
            )
            log = stack.enter_context((tmp_path / f"{name}.log").open("ab"))
            command = [sys.executable, "-m", "streams.cli", "worker", name]
            process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield started
