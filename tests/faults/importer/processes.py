"""Connector processes that tests start and kill. Their logs show whether they had work in hand."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson

from connectors.kafka.settings import KafkaSettings
from tests.deadline import eventually

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
        self._started: dict[int, int] = {}
        self.processes = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        self._started[number] = len(self._said(number, since=0))
        with self._log(number).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.faults.importer.connector_process"],
                env=self._environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def _log(self, number: int) -> Path:
        return self._logs / f"connector-{number}.log"

    def _said(self, number: int, since: int) -> list[str]:
        log = self._log(number)
        # A line that a kill has cut has no end of its own.
        return log.read_text().splitlines()[since:] if log.exists() else []

    def has_work(self, number: int) -> bool:
        """Return whether the group has given it partitions since it was started last."""
        owned: set[int] = set()
        for line in self._said(number, self._started[number]):
            event = _event(line)
            if event.get("event") == "partitions assigned":
                owned |= set(event["partitions"])
            elif event.get("event") == "partitions revoked":
                owned -= set(event["partitions"])
        return bool(owned)

    def kill(self, number: int) -> None:
        """SIGKILL one and start it again."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start(number)

    def pause(self, number: int) -> None:
        """SIGSTOP one."""
        self.processes[number].send_signal(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """SIGCONT one."""
        self.processes[number].send_signal(signal.SIGCONT)

    async def stop(self) -> list[int]:
        """SIGTERM all, as soon as they listen to it; return their exit codes."""
        for number, process in enumerate(self.processes):
            process.send_signal(signal.SIGCONT)
            # One that was started a moment ago still loads its modules, and Python's own answer to SIGTERM is -15.
            await eventually(lambda of=number: self._said(of, self._started[of]), seconds=60, every=0.1)
            process.terminate()
        return [process.wait(30) for process in self.processes]

    def end(self) -> None:
        """Leave nothing running."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _event(line: str) -> dict[str, Any]:
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return event if isinstance(event, dict) else {}
