"""The broker goes away under a connector and a receiver that run: probes show it, and show when it is there again."""

import contextlib
import subprocess
import sys

import pytest

from connectors.control.crypto import new_key
from connectors.devkit.ports import free_ports
from connectors.kafka.admin import ensure_topics
from connectors.kafka.settings import KafkaSettings
from tests.deadline import within
from tests.unit.cli.test_no_broker import asked, environment

PROCESSES = ("connector", "webhooks")


@pytest.mark.long_fault
def test_ready_of_connector_and_receiver_shows_that_the_broker_is_gone(own_broker, tmp_path):
    ensure_topics(KafkaSettings(bootstrap_servers=own_broker.bootstrap_servers, partitions=1), create=True)
    *probes, receiver = free_ports(3)
    ports = dict(zip(PROCESSES, probes, strict=True))
    with contextlib.ExitStack() as stack:
        for name, port in ports.items():
            settings = environment(
                tmp_path / name,
                own_broker.bootstrap_servers,
                STREAMS_HEALTH_PORT=str(port),
                KAFKA_PARTITIONS="1",
                KAFKA_RECONNECT_BACKOFF_MAX_SECONDS="0.5",
                CONTROL_ENCRYPTION_KEY=new_key(),
                CM_BASE_URL="http://127.0.0.1:9/api/v3.3",
                WEBHOOK_SECRET="s" * 32,
                WEBHOOK_PORT=str(receiver),
            )
            log = stack.enter_context((tmp_path / f"{name}.log").open("w+"))
            process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", name], env=settings, stdout=log, stderr=subprocess.STDOUT
            )
            stack.callback(process.wait)
            stack.callback(process.kill)

        def answers(path, status):
            found = {name: asked(f"http://127.0.0.1:{port}{path}") for name, port in ports.items()}
            return found if all(answer and answer[0] == status for answer in found.values()) else None

        assert within(60, lambda: answers("/ready", 200)), [path.read_text() for path in tmp_path.glob("*.log")]
        own_broker.kill()
        gone = within(20, lambda: answers("/ready", 503))
        for _status, answer in gone.values():
            assert f"no broker of {own_broker.bootstrap_servers} answers" in answer["reason"]
        assert answers("/live", 200)
        own_broker.start()
        assert within(20, lambda: answers("/ready", 200))
    for name in PROCESSES:
        written = (tmp_path / f"{name}.log").read_text()
        assert "Traceback" not in written
        assert (written.count("no broker answers"), written.count("answer again")) == (1, 1), written
