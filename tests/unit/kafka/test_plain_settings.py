"""Settings read without pydantic are those that pydantic reads, or none."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.kafka.client_config import admin_config, consumer_config
from connectors.kafka.plain_settings import DEFAULTS, NOT_PLAIN, PLAIN, plain_settings
from connectors.kafka.settings import KafkaSettings

BROKER = {"KAFKA_BOOTSTRAP_SERVERS": "broker-1:9093,broker-2:9093"}
SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "ann",
    "KAFKA_SASL_PASSWORD": " secret ",
}

PLAIN_ONES: list[dict[str, str]] = [
    {},
    BROKER,
    SASL,
    {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "ann", "KAFKA_SASL_PASSWORD": "secret"},
    {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_KEY_PASSWORD": ""},
    {"KAFKA_CLIENT_ID": " crm ", "KAFKA_TOPIC_PREFIX": "eu."},
    {"KAFKA_PARTITIONS": "24", "KAFKA_REPLICATION_FACTOR": "3"},
    {"KAFKA_HOME": "/opt/kafka", "kafka_opts": "-Xmx1g", "PATH": "/bin"},
]

NOT_PLAIN_ONES: list[dict[str, str]] = [
    {"kafka_bootstrap_servers": "broker:9092"},
    {**BROKER, "Kafka_Topic_Prefix": "eu."},
    {"KAFKA_SECURITY_PROTOCOL": "ssl"},
    {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
    {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_LOCATION": "/nowhere/ca.pem"},
    {"KAFKA_SSL_CA_LOCATION": ""},
    {"KAFKA_SSL_KEY_LOCATION": __file__},
    {"KAFKA_SSL_CERTIFICATE_LOCATION": __file__, "KAFKA_SSL_KEY_LOCATION": __file__, "KAFKA_SECURITY_PROTOCOL": "SSL"},
    {"KAFKA_CLIENT_ID": ""},
    {"KAFKA_PARTITIONS": "0"},
    {"KAFKA_PARTITIONS": " 12"},
    {"KAFKA_PARTITIONS": "many"},
    {"KAFKA_REPLICATION_FACTOR": "-1"},
    {**SASL, "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
    {**BROKER, "KAFKA_TOPIC_PREFIX": "a\nb"},
    *({f"KAFKA_{name.upper()}": "1"} for name in sorted(NOT_PLAIN)),
]


def shown(settings: Any) -> dict[str, Any]:
    """Return the settings as clients see them."""
    secrets = {name: getattr(settings, name) for name in ("sasl_password", "ssl_key_password")}
    return {
        **{name: getattr(settings, name) for name in DEFAULTS if name not in secrets},
        **{name: None if secret is None else secret.get_secret_value() for name, secret in secrets.items()},
        "topics": settings.topics,
        "names": settings.names(),
        "properties": (settings.uses_sasl, settings.uses_tls, settings.max_produced_bytes),
    }


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def by_pydantic(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> KafkaSettings:
    for name, text in variables.items():
        environment.setenv(name, text)
    return KafkaSettings()


def test_every_setting_is_plain_or_is_left_to_pydantic() -> None:
    assert set(PLAIN) | NOT_PLAIN == set(KafkaSettings.model_fields)
    assert not set(PLAIN) & NOT_PLAIN


@pytest.mark.parametrize("variables", PLAIN_ONES)
def test_what_is_plain_is_read_as_pydantic_reads_it(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    read = plain_settings(variables)
    assert read is not None
    expected = by_pydantic(environment, variables)
    assert shown(read) == shown(expected)
    if read.bootstrap_servers:
        assert admin_config(read, "test") == admin_config(expected, "test")
        assert consumer_config(read, "test", "group") == consumer_config(expected, "test", "group")


@pytest.mark.parametrize("variables", NOT_PLAIN_ONES)
def test_what_is_not_plain_or_wrong_is_left_to_pydantic(variables: dict[str, str]) -> None:
    assert plain_settings(variables) is None


@pytest.mark.parametrize("variables", NOT_PLAIN_ONES)
def test_what_pydantic_refuses_is_never_read(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    try:
        by_pydantic(environment, variables)
    except (ValidationError, ValueError):
        assert plain_settings(variables) is None


def test_certificates_are_read_like_by_pydantic(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import certifi

    variables = {**BROKER, "KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CA_LOCATION": certifi.where()}
    read, expected = plain_settings(variables), by_pydantic(environment, variables)
    assert read is not None
    assert shown(read) == shown(expected)
    assert admin_config(read, "test") == admin_config(expected, "test")


def test_a_file_with_a_setting_of_kafka_is_left_to_pydantic(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CM_BASE_URL=http://127.0.0.1\n")
    assert plain_settings(BROKER) is not None
    file.write_text("export kafka_topic_prefix=eu.\n")
    assert plain_settings(BROKER) is None
    file.write_bytes(b"KAFKA_X=\xff")
    assert plain_settings(BROKER) is None
    file.unlink()
    file.mkdir()
    assert plain_settings(BROKER) is None
