"""The properties of a development broker: one KRaft node that is controller and broker (pure).

Written for the embedded broker and, as environment variables, for the container of the tests: both behave alike.
"""

from collections.abc import Mapping

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
    controller's voters see them. `extra` overrides all others.
    """
    addresses = {
        "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
        "advertised.listeners": f"PLAINTEXT://{advertised}",
        "controller.quorum.voters": f"{NODE_ID}@{controller}",
    }
    return {**PROPERTIES, **addresses, **({"log.dirs": data} if data else {}), **(extra or {})}


def as_text(properties: Mapping[str, str]) -> str:
    """Return the properties as a Java properties file."""
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def as_environment(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties as the apache/kafka image reads them: `node.id` becomes KAFKA_NODE_ID."""
    return {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in properties.items()}
