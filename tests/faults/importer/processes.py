"""Connector processes that tests start and kill."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from connectors.kafka.settings import KafkaSettings

ROOT = Path(__file__).parent.parent.parent.parent


class Connectors:
    """So many processes of one group; whoever is killed is started again."""

    def __init__(self, count: int, kafka: KafkaSettings, base_url: str, api_key: str, logs: Path, **imports: object):
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "KAFKA_PARTITIONS": str(kafka.partitions),
            "KAFKA_SESSION_TIMEOUT_SECONDS": str(kafka.session_timeout_seconds),
            "KAFKA_DELIVERY_TIMEOUT_SECONDS": str(kafka.delivery_timeout_seconds),
            "KAFKA_TRANSACTION_TIMEOUT_SECONDS": str(kafka.transaction_timeout_seconds),
            "CM_BASE_URL": base_url,
            "CM_API_KEY": api_key,
            **{f"IMPORT_{name.upper()}": str(value) for name, value in imports.items()},
        }
        self._logs = logs
        self.processes = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        with (self._logs / f"connector-{number}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.faults.importer.connector_process"],
                env=self._environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def kill(self, chance: random.Random) -> int:
        """SIGKILL one at random and start it again; return which."""
        number = chance.randrange(len(self.processes))
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start(number)
        return number

    def pause(self, number: int) -> None:
        """SIGSTOP one."""
        self.processes[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT one."""
        self.processes[number].send_signal(signal.SIGCONT)

    def stop(self) -> list[int]:
        """SIGTERM all; return their exit codes."""
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        return [process.wait(30) for process in self.processes]

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
