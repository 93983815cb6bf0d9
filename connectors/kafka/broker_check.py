"""Whether the brokers answer, found out in a few seconds and without a line of the client's log.

A client tries for ever, which is right for a process and wrong for a command: who typed it waits. A port that nobody
listens on is found by a connection of ours, at once; what a connection cannot show (another protocol, wrong
credentials, a broker that hangs) by a request that is given the rest of the time.
"""

import contextlib
import socket
import time
from collections.abc import Iterator

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.kafka.admin import unreachable
from connectors.kafka.client_config import admin_config
from connectors.kafka.settings import KafkaSettings

ANSWER_SECONDS = 4.0
"""For all brokers together. A broker far away answers in less than one; a person takes five for a hang."""


def check_brokers(settings: KafkaSettings, within_seconds: float = ANSWER_SECONDS) -> None:
    """Return when a broker has answered. Blocks for `within_seconds` at most.

    Raises:
        NoBrokerError: KAFKA_BOOTSTRAP_SERVERS is not set.
        BrokersUnreachableError: none answered; the text names the addresses and the settings.
    """
    deadline = time.monotonic() + within_seconds
    client = AdminClient({**admin_config(settings, "check"), "log_level": 0})
    reasons = []
    for host, port in addresses(settings.bootstrap_servers):
        try:
            # Half of the time is left for the others, and for the request.
            with socket.create_connection((host, port), timeout=max(0.1, (deadline - time.monotonic()) / 2)):
                break
        except (OSError, UnicodeError) as failure:
            reasons.append(f"{host}:{port}: {getattr(failure, 'strerror', None) or failure}")
    else:
        raise unreachable(settings, "; ".join(reasons) or "no address has the form host:port")
    try:
        client.list_topics(timeout=max(0.5, deadline - time.monotonic()))
    except KafkaException as failure:
        raise unreachable(settings, failure.args[0].str()) from None


def addresses(bootstrap_servers: str) -> Iterator[tuple[str, int]]:
    """Yield host and port of each server; 9092 where none is named, as the client does. Others are left out."""
    for server in bootstrap_servers.split(","):
        host, _colon, port = server.strip().rpartition("://")[2].rpartition(":")
        if not host:
            host, port = port, "9092"
        with contextlib.suppress(ValueError):
            if host and 0 < int(port) < 65536:
                yield host.strip("[]"), int(port)
