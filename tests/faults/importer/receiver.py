"""A webhook receiver process that tests start and kill."""

import os
import subprocess
import sys
from pathlib import Path

from connectors.devkit.embedded_kafka.launch import free_ports
from connectors.devkit.simulator.server import Simulator
from connectors.kafka.settings import KafkaSettings
from tests.faults.importer.processes import ROOT


class Receiver:
    """One process, always on the same port; who is killed is started again."""

    def __init__(self, kafka: KafkaSettings, simulator: Simulator, directory: Path, check_seconds: float = 5) -> None:
        (port,) = free_ports(1)
        self._log = directory / "receiver.log"
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "KAFKA_PARTITIONS": str(kafka.partitions),
            "KAFKA_SESSION_TIMEOUT_SECONDS": "6",
            "KAFKA_DELIVERY_TIMEOUT_SECONDS": "5",
            "CM_BASE_URL": simulator.base_url,
            "CM_API_KEY": simulator.api_key,
            "WEBHOOK_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "WEBHOOK_PORT": str(port),
            "WEBHOOK_SECRET": "a-secret-of-the-tests",
            "WEBHOOK_CHECK_SECONDS": str(check_seconds),
        }
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as output:
            command = [sys.executable, "-m", "tests.faults.importer.receiver_process"]
            return subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=output, stderr=output)

    def kill(self) -> None:
        """SIGKILL it and start it again."""
        self.end()
        self._process = self._start()

    def stop(self) -> int:
        """SIGTERM it; return its exit code."""
        self._process.terminate()
        return self._process.wait(30)

    def end(self) -> None:
        """Leave nothing running."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
