"""Kafka settings: what is refused, with which words, and what the clients are made of."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.kafka.client_config import admin_config, aiokafka_config, consumer_config, producer_config
from connectors.kafka.settings import KafkaSettings

SECRET = "canary-pa55word"


def test_plain_text_needs_only_an_address() -> None:
    config = admin_config(KafkaSettings(bootstrap_servers="a:1,b:2"), "x")
    assert config["bootstrap.servers"] == "a:1,b:2"
    assert config["security.protocol"] == "PLAINTEXT"
    assert not any(name.startswith(("sasl", "ssl")) for name in config)


def test_without_an_address_the_setting_is_named() -> None:
    with pytest.raises(ValueError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
        admin_config(KafkaSettings(), "x")


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TOPICS", '{"cm_user": "crm.subscribers"}')
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "prod.")
    names = KafkaSettings().names()
    assert names["cm_user"] == "crm.subscribers"
    assert names["cm_activity"] == "prod.cm_activity"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"security_protocol": "SASL_SSL"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"security_protocol": "TLS"}, "security_protocol"),
        ({"ssl_certificate_location": __file__}, "belong together; one is missing"),
        ({"ssl_ca_location": "/no/such.pem"}, "KAFKA_SSL_CA_LOCATION names /no/such.pem"),
        ({"topics": {"cm_usr": "x"}}, "no topic is called cm_usr"),
        ({"delivery_timeout_seconds": 27}, "must be less than 0.9 of KAFKA_SESSION_TIMEOUT_SECONDS"),
        ({"partitions": 0}, "partitions"),
    ],
)
def test_refuses_with_a_sentence(fault: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        KafkaSettings(**fault)  # type: ignore[arg-type]


def test_sasl_reaches_both_kinds_of_clients_and_no_text() -> None:
    settings = KafkaSettings(
        bootstrap_servers="b:9093",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="us",
        sasl_password=SECRET,
        ssl_key_password=SECRET,
    )
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert SECRET not in settings.model_dump_json()
    config = admin_config(settings, "x")
    assert config["sasl.password"] == SECRET
    assert config["sasl.mechanism"] == "SCRAM-SHA-512"
    assert config["ssl.endpoint.identification.algorithm"] == "https"
    other = aiokafka_config(settings)
    assert other["sasl_plain_password"] == SECRET
    assert other["ssl_context"].check_hostname


def test_a_wrong_setting_does_not_repeat_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(security_protocol="SASL_SSL", sasl_password=SECRET)
    assert SECRET not in str(caught.value.errors(include_input=False))


def test_certificate_files_are_passed_on(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")}
    for file in files.values():
        file.touch()
    settings = KafkaSettings(
        bootstrap_servers="b:9093",
        security_protocol="SSL",
        ssl_ca_location=files["ca.pem"],
        ssl_certificate_location=files["cert.pem"],
        ssl_key_location=files["key.pem"],
        ssl_check_hostname=False,
    )
    config = admin_config(settings, "x")
    assert config["ssl.certificate.location"] == str(files["cert.pem"])
    assert config["ssl.endpoint.identification.algorithm"] == "none"


def test_what_protects_records_is_on() -> None:
    settings = KafkaSettings(bootstrap_servers="b:1")
    producer, consumer = producer_config(settings, "x"), consumer_config(settings, "x", "g")
    assert producer["enable.idempotence"] is True
    assert producer["acks"] == "all"
    assert producer["partitioner"] == "murmur2_random"
    assert producer["message.timeout.ms"] < consumer["session.timeout.ms"]
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["enable.auto.commit"] is False
    assert consumer["allow.auto.create.topics"] is False
