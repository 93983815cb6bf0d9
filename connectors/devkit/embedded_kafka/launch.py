"""What starting a broker needs: the Java command line, formatted storage, and whether a broker answers.

The properties are those of one KRaft node that is controller and broker. They are written for the embedded broker and,
as environment variables, for the container of the tests: both behave alike.
"""

import base64
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.devkit.embedded_kafka.artifacts import BrokerUnavailableError, Distribution

HEAP = ("-Xmx512m", "-XX:+UseSerialGC")
QUICK_JIT = "-XX:TieredStopAtLevel=1"


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


def last_error(directory: Path) -> str:
    """Return the last line of the log in a broker's directory that states an error."""
    lines = (directory / "kafka.log").read_text(errors="replace").strip().splitlines()
    return next((line for line in reversed(lines) if "Exception" in line or "ERROR" in line), "nothing")


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
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - Java
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise BrokerUnavailableError(f"The broker's directory {data.parent} could not be formatted: {last}")


NODE_ID = 1

PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": str(NODE_ID),
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A topic that comes by accident has the wrong partitions and no compaction; ours are made from the table of topics.
    "auto.create.topics.enable": "false",
    # One node: the defaults (3 replicas, 50 partitions) would never come up, or take seconds to make.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Nobody else is coming: the first member need not be kept waiting three seconds for company.
    "group.initial.rebalance.delay.ms": "0",
    # Tests of lost members ask for short sessions; 6 s is the broker's default floor.
    "group.min.session.timeout.ms": "1000",
    # Looked at every 10 s by default, which would make every transaction timeout up to 10 s longer than configured.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # After SIGKILL the controller waits for the dead broker's session before it takes the new one: 9 s by default.
    # Shorter than 3 s, a busy two-core machine would fence a broker that lives.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "1000",
    # Part of the 512 MB heap and 128 MB by default; 16 MB compacts 600,000 keys in one pass.
    "log.cleaner.dedupe.buffer.size": "16777216",
    # Threads for one developer's load.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "group.coordinator.threads": "2",
    "background.threads": "2",
}


def broker_properties(
    *,
    listeners: Mapping[str, str],
    advertised: str,
    controller: str,
    data: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return all properties of one broker.

    `listeners` maps a listener's name to host:port, `advertised` and `controller` are host:port as clients and the
    controller's voters see them. Listeners beside PLAINTEXT and CONTROLLER are advertised as they are; `extra`, which
    overrides all others, has their protocols.
    """
    others = {name: address for name, address in listeners.items() if name not in ("PLAINTEXT", "CONTROLLER")}
    addresses = {
        "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
        "advertised.listeners": ",".join(
            f"{name}://{address}" for name, address in {"PLAINTEXT": advertised, **others}.items()
        ),
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
    }
    return {**PROPERTIES, **addresses, **({"log.dirs": data} if data else {}), **(extra or {})}


def as_text(properties: Mapping[str, str]) -> str:
    """Return the properties as a Java properties file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def as_environment(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties as the apache/kafka image reads them: `node.id` becomes KAFKA_NODE_ID."""
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
