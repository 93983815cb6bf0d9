"""Every kind of client through every way to be secure, and what brokers refuse as sentences that name the setting."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiokafka
import pytest

from connectors.kafka.admin import BrokersUnreachableError, ensure_topics
from connectors.kafka.broker_check import check_brokers
from connectors.kafka.broker_watch import BrokerWatch
from connectors.kafka.client_config import aiokafka_config
from connectors.kafka.lag import LagReader
from connectors.kafka.producer import AsyncProducer
from connectors.kafka.read_to_end import read_to_end
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import TransactionalPublisher
from tests.secure_kafka import (
    PASSWORD,
    PLAIN_USER,
    US,
    Authority,
    SecureKafka,
    environment_of,
    kafka_of,
    token_endpoint,
)

Values = dict[str, Any]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("secure")) as secure:
        yield secure


@pytest.fixture(scope="module")
def token_url() -> Iterator[str]:
    with token_endpoint() as url:
        yield url


WAYS: dict[str, Callable[[SecureKafka, str], Values]] = {
    "SCRAM-SHA-256": lambda secure, _url: secure.scram(US),
    "SCRAM-SHA-512": lambda secure, _url: secure.scram(US, "SCRAM-SHA-512"),
    "PLAIN": lambda secure, _url: secure.sasl("PLAIN", sasl_username=PLAIN_USER),
    "OAUTHBEARER": lambda secure, url: secure.sasl("OAUTHBEARER", sasl_username=US, sasl_oauth_token_url=url),
    "mutual TLS": lambda secure, _url: secure.mtls(US),
}


@pytest.mark.parametrize("way", WAYS)
async def test_every_kind_of_client_works(way: str, secure: SecureKafka, token_url: str, namespace: str) -> None:
    kafka = kafka_of({**WAYS[way](secure, token_url), "topic_prefix": namespace, "partitions": 1})
    check_brokers(kafka, 30)
    await asyncio.to_thread(ensure_topics, kafka, create=True)
    topic = kafka.names()["cm_profile_moves"]
    async with AsyncProducer(kafka, "test") as producer:
        await producer.publish(topic, b"key", b"produced")
    async with TransactionalPublisher(kafka, namespace + "id") as publisher:
        await publisher.publish([(topic, b"key", b"in a transaction", None, 0)])
    found = [record.value for page in read_to_end(kafka, "test", topic) for record in page]
    assert found == [b"produced", b"in a transaction"]
    consumer = aiokafka.AIOKafkaConsumer(topic, **aiokafka_config(kafka, "test"), auto_offset_reset="earliest")
    async with consumer:
        assert (await asyncio.wait_for(consumer.getone(), 30)).value == b"produced"
    async with BrokerWatch(kafka, None) as watch:
        await watch.look()
        assert watch.problem is None
    with LagReader(kafka) as lags:
        assert lags.read([topic]) == []


def other_authority(secure: SecureKafka) -> Authority:
    return Authority(secure.broker.directory.parent / "other", "other")


def by_other_certificate(secure: SecureKafka) -> Values:
    certificate, key = other_authority(secure).issue("other")
    files = {"ssl_certificate_location": certificate, "ssl_key_location": key, "ssl_key_password": None}
    return {**secure.mtls("other"), **files}


def without_certificate(secure: SecureKafka) -> Values:
    return {
        name: value for name, value in secure.mtls("nobody").items() if not name.startswith(("ssl_cert", "ssl_key"))
    }


def at_localhost(secure: SecureKafka) -> str:
    return secure.broker.address_of("SASL").replace("127.0.0.1", "localhost")


REFUSED: dict[str, tuple[Callable[[SecureKafka, str], Values], str]] = {
    "wrong password": (
        lambda secure, _url: secure.scram(US, sasl_password="wrong"),
        "credentials .*KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD",
    ),
    "unknown user": (
        lambda secure, _url: secure.sasl("PLAIN", sasl_username="nobody"),
        "credentials .*KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD",
    ),
    "wrong client secret": (
        lambda secure, url: secure.sasl(
            "OAUTHBEARER", sasl_username=US, sasl_oauth_token_url=url, sasl_password="wrong"
        ),
        r"KAFKA_SASL_OAUTH_TOKEN_URL .* status 401: are KAFKA_SASL_USERNAME \(the client id\), KAFKA_SASL_PASSWORD",
    ),
    "no token endpoint": (
        lambda secure, _url: secure.sasl(
            "OAUTHBEARER", sasl_username=US, sasl_oauth_token_url="http://127.0.0.1:9/token"
        ),
        r"No token .* KAFKA_SASL_OAUTH_TOKEN_URL \(127.0.0.1:9\): Connection refused",
    ),
    "untrusted certificate": (
        lambda secure, _url: secure.scram(US, ssl_ca_location=other_authority(secure).file),
        "certificate of the Kafka broker at 127.0.0.1 was refused .*KAFKA_SSL_CA_LOCATION",
    ),
    "wrong host name": (
        lambda secure, _url: secure.scram(US, bootstrap_servers=at_localhost(secure)),
        "does not name localhost: .*KAFKA_BOOTSTRAP_SERVERS .*KAFKA_SSL_CHECK_HOSTNAME=false",
    ),
    "no client certificate": (
        lambda secure, _url: without_certificate(secure),
        "asks for a client's certificate, and KAFKA_SSL_CERTIFICATE_LOCATION",
    ),
    "untrusted client certificate": (
        lambda secure, _url: by_other_certificate(secure),
        "refused our certificate: is KAFKA_SSL_CERTIFICATE_LOCATION signed",
    ),
    "TLS to a plain listener": (
        lambda secure, _url: secure.scram(US, bootstrap_servers=secure.broker.bootstrap_servers),
        "closes our connections: is KAFKA_SECURITY_PROTOCOL=SASL_SSL",
    ),
    "plain to a TLS listener": (
        lambda secure, _url: {"bootstrap_servers": secure.broker.address_of("SASL")},
        "closes our connections: is KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
    ),
    "no login at a listener that asks for one": (
        lambda secure, _url: secure.mtls(US, bootstrap_servers=secure.broker.address_of("SASL")),
        "closes our connections: is KAFKA_SECURITY_PROTOCOL=SSL",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused_names_the_setting(
    fault: str, secure: SecureKafka, token_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    values, words = REFUSED[fault]
    kafka = kafka_of(values(secure, token_url))
    with pytest.raises(BrokersUnreachableError, match=words) as refused:
        check_brokers(kafka, 2.0 if "closes our" in words else 30.0)
    assert "\n" not in str(refused.value)
    assert "wrong" not in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert capfd.readouterr().err == ""  # of the client's own log


async def test_readiness_names_the_setting_when_credentials_are_refused(secure: SecureKafka) -> None:
    kafka: KafkaSettings = kafka_of(secure.scram(US, sasl_password="wrong"))
    watch = BrokerWatch(kafka)
    until = time.monotonic() + 30
    while "KAFKA_SASL_PASSWORD" not in (watch.problem or "") and time.monotonic() < until:
        await watch.look()
    assert "KAFKA_SASL_PASSWORD" in (watch.problem or "")


@contextmanager
def started(arguments: list[str], values: Values, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a command where there is no file `.env`; ended at once when it still runs."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    with subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *arguments],
        env=environment
        | environment_of(values)
        | {"PYTHONPATH": str(Path(__file__).parents[3]), "STREAMS_LOG_FORMAT": "json"},
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_command_ends_with_one_sentence(secure: SecureKafka, tmp_path: Path) -> None:
    with started(["check-topics"], secure.scram(US, sasl_password="wrong"), tmp_path) as command:
        _, errors = command.communicate(timeout=120)
    assert command.returncode == 78
    assert errors.count("\n") == 1
    assert "KAFKA_SASL_PASSWORD" in errors


@pytest.mark.parametrize("process", ["worker export", "connector"])
def test_a_process_waits_with_one_sentence(process: str, secure: SecureKafka, tmp_path: Path) -> None:
    values = secure.scram(US, sasl_password="wrong")
    with started(process.split(), values, tmp_path) as waiting:
        assert waiting.stderr is not None
        line = json.loads(waiting.stderr.readline())  # the next one is a minute later
    assert line["event"] == "waiting for the brokers"
    assert "KAFKA_SASL_PASSWORD" in line["reason"]
