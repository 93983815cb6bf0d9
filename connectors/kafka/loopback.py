"""Loopback as brokers of this machine see it: which ports are free, and whether a broker answers on one."""

import contextlib
import socket

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def free_ports(count: int) -> list[int]:
    """Return distinct ports that are free on loopback at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(port: int) -> bool:
    """Whether a broker on this port lists itself as alive."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            pass
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        return bool(client.list_topics(timeout=2).brokers)
    except (OSError, KafkaException):
        return False
