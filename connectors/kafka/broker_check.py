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

from connectors.kafka.access import KafkaAccess
from connectors.kafka.admin import BrokersUnreachableError, unreachable
from connectors.kafka.client_config import admin_config, token_source
from connectors.kafka.refusals import ClientReports, closed_by_broker, handshake_refusal
from connectors.kafka.tokens import TokenError

ANSWER_SECONDS = 4.0
"""For all brokers together. A broker far away answers in less than one; a person takes five for a hang."""

LOOK_SECONDS = 0.3
"""Between two looks at what the client has reported: a refusal is known long before the time is over."""


def check_brokers(settings: KafkaAccess, within_seconds: float = ANSWER_SECONDS) -> None:
    """Return when a broker has answered. Blocks for `within_seconds` at most.

    Raises:
        NoBrokerError: KAFKA_BOOTSTRAP_SERVERS is not set.
        BrokersUnreachableError: none answered; the text names the addresses and the settings.
    """
    deadline = time.monotonic() + within_seconds
    config = admin_config(settings, "check")
    _connect(settings, deadline)
    if source := token_source(settings):  # a client that gets no token is silent for ten seconds
        try:
            source()
        except TokenError as failure:
            raise BrokersUnreachableError(str(failure)) from None
    reported = ClientReports()
    client = AdminClient({**config, "log_level": 0, "error_cb": reported})
    while True:
        left = deadline - time.monotonic()
        try:
            client.list_topics(timeout=min(LOOK_SECONDS, max(0.1, left)))
        except KafkaException as failure:
            client.poll(0)
            refusal = reported.sentence(settings)
            if refusal is not None:
                raise BrokersUnreachableError(refusal) from None
            if left <= 0:
                closed = closed_by_broker(reported.errors, settings)
                raise (
                    BrokersUnreachableError(closed) if closed else unreachable(settings, failure.args[0].str())
                ) from None
        else:
            return


def _connect(settings: KafkaAccess, deadline: float) -> None:
    """Return when a server takes a connection, and TLS where it is in use. Raises BrokersUnreachableError."""
    reasons = []
    for host, port in addresses(settings.bootstrap_servers):
        try:
            # Half of the time is left for the others, and for the request.
            seconds = max(0.1, (deadline - time.monotonic()) / 2)
            with socket.create_connection((host, port), timeout=seconds) as connection:
                refusal = handshake_refusal(connection, host, settings)
        except (OSError, UnicodeError) as failure:
            reasons.append(f"{host}:{port}: {getattr(failure, 'strerror', None) or failure}")
        else:
            if refusal is None:
                return
            reasons.append(refusal)
    if len(reasons) == 1 and reasons[0].endswith((".", "?")):
        raise BrokersUnreachableError(reasons[0])
    raise unreachable(settings, "; ".join(reasons) or "no address has the form host:port")


def addresses(bootstrap_servers: str) -> Iterator[tuple[str, int]]:
    """Yield host and port of each server; 9092 where none is named, as the client does. Others are left out."""
    for server in bootstrap_servers.split(","):
        host, _colon, port = server.strip().rpartition("://")[2].rpartition(":")
        if not host:
            host, port = port, "9092"
        with contextlib.suppress(ValueError):
            if host and 0 < int(port) < 65536:
                yield host.strip("[]"), int(port)
