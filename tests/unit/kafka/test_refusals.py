"""Sentences for what clients report, and tokens for aiokafka."""

import time

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from connectors.kafka.client_config import token_source
from connectors.kafka.refusals import sentence
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.tokens import KeptTokens, TokenError, TokenSource
from tests.secure_kafka import PASSWORD, token_endpoint

SETTINGS = KafkaSettings(
    bootstrap_servers="b:1",
    security_protocol="SASL_SSL",
    sasl_mechanism="SCRAM-SHA-512",
    sasl_username="us",
    sasl_password=PASSWORD,
)


def test_a_mechanism_that_is_not_offered_is_named_with_those_that_are() -> None:
    text = (
        "sasl_ssl://b:1/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: "
        "broker's supported mechanisms: PLAIN,OAUTHBEARER (after 3ms in state AUTH_HANDSHAKE)"
    )
    found = sentence(KafkaError(KafkaError._AUTHENTICATION, text), SETTINGS)
    assert found == "The Kafka broker does not take KAFKA_SASL_MECHANISM=SCRAM-SHA-512: it offers PLAIN,OAUTHBEARER."


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE])
def test_what_may_pass_has_no_sentence(code: int) -> None:
    assert sentence(KafkaError(code, "b:1/1: Disconnected"), SETTINGS) is None


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    with token_endpoint() as url:
        source = TokenSource(url, "us", SecretStr(PASSWORD), "")
        tokens = KeptTokens(source)
        first = await tokens.token()
        assert await tokens.token() == first
        tokens._renew_at = time.time() - 1
        assert await tokens.token() != first


def test_a_refused_client_is_a_sentence_without_its_secret() -> None:
    with token_endpoint() as url, pytest.raises(TokenError, match=r"status 401: are KAFKA_SASL_USERNAME") as refused:
        TokenSource(url, "us", SecretStr("wrong-canary"), "")()
    assert "wrong-canary" not in str(refused.value)


def test_names_and_passwords_need_no_tokens() -> None:
    assert token_source(SETTINGS) is None
