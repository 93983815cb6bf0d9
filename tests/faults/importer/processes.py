"""Processes that tests start and kill: import connectors, whose logs show whether they had work, and a receiver.

Run as a module it is one of them: `python -m tests.faults.importer.processes connector` or `receiver`.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import uvloop

from connectors import logs
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.crypto import ControlSettings
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator.server import Simulator
from connectors.importer.run import run as run_connector
from connectors.importer.settings import ImporterSettings
from connectors.kafka.settings import KafkaSettings
from connectors.webhook.run import run as run_receiver
from connectors.webhook.settings import WebhookSettings
from tests.deadline import eventually

ROOT = Path(__file__).parent.parent.parent.parent


class ConnectorProcesses:
    """So many processes of one group; one that is killed is started again."""

    def __init__(
        self, count: int, kafka: KafkaSettings, base_url: str, api_key: str, directory: Path, **imports: object
    ):
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
        self._logs = directory
        self._started: dict[int, int] = {}
        self.processes = [self._start(number) for number in range(count)]

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        self._started[number] = len(self._logged(number, since=0))
        with self._log(number).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.faults.importer.processes", "connector"],
                env=self._environment,
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )

    def _log(self, number: int) -> Path:
        return self._logs / f"connector-{number}.log"

    def _logged(self, number: int, since: int) -> list[str]:
        log = self._log(number)
        # A line that a kill has cut has no end of its own.
        return log.read_text().splitlines()[since:] if log.exists() else []

    def has_work(self, number: int) -> bool:
        """Return whether the group has given it partitions since it was started last."""
        owned: set[int] = set()
        for line in self._logged(number, self._started[number]):
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
            await eventually(lambda of=number: self._logged(of, self._started[of]), seconds=60, every=0.1)
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


class ReceiverProcess:
    """One webhook receiver, always on the same port; it is started again when it is killed."""

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
            command = [sys.executable, "-m", "tests.faults.importer.processes", "receiver"]
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


def main(role: str) -> None:
    """Run as a connector or a receiver, all settings from the environment."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    kafka, campaign_monitor, control = KafkaSettings(), CampaignMonitorSettings(), ControlSettings()
    if role == "connector":
        logs.configure("json", "info", process="connector")
        asyncio.run(run_connector(kafka, campaign_monitor, control, ImporterSettings()))
    else:
        logs.configure("console", "info", process="webhooks")
        asyncio.run(run_receiver(kafka, campaign_monitor, control, WebhookSettings()))


if __name__ == "__main__":
    main(sys.argv[1])
