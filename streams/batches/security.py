"""One description of how to reach the broker, in the words of both Kafka clients."""

from __future__ import annotations

import ssl
from typing import Any

from streams.batches.core.settings import Security


def aiokafka_security(security: Security) -> dict[str, Any]:
    """Arguments of aiokafka's clients."""
    arguments: dict[str, Any] = {"security_protocol": security.protocol}
    if security.protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(security.ca_file) if security.ca_file else None)
        if security.certificate_file:
            password = security.key_password.get_secret_value() if security.key_password else None
            context.load_cert_chain(str(security.certificate_file), _path(security.key_file), password)
        arguments["ssl_context"] = context
    if security.protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password.get_secret_value(),
        }
    return arguments


def librdkafka_security(security: Security) -> dict[str, Any]:
    """Configuration of confluent-kafka's clients."""
    config: dict[str, Any] = {"security.protocol": security.protocol}
    if security.protocol.endswith("SSL"):
        config |= {
            name: str(path)
            for name, path in (
                ("ssl.ca.location", security.ca_file),
                ("ssl.certificate.location", security.certificate_file),
                ("ssl.key.location", security.key_file),
            )
            if path
        }
        if security.key_password:
            config["ssl.key.password"] = security.key_password.get_secret_value()
    if security.protocol.startswith("SASL"):
        config |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": security.password.get_secret_value(),
        }
    return config


def _path(path: object) -> str | None:
    return str(path) if path else None
