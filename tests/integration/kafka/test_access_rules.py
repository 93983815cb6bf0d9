"""Every process under exactly the rules that `cm-streams acls` prints, with a password and with a certificate.

The broker denies what no rule allows and records each denial, so a rule that is missing is found also where its process
would only warn about it.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from connectors.control.authorizations import Authorizations
from connectors.control.crypto import ControlSettings, Sealer, new_key
from connectors.control.jobs import Jobs
from connectors.devkit.ports import free_ports
from connectors.devkit.simulator import Simulator, SimulatorSettings
from connectors.kafka.acls import AccessRule
from connectors.kafka.admin import ensure_topics
from connectors.kafka.lag import LagReader
from connectors.kafka.producer import AsyncProducer, PublishError
from connectors.kafka.settings import KafkaSettings
from schemas.control import ExportJob, ImportJob
from streams.cli.acls import process_access
from tests.deadline import eventually
from tests.kafka_io import read_all
from tests.secure_kafka import SecureKafka, environment_of, kafka_of

COMMANDS = {
    "export-worker": ["worker", "export"],
    "profile-worker": ["worker", "profiles"],
    "connector": ["connector"],
    "webhooks": ["webhooks"],
    "console": ["console"],
}
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
DENIAL = re.compile(r"Principal = User:(\S+) is Denied operation = (\w+) .* resource = \w+:LITERAL:(\S+) ")
KEY = new_key()
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("secure"), record_denials=True) as secure:
        yield secure


def bindings(principal: str, rule: AccessRule) -> list[AclBinding]:
    pattern = ResourcePatternType.PREFIXED if rule.pattern == "prefixed" else ResourcePatternType.LITERAL
    return [
        AclBinding(
            RESOURCES[rule.resource],
            rule.name,
            pattern,
            f"User:{principal}",
            "*",
            as_operation(name),
            AclPermissionType.ALLOW,
        )
        for name in rule.operations
    ]


def as_operation(name: str) -> AclOperation:
    spelt = "".join("_" + letter if letter.isupper() else letter for letter in name).lstrip("_").upper()
    return AclOperation[spelt]


class Installation:
    """A namespace on the broker: a principal with its rules for each process, and the processes."""

    def __init__(self, secure: SecureKafka, way: str, namespace: str, simulator: Simulator, directory: Path) -> None:
        self.secure, self.namespace, self.simulator, self.directory = secure, namespace, simulator, directory
        self._login: Callable[..., dict[str, Any]] = secure.scram if way == "SCRAM" else secure.mtls
        self.plain = KafkaSettings(
            _env_file=None,
            bootstrap_servers=secure.broker.bootstrap_servers,
            topic_prefix=namespace,
            partitions=1,
        )
        (self.webhook_port,) = free_ports(1)
        self.rules = {name: process_access(self.plain, name) for name in (*COMMANDS, "cli")}
        for name, rules in self.rules.items():
            self.allow([binding for rule in rules for binding in bindings(self.principal(name), rule)])

    def principal(self, process: str) -> str:
        return f"{self.namespace}{process}"

    def allow(self, added: Iterable[AclBinding]) -> None:
        for future in self.secure.admin.create_acls(list(added)).values():
            future.result(30)

    def remove(self, removed: Iterable[AclBinding]) -> None:
        for future in self.secure.admin.delete_acls([_filter(binding) for binding in removed]).values():
            assert len(future.result(30)) == 1

    def binding(self, process: str, name: str, operation: str) -> AclBinding:
        """Return what one of the generated rules allows; there is such a rule."""
        (rule,) = (rule for rule in self.rules[process] if rule.name == self.namespace + name)
        (found,) = (
            binding
            for binding in bindings(self.principal(process), rule)
            if binding.operation == as_operation(operation)
        )
        return found

    def values(self, process: str) -> dict[str, Any]:
        """Return the Kafka settings of a process. Members that end without leaving are not missed for long."""
        own = {"topic_prefix": self.namespace, "partitions": 1}
        return {
            **self._login(self.principal(process)),
            **own,
            "session_timeout_seconds": 8,
            "delivery_timeout_seconds": 6,
        }

    def log(self, process: str) -> str:
        return (self.directory / f"{process}.log").read_text(errors="replace")

    def start(self, process: str) -> "subprocess.Popen[bytes]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "CM_"))}
        settings = {
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "STREAMS_DATA_DIR": str(self.directory / process),
            "CM_BASE_URL": self.simulator.base_url,
            "CONTROL_ENCRYPTION_KEY": KEY,
            "PROFILE_API_TOKEN": "a-token-for-tests",
            "WEBHOOK_PUBLIC_URL": f"http://127.0.0.1:{self.webhook_port}",
            "WEBHOOK_PORT": str(self.webhook_port),
            "WEBHOOK_SECRET": "a-secret-of-the-tests",
            "CONSOLE_PORT": "0",
        }
        with (self.directory / f"{process}.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "streams.cli", *COMMANDS[process]],
                env=clean | environment_of(self.values(process)) | settings,
                cwd=self.directory,
                stdout=output,
                stderr=output,
            )

    def records(self, role: str) -> list[dict[str, Any]]:
        found = read_all(self.secure.broker.bootstrap_servers, self.plain.names()[role])
        return [orjson.loads(record.value) for record in found if record.value]

    def receipts(self) -> set[str]:
        return {receipt["email"] for receipt in self.records("audience-delivery") if receipt["outcome"] == "added"}

    def denied(self) -> set[tuple[str, str, str]]:
        """Return principal, operation and resource of what the authorizer denied the processes."""
        log = (self.secure.broker.directory / "kafka.log").read_text(errors="replace")
        return {found for found in DENIAL.findall(log) if found[0].startswith(self.namespace)}

    async def enter(self, email: str) -> None:
        """Publish a change of an audience as `send-event` does. Raises PublishError."""
        event = {
            "email": email,
            "change": "enter",
            "audience": {"id": "vip", "name": "VIP"},
            "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        async with AsyncProducer(kafka_of(self.values("cli")), "send-event") as producer:
            await producer.publish(self.plain.names()["audience-membership"], email.encode(), orjson.dumps(event))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make topics, an authorization and jobs as an operator, and run every process."""
        kafka = kafka_of(self.values("cli"))
        await asyncio.to_thread(ensure_topics, kafka, create=True)
        sealer = Sealer.from_settings(ControlSettings(_env_file=None, encryption_key=SecretStr(KEY)))
        controls = self.simulator.controls
        self.client = controls.add_client("Acme", "(GMT) Coordinated Universal Time")
        self.list_id = controls.add_list(self.client, "Newsletter")
        controls.seed_subscribers(self.list_id, 3, all_active=True, until="2026-01-01T00:00:00+00:00")
        common = {
            "authorization_id": "main",
            "client_id": self.client,
            "created_at": START,
            "updated_at": START,
            "started_at": START,
        }
        async with (
            AsyncProducer(kafka, "test") as producer,
            Authorizations(kafka, producer, sealer) as authorizations,
            Jobs(kafka, producer) as jobs,
        ):
            await authorizations.put("main", SecretStr(self.simulator.api_key))
            await jobs.put(ExportJob(id="out", list_id=self.list_id, **common))
            await jobs.put(ImportJob(id="in", keep_updated=True, **common))
        self.processes = {process: self.start(process) for process in COMMANDS}
        try:
            yield
        finally:
            await asyncio.to_thread(self._end)

    def _end(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def restart_ended(self) -> None:
        """Start again what has ended, as a supervisor does."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.processes[name] = self.start(name)

    def lag_of(self, group: str) -> bool:
        with LagReader(kafka_of(self.values("cli"))) as reader:
            return bool(reader.read([self.namespace + group]))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["SCRAM", "mutual TLS"])
async def test_the_main_job_runs_under_exactly_the_generated_rules(
    way: str, secure: SecureKafka, namespace: str, tmp_path: Path
) -> None:
    async with Simulator(SimulatorSettings(demo=False)) as simulator:
        installation = Installation(secure, way, namespace, simulator, tmp_path)
        async with installation.running():
            controls, listed = simulator.controls, installation.list_id
            (person, *others) = [row["EmailAddress"] for row in controls.subscribers(listed)]

            def profiles() -> dict[str, Any]:
                return {profile["email"]: profile for profile in installation.records("cm_profile")}

            await installation.enter("ann@example.com")
            await eventually(lambda: "ann@example.com" in installation.receipts(), seconds=60, every=0.3)
            assert controls.subscriber(listed, "ann@example.com")
            await eventually(lambda: person in profiles(), seconds=60, every=0.3)  # imported
            await eventually(lambda: simulator.state.lists[listed].webhooks, seconds=60, every=0.1)
            controls.unsubscribe(listed, person)
            await eventually(lambda: unsubscribed(installation, person), seconds=60, every=0.3)  # by webhook
            await eventually(lambda: "http://" in installation.log("console"), seconds=60, every=0.3)
            assert await asyncio.to_thread(installation.lag_of, "cm-export")
            assert installation.denied() == set()
            if way == "SCRAM":
                await without_one_rule_each(installation, listed, others)


def unsubscribed(installation: Installation, person: str) -> bool:
    """Whether the profile has the event that a post reported."""
    return any(
        profile["email"] == person and b"deactivate" in orjson.dumps(profile)
        for profile in installation.records("cm_profile")
    )


TAKEN: dict[str, tuple[str, str]] = {
    "export-worker": ("audience-membership", "Read"),
    "profile-worker": ("cm_activity", "Read"),
    "connector": ("cm-import", "Read"),
    "webhooks": ("cm_activity", "Write"),
    "console": ("cm_import_progress", "Read"),
}
"""For each process one resource and operation: without it the main job does not go on."""


async def without_one_rule_each(installation: Installation, listed: str, others: Sequence[str]) -> None:
    """Take one operation of each process away, see the main job stand still, give them back and see it go on."""
    taken = {name: installation.binding(name, *what) for name, what in TAKEN.items()}
    installation.remove(taken.values())
    await installation.enter("bob@example.com")
    installation.simulator.controls.unsubscribe(listed, others[0])
    for process, (name, operation) in TAKEN.items():
        wanted = installation.principal(process), operation.upper(), installation.namespace + name
        await eventually(lambda wanted=wanted: wanted in installation.denied(), seconds=60, every=0.2)
    assert "bob@example.com" not in installation.receipts()
    assert not unsubscribed(installation, others[0])
    publishes = installation.binding("cli", "audience-membership", "Write")
    installation.remove([publishes])
    with pytest.raises(PublishError, match="AUTHORIZATION"):
        await installation.enter("eve@example.com")
    installation.allow(taken.values())
    installation.restart_ended()
    await eventually(lambda: "bob@example.com" in installation.receipts(), seconds=60, every=0.3)
    await eventually(lambda: unsubscribed(installation, others[0]), seconds=60, every=0.3)


def _filter(binding: AclBinding) -> Any:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )
