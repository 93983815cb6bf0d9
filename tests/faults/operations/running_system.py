"""All processes as they are deployed, with a broker, a local Campaign Monitor and Prometheus of their own."""

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr

from connectors.control.crypto import new_key
from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.ports import free_ports
from connectors.webhook.body import path_of
from tests import kafka_io
from tests.deadline import within
from tests.faults.operations.scaled_rules import LOOK_SECONDS, RULES, scaled_rules
from tests.prometheus import program
from tests.unit.cli.test_no_broker import environment

ROOT = Path(__file__).parents[3]
VERBS = {"export-worker": ("worker", "export"), "profile-worker": ("worker", "profiles")}
PROCESSES = ("export-worker", "profile-worker", "connector", "webhooks")
BESIDE = "second-profile-worker"
PARTITIONS = 1
"""A second worker of a group is a standby then."""
API_KEY = "a-key-of-the-tests"
SECRET = "a-secret-of-the-tests-which-is-long-enough"
START_SECONDS = 240.0
"""Of all processes at once, on two cores that others use as well."""
FIRE_SECONDS = 90.0
"""Until an alert fires or clears: a few times what the scaled rule needs."""


class RunningSystem:
    """Starts and ends processes, acts as Campaign Monitor's people, and asks Prometheus what fires."""

    def __init__(self, directory: Path, broker: EmbeddedKafka, data_dir: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.data_dir = data_dir
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[list[str], dict[str, str]]] = {}
        self._simulator, self._prometheus, self._receiver, *health = free_ports(3 + len(PROCESSES) + 1)
        self._health = dict(zip((*PROCESSES, BESIDE), health, strict=True))
        self._environment = environment(
            directory,
            broker.bootstrap_servers,
            KAFKA_PARTITIONS=str(PARTITIONS),
            KAFKA_SESSION_TIMEOUT_SECONDS="6",
            KAFKA_DELIVERY_TIMEOUT_SECONDS="5",
            KAFKA_RECONNECT_BACKOFF_MAX_SECONDS="0.5",
            CM_BASE_URL=f"http://127.0.0.1:{self._simulator}/api/v3.3",
            CM_OAUTH_URL=f"http://127.0.0.1:{self._simulator}/oauth",
            CM_OAUTH_CLIENT_ID="cm-streams",
            CM_OAUTH_CLIENT_SECRET="simulator-secret",
            CONTROL_ENCRYPTION_KEY=new_key(),
            EXPORT_PROBE_SECONDS="1",
            IMPORT_PARK_SECONDS="1",
            STREAMS_LOG_FORMAT="json",
            WEBHOOK_SECRET=SECRET,
            WEBHOOK_PORT=str(self._receiver),
            WEBHOOK_PUBLIC_URL=f"http://127.0.0.1:{self._receiver}",
            WEBHOOK_CHECK_SECONDS="1",
            WEBHOOK_PUBLISH_TIMEOUT_SECONDS="1",
        )

    def start_all(self) -> None:
        """Start everything, and return when each process is ready and Prometheus has seen it."""
        self.command("check-topics", "--create")
        self._start_program(
            "simulator",
            [*_CLI, "simulator", "--port", str(self._simulator), "--subscribers", "60", "--activity", "100"],
            {"CM_API_KEY": API_KEY},
        )
        for name in PROCESSES:
            self.start(name)
        self._start_prometheus()
        within(START_SECONDS, lambda: self.healthy("simulator"), every=0.1)
        within(START_SECONDS, lambda: all(self.ready(name) for name in PROCESSES), every=0.2)
        self.command("auth", "add", "--id", "main", CAMPAIGN_MONITOR_API_KEY=API_KEY)

    def start(self, name: str, **settings: str) -> None:
        """Start one of the processes, or the second profile worker."""
        verbs = ("worker", "profiles") if name == BESIDE else VERBS.get(name, (name,))
        own = {"STREAMS_DATA_DIR": str(self.data_dir / name), "STREAMS_HEALTH_PORT": str(self._health[name])}
        self._start_program(name, [*_CLI, *verbs], {**own, **settings})

    def _start_program(self, name: str, command: list[str], settings: Mapping[str, str] = {}) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, env={**self._environment, **settings}, cwd=ROOT, stdout=log, stderr=log
            )

    def stop(self, name: str) -> int:
        """SIGTERM one; return its exit code."""
        self._running[name].terminate()
        return self._running[name].wait(60)

    def wait(self, name: str) -> int:
        """Return the exit code of one that ends by itself."""
        return self._running[name].wait(60)

    def kill(self, name: str) -> None:
        """SIGKILL one."""
        self._running[name].kill()
        self._running[name].wait()

    def close(self) -> None:
        """Leave nothing running."""
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def log_of(self, name: str) -> str:
        """Return the end of what a process wrote."""
        return (self.directory / f"{name}.log").read_text()[-3000:]

    def command(self, *arguments: str, **settings: str) -> str:
        """Run a command of cm-streams; returns what it wrote. Fails with that unless it ends with 0."""
        done = subprocess.run(
            [*_CLI, *arguments], env={**self._environment, **settings}, cwd=ROOT, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def simulate(self, verb: str, **arguments: object) -> Any:
        """Carry out a verb of the local Campaign Monitor."""
        url = f"http://127.0.0.1:{self._simulator}/simulator/do/{verb}"
        return json.loads(_post(url, json.dumps(arguments).encode())[1])["result"]

    def list_ids(self) -> dict[str, tuple[str, str]]:
        """Return (client, list) of the account by the list's title."""
        return {found["Title"]: (found["ClientID"], found["ListID"]) for found in self.simulate("find_lists")}

    def post_webhook(self, list_id: str, body: bytes) -> int:
        """Post to the receiver as Campaign Monitor does; returns the status."""
        path = path_of(SecretStr(SECRET), list_id)
        return _post(f"http://127.0.0.1:{self._receiver}{path}", body)[0]

    def publish(self, topic: str, records: Iterable[tuple[Any, ...]]) -> None:
        """Publish (key, value)."""
        kafka_io.produce(self.broker.bootstrap_servers, topic, records)

    def configure_topics(self, topics: Iterable[str], name: str, value: str | None) -> None:
        """Set a topic setting, or take it back with None."""
        operation = AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET
        entry = ConfigEntry(name, value or "", incremental_operation=operation)
        resources = [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry]) for topic in topics]
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap_servers})
        for done in admin.incremental_alter_configs(resources).values():
            done.result(30)

    def healthy(self, name: str) -> bool:
        """Whether the simulator serves."""
        return _get(f"http://127.0.0.1:{self._simulator}/{name}/health") is not None

    def ready(self, name: str) -> bool:
        """Whether /ready answers 200."""
        return _get(f"http://127.0.0.1:{self._health[name]}/ready") is not None

    def metrics(self, name: str) -> str:
        """Return what a process shows on /metrics, nothing while it does not answer."""
        return _get(f"http://127.0.0.1:{self._health[name]}/metrics") or ""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        asked = urllib.parse.urlencode({"query": expression})
        answer = _get(f"http://127.0.0.1:{self._prometheus}/api/v1/query?{asked}")
        return json.loads(answer)["data"]["result"] if answer else []

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        answer = _get(f"http://127.0.0.1:{self._prometheus}/api/v1/alerts")
        alerts = json.loads(answer)["data"]["alerts"] if answer else []
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def await_firing(
        self, *names: str, meanwhile: Callable[[], object] = lambda: None, seconds: float = FIRE_SECONDS
    ) -> None:
        """Return when each of the alerts has been seen to fire, not necessarily all at once."""
        seen: set[str] = set()

        def look() -> bool:
            meanwhile()
            seen.update(self.firing())
            return seen.issuperset(names)

        try:
            within(seconds, look, every=LOOK_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{set(names) - seen} did not fire; {seen} did") from error

    def await_clear(
        self, *names: str, meanwhile: Callable[[], object] = lambda: None, seconds: float = FIRE_SECONDS
    ) -> None:
        """Return when none of the alerts fires."""

        def look() -> bool:
            meanwhile()
            return self.firing().isdisjoint(names)

        try:
            within(seconds, look, every=LOOK_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{self.firing() & set(names)} did not clear") from error

    def _start_prometheus(self) -> None:
        directory = self.directory / "prometheus"
        directory.mkdir()
        (directory / "rules.yaml").write_text(scaled_rules(RULES.read_text(encoding="utf-8")), encoding="utf-8")
        often = f"{round(LOOK_SECONDS * 1000)}ms"
        configuration = {
            "global": {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": often},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {
                    "job_name": "cm-streams",
                    "file_sd_configs": [{"files": ["targets.yaml"], "refresh_interval": "1s"}],
                }
            ],
        }
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self._directory_of_targets = directory
        self.scrape(PROCESSES)
        self._start_program(
            "prometheus.server",
            [
                str(program("prometheus")),
                f"--config.file={directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._prometheus}",
                "--log.level=warn",
            ],
        )

    def scrape(self, names: Iterable[str]) -> None:
        """Let Prometheus scrape these processes and no other, as service discovery does."""
        targets = [{"targets": [f"127.0.0.1:{self._health[name]}" for name in names]}]
        partial = self._directory_of_targets / "targets.partial"
        partial.write_text(yaml.safe_dump(targets), encoding="utf-8")
        partial.replace(self._directory_of_targets / "targets.yaml")


_CLI = [sys.executable, "-m", "streams.cli"]


def _get(url: str) -> str | None:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        text: str = answer.read().decode()
        return text
    return None


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()
