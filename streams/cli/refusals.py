"""What a command says when it cannot do its work: one sentence on standard error, and an exit code."""

import contextlib
import sys
from collections.abc import Iterator
from typing import NoReturn

import typer
from confluent_kafka import KafkaException

from connectors import logs
from connectors.control.authorizations import UnknownAuthorizationError
from connectors.control.crypto import SealError
from connectors.control.jobs import UnknownJobError
from connectors.kafka.admin import CONFIGURATION_ERROR, BrokersUnreachableError, TopicsRefusedError
from connectors.kafka.compacted import CompactedTopicError
from connectors.kafka.producer import PublishError
from connectors.kafka.settings import NoBrokerError
from connectors.kafka.transaction import TransactionError

FAILED = 1
SENTENCES = (
    BrokersUnreachableError,
    CompactedTopicError,
    PublishError,
    TransactionError,
    UnknownAuthorizationError,
    UnknownJobError,
)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn errors that a person can do something about into their sentence; settings and topics exit with 78.

    Standard output belongs to the command's answer, so from here on only warnings are logged, and to standard error.
    """
    logs.configure("console", "warning", process="cli")
    try:
        yield
    except (TopicsRefusedError, SealError, NoBrokerError) as refusal:
        refuse(str(refusal), CONFIGURATION_ERROR)
    except SENTENCES as refusal:
        refuse(str(refusal.args[0]))
    except KafkaException as failure:
        refuse(f"Kafka did not answer: {failure.args[0].str()}; is KAFKA_BOOTSTRAP_SERVERS right?")


def refuse(sentence: str, code: int = FAILED) -> NoReturn:
    """End the command with a sentence."""
    sys.stderr.write(sentence + "\n")
    raise typer.Exit(code)
