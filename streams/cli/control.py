"""What a command needs around its work: the control topics, and a sentence with an exit code when it cannot be done."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer
from confluent_kafka import KafkaException

from connectors import logs
from connectors.campaign_monitor.credentials import CampaignMonitorSettings
from connectors.control.authorizations import Authorizations, UnknownAuthorizationError
from connectors.control.crypto import ControlSettings, Sealer, SealError
from connectors.control.jobs import Jobs, UnknownJobError
from connectors.kafka.admin import CONFIGURATION_ERROR, BrokersUnreachableError, TopicsRefusedError
from connectors.kafka.broker_check import check_brokers
from connectors.kafka.client_config import NoBrokerError
from connectors.kafka.producer import AsyncProducer, PublishError
from connectors.kafka.read_to_end import ReadError
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import TransactionError
from streams.cli import broker_seconds
from streams.cli.output import visible

if TYPE_CHECKING:
    from connectors.control.accounts import OpenApi

FAILED = 1
SENTENCES = (
    ReadError,
    PublishError,
    TransactionError,
    UnknownAuthorizationError,
    UnknownJobError,
)


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
    except (TopicsRefusedError, SealError, NoBrokerError, BrokersUnreachableError) as refusal:
        refuse(str(refusal), CONFIGURATION_ERROR)
    except SENTENCES as refusal:
        refuse(str(refusal.args[0]))
    except KafkaException as failure:
        refuse(f"Kafka did not answer: {failure.args[0].str()}; is KAFKA_BOOTSTRAP_SERVERS right?", CONFIGURATION_ERROR)
    except TimeoutError:
        refuse("Kafka did not answer in time; is KAFKA_BOOTSTRAP_SERVERS right?", CONFIGURATION_ERROR)


def kafka_settings() -> KafkaSettings:
    """Return the settings when a broker has answered, so that no command waits for one that is not there.

    Raises NoBrokerError, BrokersUnreachableError; call it within `refusals`.
    """
    settings = KafkaSettings()
    check_brokers(settings, broker_seconds.get())
    return settings


def refuse(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command with a sentence."""
    sys.stderr.write(visible(sentence) + "\n")
    raise typer.Exit(code)


T = TypeVar("T")


@asynccontextmanager
async def control(sealer: Sealer | None = None) -> AsyncIterator[tuple[Jobs, Authorizations]]:
    """Hold jobs and authorizations; without a sealer secrets stay closed."""
    settings = kafka_settings()
    async with (
        AsyncProducer(settings, "cli") as producer,
        Jobs(settings, producer) as jobs,
        Authorizations(settings, producer, sealer) as authorizations,
    ):
        yield jobs, authorizations


def with_jobs(work: Callable[[Jobs], Awaitable[T]]) -> T:
    """Run `work` with all jobs loaded; what a person can repair ends in a sentence."""

    async def run() -> T:
        async with control() as (jobs, _):
            return await work(jobs)

    with refusals():
        return asyncio.run(run())


@asynccontextmanager
async def with_account() -> AsyncIterator[tuple[Jobs, Authorizations, "OpenApi"]]:
    """Hold jobs, authorizations, and what opens an account with one of them."""
    from connectors.control.accounts import AuthorizedApis  # and with it an HTTP client, which few commands need

    settings = CampaignMonitorSettings()
    sealer = Sealer.if_configured(ControlSettings())
    async with control(sealer) as (jobs, authorizations), AuthorizedApis(settings, authorizations) as apis:
        yield jobs, authorizations, apis.api
