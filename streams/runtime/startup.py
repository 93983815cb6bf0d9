"""What every process does before its first record: find the brokers, check the topics, or refuse with a sentence."""

import contextlib
import sys
import time
from collections.abc import Iterator

import structlog

from connectors.control.crypto import SealError
from connectors.kafka.admin import BrokersUnreachableError, TopicsRefusedError, ensure_topics
from connectors.kafka.settings import KafkaSettings, NoBrokerError

log = structlog.get_logger(__name__)

CONFIGURATION_ERROR = 78
"""EX_CONFIG: started again without a change by a person, it would end the same way."""

LOOK_AGAIN_SECONDS = 2.0


@contextlib.contextmanager
def refused_with_a_sentence() -> Iterator[None]:
    """Turn a start that settings or topics forbid into one sentence and exit code 78."""
    try:
        yield
    except (TopicsRefusedError, NoBrokerError, SealError) as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(CONFIGURATION_ERROR)


def wait_for_topics(kafka: KafkaSettings) -> None:
    """Return when the brokers answer and every topic is as it must be; waits for brokers, and says so.

    Raises:
        TopicsRefusedError: a topic is missing or has the wrong shape.
        NoBrokerError: no broker is configured.
    """
    while True:
        try:
            ensure_topics(kafka)
        except BrokersUnreachableError as failure:
            log.warning("waiting for the brokers", reason=str(failure))
            time.sleep(LOOK_AGAIN_SECONDS)  # nothing runs yet that this could block
        else:
            return
