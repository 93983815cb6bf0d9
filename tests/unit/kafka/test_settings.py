"""Kafka settings: what is refused, and with which words."""

import pytest
from pydantic import ValidationError

from connectors.kafka.settings import KafkaSettings

SECRET = "canary-pa55word"


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
    ],
)
def test_refuses_with_a_sentence(fault: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        KafkaSettings(**fault)  # type: ignore[arg-type]


def test_a_wrong_setting_does_not_repeat_a_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        KafkaSettings(security_protocol="SASL_SSL", sasl_password=SECRET)
    assert SECRET not in str(caught.value.errors(include_input=False))
