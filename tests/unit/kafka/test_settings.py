"""Kafka settings: what is refused, and with which words."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.kafka.settings import KafkaSettings
from tests.secure_kafka import Authority

SECRET = "canary-pa55word"
BY_TOKEN = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "OAUTHBEARER",
    "sasl_username": "us",
    "sasl_password": SECRET,
}


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_TOPICS", '{"cm_user": "crm.subscribers"}')
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "prod.")
    names = KafkaSettings().names()
    assert names["cm_user"] == "crm.subscribers"
    assert names["cm_activity"] == "prod.cm_activity"


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"security_protocol": "SASL_SSL"}, "needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ({"security_protocol": "TLS"}, "security_protocol"),
        ({"ssl_certificate_location": __file__}, "belong together; one is missing"),
        ({"ssl_ca_location": "/no/such.pem"}, "KAFKA_SSL_CA_LOCATION names /no/such.pem"),
        ({"topics": {"cm_usr": "x"}}, "no topic is called cm_usr"),
        ({"delivery_timeout_seconds": 27}, "must be less than 0.9 of KAFKA_SESSION_TIMEOUT_SECONDS"),
        ({"partitions": 0}, "partitions"),
        ({**BY_TOKEN}, "OAUTHBEARER needs KAFKA_SASL_OAUTH_TOKEN_URL"),
        ({**BY_TOKEN, "sasl_oauth_token_url": "http://login.example.org/token"}, "must begin with https://"),
        ({"sasl_password": SECRET, "sasl_password_file": __file__}, "KAFKA_SASL_PASSWORD_FILE are both set"),
        ({"sasl_password_file": "/no/such"}, "KAFKA_SASL_PASSWORD_FILE names /no/such, which cannot be read: No such"),
        ({"security_protocol": "SSL", "ssl_ca_location": __file__}, "PEM files cannot be used .*KAFKA_SSL_CA_LOCATION"),
    ],
)
def test_refuses_with_a_sentence(fault: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        KafkaSettings(**fault)  # type: ignore[arg-type]


def test_a_wrong_setting_does_not_repeat_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(security_protocol="SASL_SSL", sasl_password=SECRET)
    assert SECRET not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_key_that_cannot_be_opened_is_a_sentence(password: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("us", key_password=SECRET)
    files = {"ssl_ca_location": authority.file, "ssl_certificate_location": certificate, "ssl_key_location": key}
    with pytest.raises(ValidationError, match=r"PEM files cannot be used .*KAFKA_SSL_KEY_PASSWORD") as caught:
        KafkaSettings(security_protocol="SSL", ssl_key_password=password or None, **files)
    assert SECRET not in str(caught.value.errors(include_input=False))
    assert KafkaSettings(security_protocol="SSL", ssl_key_password=SECRET, **files).ssl_context()


def test_passwords_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    settings = KafkaSettings(sasl_password_file=file, ssl_key_password_file=file)
    assert settings.sasl_password.get_secret_value() == SECRET
    assert settings.ssl_key_password is not None
    assert settings.ssl_key_password.get_secret_value() == SECRET
    assert SECRET not in repr(settings)
