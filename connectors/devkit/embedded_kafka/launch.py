"""What starting a broker needs: free ports, the Java command line, formatted storage, and whether a broker answers."""

import base64
import contextlib
import os
import socket
import subprocess
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.devkit.embedded_kafka.artifacts import BrokerUnavailableError, Distribution

HEAP = ("-Xmx512m", "-XX:+UseSerialGC")
QUICK_JIT = "-XX:TieredStopAtLevel=1"


def free_ports(count: int) -> list[int]:
    """Return distinct ports that are free on loopback at this moment; another process may take one before its use."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets]


def answers(port: int) -> bool:
    """Return True when a broker on this loopback port lists itself as alive; False when nothing does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            pass
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        return bool(client.list_topics(timeout=2).brokers)
    except (OSError, KafkaException):
        return False


def java_main(found: Distribution, name: str) -> list[str]:
    """Return Java's arguments that run a main class of the distribution, logging warnings to standard error."""
    logging = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
    # Without an archive Java would warn about the missing file; it starts all the same.
    return ["-Xlog:disable", "-Xlog:all=error:stderr", *logging, "-cp", found.class_path, name]


def format_storage(found: Distribution, data: Path, configuration: Path) -> None:
    """Give an empty data directory a cluster id; one that has an id stays as it is.

    Raises:
        BrokerUnavailableError: the directory could not be formatted; the message holds Kafka's reason.
    """
    if (data / "meta.properties").exists():
        return
    # The leading zero keeps the text from beginning with a dash, which StorageTool would take for an option.
    cluster = base64.urlsafe_b64encode(b"\0" + os.urandom(15)).decode().rstrip("=")
    options = [*HEAP, QUICK_JIT, f"-XX:SharedArchiveFile={found.class_archive}"]
    main = java_main(found, "kafka.tools.StorageTool")
    command = [str(found.java), *options, *main, "format", "-t", cluster, "-c", str(configuration)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise BrokerUnavailableError(f"The broker's directory {data.parent} could not be formatted: {last}")
