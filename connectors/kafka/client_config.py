"""The way from `KafkaSettings` to each client library's configuration: one function per kind of client.

Every client of every process is made with one of these, so a setting that is added here arrives everywhere. The test
`test_client_config.py` checks that every field of the settings is in all of them.
"""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.kafka.access import KafkaAccess
from connectors.kafka.tokens import KeptTokens, TokenSource

if TYPE_CHECKING:
    from connectors.kafka.settings import KafkaSettings

READER_GROUPS = "reader-"
"""How groups begin that nobody joins: brokers are asked for them all the same, and have to allow it."""


class NoBrokerError(ValueError):
    """No broker is configured."""


def admin_config(settings: KafkaAccess, role: str) -> dict[str, Any]:
    """Return what every librdkafka client is made with, and all that an admin client needs.

    `role` tells clients of one process apart in the brokers' logs and quotas.

    Raises:
        NoBrokerError: KAFKA_BOOTSTRAP_SERVERS is not set.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": _brokers(settings),
        "client.id": client_id(settings, role),
        "security.protocol": settings.security_protocol,
        "reconnect.backoff.ms": int(settings.reconnect_backoff_seconds * 1000),
        "reconnect.backoff.max.ms": int(settings.reconnect_backoff_max_seconds * 1000),
    }
    if settings.uses_sasl:
        config["sasl.mechanism"] = settings.sasl_mechanism
        if source := token_source(settings):
            config["oauth_cb"] = source
        else:
            config["sasl.username"] = settings.sasl_username
            config["sasl.password"] = settings.sasl_password.get_secret_value()
    if settings.uses_tls:
        files: Mapping[str, Path | None] = {
            "ssl.ca.location": settings.ssl_ca_location,
            "ssl.certificate.location": settings.ssl_certificate_location,
            "ssl.key.location": settings.ssl_key_location,
        }
        config.update({name: str(file) for name, file in files.items() if file})
        if settings.ssl_key_password:
            config["ssl.key.password"] = settings.ssl_key_password.get_secret_value()
        config["ssl.endpoint.identification.algorithm"] = "https" if settings.ssl_check_hostname else "none"
    return config


def producer_config(settings: "KafkaSettings", role: str) -> dict[str, Any]:
    """Return the configuration of an idempotent producer whose partitions are those of Faust and of the Java client."""
    return {
        **admin_config(settings, role),
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "compression.type": settings.compression,
        "message.max.bytes": settings.max_produced_bytes,
        # Brokers measure whole batches: with the default a smaller limit would refuse small records beside each other.
        "batch.size": min(1_000_000, settings.max_message_bytes),
        "message.timeout.ms": int(settings.delivery_timeout_seconds * 1000),
        # One millisecond gathers what is published together; at rest it is most of what we may add to the latency.
        "linger.ms": 1,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 262_144,
    }


def transaction_config(settings: "KafkaSettings", transactional_id: str) -> dict[str, Any]:
    """Return the configuration of a transactional producer."""
    timeout_ms = int(settings.transaction_timeout_seconds * 1000)
    return {
        **producer_config(settings, "transaction"),
        "transactional.id": transactional_id,
        "transaction.timeout.ms": timeout_ms,
        # The client refuses to wait longer for a record than the transaction lives.
        "message.timeout.ms": min(timeout_ms, int(settings.delivery_timeout_seconds * 1000)),
    }


def consumer_config(settings: KafkaAccess, role: str, group: str) -> dict[str, Any]:
    """Return the configuration of a consumer that sees committed records only, and commits nothing by itself."""
    return {
        **admin_config(settings, role),
        "client.rack": settings.client_rack,
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": int(settings.session_timeout_seconds * 1000),
        "heartbeat.interval.ms": max(200, int(settings.session_timeout_seconds * 100)),
        "fetch.message.max.bytes": settings.max_produced_bytes,
        "allow.auto.create.topics": False,
    }


def aiokafka_config(settings: "KafkaSettings", role: str) -> dict[str, Any]:
    """Return the arguments with which an aiokafka client of either kind reaches the brokers.

    Its wait before a broker is tried again is the same each time, and also that before a refused request is repeated.

    Raises:
        NoBrokerError: KAFKA_BOOTSTRAP_SERVERS is not set.
    """
    config: dict[str, Any] = {
        "bootstrap_servers": _brokers(settings),
        "client_id": client_id(settings, role),
        "security_protocol": settings.security_protocol,
        "ssl_context": settings.ssl_context(),
        "retry_backoff_ms": int(settings.reconnect_backoff_seconds * 1000),
    }
    if settings.uses_sasl:
        config["sasl_mechanism"] = settings.sasl_mechanism
        if source := token_source(settings):
            from aiokafka.abc import AbstractTokenProvider

            AbstractTokenProvider.register(KeptTokens)
            config["sasl_oauth_token_provider"] = KeptTokens(source)
        else:
            config["sasl_plain_username"] = settings.sasl_username
            config["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return config


def aiokafka_consumer_config(settings: "KafkaSettings", role: str) -> dict[str, Any]:
    """Return the same with what only aiokafka's consumers take. Raises NoBrokerError."""
    return {**aiokafka_config(settings, role), "client_rack": settings.client_rack or None}


def token_source(settings: KafkaAccess) -> TokenSource | None:
    """Return where tokens come from, None when the login is by name and password."""
    if not settings.uses_sasl or settings.sasl_mechanism != "OAUTHBEARER":
        return None
    return TokenSource(
        settings.sasl_oauth_token_url, settings.sasl_username, settings.sasl_password, settings.sasl_oauth_scope
    )


def reader_group(settings: KafkaAccess, role: str) -> str:
    """Return the group of a consumer whose partitions are assigned by hand; it joins none, and commits nothing."""
    return f"{settings.topic_prefix}{READER_GROUPS}{role}-{uuid.uuid4().hex}"


def client_id(settings: KafkaAccess, role: str) -> str:
    """Return the name under which a client appears in the brokers' logs, metrics and quotas."""
    return f"{settings.client_id}-{role}"


def _brokers(settings: KafkaAccess) -> str:
    if not settings.bootstrap_servers:
        raise NoBrokerError("KAFKA_BOOTSTRAP_SERVERS is not set: name a broker, or start all with `cm-streams up`")
    return settings.bootstrap_servers
