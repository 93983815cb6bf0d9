"""What a command needs around its work: the control topics, and a sentence with an exit code when it cannot be done."""

import asyncio
import contextlib
import getpass
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from connectors import logs
from streams.cli import CONFIGURATION_ERROR, broker_seconds
from streams.cli.output import visible

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi
    from connectors.control.audit import AuditLog
    from connectors.control.authorizations import Authorizations
    from connectors.control.crypto import Sealer
    from connectors.control.jobs import Jobs
    from connectors.kafka.producer import AsyncProducer
    from connectors.kafka.settings import KafkaSettings

FAILED = 1
SENTENCES = {
    "connectors.kafka.read_to_end": ("ReadError",),
    "connectors.kafka.producer": ("PublishError",),
    "connectors.kafka.transaction": ("TransactionError",),
    "connectors.control.authorizations": ("UnknownAuthorizationError",),
    "connectors.control.jobs": ("UnknownJobError",),
}
"""Module -> errors of it whose text is the sentence."""
WRONG_SETTINGS = {
    "connectors.kafka.admin": ("TopicsRefusedError", "BrokersUnreachableError"),
    "connectors.kafka.client_config": ("NoBrokerError",),
    "connectors.kafka.command_producer": ("NoTopicError",),
    "connectors.control.crypto": ("SealError",),
}
"""The same, where a restart alone does not help."""
KAFKA = {"confluent_kafka": ("KafkaException",)}


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn errors that a person can do something about into their sentence; settings, brokers and topics exit with 78.

    Standard output belongs to the command's answer, so from here on only warnings are logged, and to standard error;
    of the Kafka client nothing is, because what it cannot do ends in a sentence.
    """
    logs.configure("console", "warning", process="cli")
    for client in ("librdkafka", "connectors.kafka.producer"):
        logging.getLogger(client).setLevel(logging.CRITICAL + 1)
    try:
        yield
    except _imported(WRONG_SETTINGS) as refusal:
        refuse(str(refusal), CONFIGURATION_ERROR)
    except _imported(SENTENCES) as refusal:
        refuse(str(refusal.args[0]))
    except _imported(KAFKA) as failure:
        refuse(f"Kafka did not answer: {failure.args[0].str()}; is KAFKA_BOOTSTRAP_SERVERS right?", CONFIGURATION_ERROR)
    except TimeoutError:
        refuse("Kafka did not answer in time; is KAFKA_BOOTSTRAP_SERVERS right?", CONFIGURATION_ERROR)


def _imported(errors: Mapping[str, Iterable[str]]) -> tuple[type[Exception], ...]:
    """Return the errors of those modules that the command has imported: the others cannot have been raised."""
    return tuple(
        getattr(sys.modules[module], name) for module in errors.keys() & sys.modules for name in errors[module]
    )


def kafka_settings() -> "KafkaSettings":
    """Return the settings when a broker has answered, so that no command waits for one that is not there.

    Raises NoBrokerError, BrokersUnreachableError; call it within `refusals`.
    """
    from connectors.kafka.broker_check import check_brokers
    from connectors.kafka.settings import KafkaSettings

    settings = KafkaSettings()
    check_brokers(settings, broker_seconds.get())
    return settings


def refuse(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command with a sentence."""
    sys.stderr.write(visible(sentence) + "\n")
    raise typer.Exit(code)


T = TypeVar("T")


@asynccontextmanager
async def control(sealer: "Sealer | None" = None) -> AsyncIterator[tuple["Jobs", "Authorizations"]]:
    """Hold jobs and authorizations; without a sealer secrets stay closed."""
    from connectors.control.authorizations import Authorizations
    from connectors.control.jobs import Jobs
    from connectors.kafka.command_producer import CommandProducer

    settings = kafka_settings()
    async with CommandProducer(settings, "cli") as producer:
        audit = audit_log(settings, producer)
        async with (
            Jobs(settings, producer, audit=audit) as jobs,
            Authorizations(settings, producer, sealer, audit=audit) as authorizations,
        ):
            yield jobs, authorizations


def audit_log(settings: "KafkaSettings", producer: "AsyncProducer") -> "AuditLog":
    """Return what records the changes that a command makes, by the user of the operating system."""
    from connectors.control.audit import Actor, AuditLog

    try:
        who = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        who = str(os.getuid())
    return AuditLog(settings, producer, lambda: Actor(who, "cli"))


def with_jobs(work: Callable[["Jobs"], Awaitable[T]]) -> T:
    """Run `work` with all jobs loaded; what a person can repair ends in a sentence."""

    async def run() -> T:
        async with control() as (jobs, _):
            return await work(jobs)

    with refusals():
        return asyncio.run(run())


@asynccontextmanager
async def with_account() -> AsyncIterator[tuple["Jobs", "Authorizations", "OpenApi"]]:
    """Hold jobs, authorizations, and what opens an account with one of them."""
    from connectors.campaign_monitor.credentials import CampaignMonitorSettings
    from connectors.control.accounts import AuthorizedApis  # and with it an HTTP client, which few commands need
    from connectors.control.crypto import ControlSettings, Sealer

    settings = CampaignMonitorSettings()
    sealer = Sealer.if_configured(ControlSettings())
    async with control(sealer) as (jobs, authorizations), AuthorizedApis(settings, authorizations) as apis:
        yield jobs, authorizations, apis.api


@asynccontextmanager
async def with_audit(settings: "KafkaSettings") -> AsyncIterator["AuditLog"]:
    """Hold what records a command's changes, for work that publishes nothing else."""
    from connectors.kafka.command_producer import CommandProducer

    async with CommandProducer(settings, "cli") as producer:
        yield audit_log(settings, producer)


async def record(settings: "KafkaSettings", kind: str, changed: str, action: str, **values: str) -> None:
    """Record what the command is about to do. Raises PublishError: then it is not done."""
    import orjson

    from schemas.control import ChangedField

    changes = [ChangedField(field=name, after=orjson.dumps(value).decode()) for name, value in values.items()]
    async with with_audit(settings) as audit:
        await audit.note(kind, changed, action, changes)
