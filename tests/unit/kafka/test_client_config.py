"""Every setting arrives in every client that our processes build, or is on a list with a reason."""

import contextlib
import re
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiokafka
import confluent_kafka
import pytest

from connectors.kafka import access, admin, compacted, consumer, lag, producer, transaction
from connectors.kafka.client_config import admin_config, aiokafka_config, consumer_config, producer_config
from connectors.kafka.settings import KafkaSettings
from streams.batches import BatchSettings
from streams.batches.consume import transport
from streams.batches.core.producer import Producer as BatchProducer
from streams.batches.process import faust_app, topics
from streams.batches.table import recovery
from streams.export import worker as export_worker
from streams.export.settings import ExportSettings
from streams.process import StreamsSettings
from streams.profile import worker as profile_worker
from streams.profile.settings import ProfileSettings
from tests.secure_kafka import Authority

ROOT = Path(__file__).parent.parent.parent.parent
SECRET = "canary-pa55word"

CHANGED: dict[str, Any] = {
    "bootstrap_servers": "other:9093",
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_oauth_token_url": "https://other.example.org/token",
    "sasl_oauth_scope": "other",
    "sasl_username": "somebody",
    "sasl_password": "other",
    "ssl_ca_location": "other-ca.pem",
    "ssl_certificate_location": "other-certificate.pem",
    "ssl_key_location": "other-key.pem",
    "ssl_key_password": "other",
    "ssl_check_hostname": False,
    "client_id": "other",
    "client_rack": "other",
    "compression": "zstd",
    "reconnect_backoff_seconds": 0.5,
    "reconnect_backoff_max_seconds": 5.0,
    "session_timeout_seconds": 60.0,
    "delivery_timeout_seconds": 7.0,
    "transaction_timeout_seconds": 6.0,
    "max_message_bytes": 6 << 20,
}
NO_CLIENT = {
    "sasl_password_file": "read into sasl_password",
    "ssl_key_password_file": "read into ssl_key_password",
    "topic_prefix": "names topics",
    "topics": "names topics",
    "partitions": "shapes topics that are created",
    "replication_factor": "shapes topics that are created",
    "min_insync_replicas": "shapes topics that are created",
}
PRODUCERS = {"producer", "transaction", "export producer", "profile producer"}
CONSUMERS = {"group consumer", "compacted", "lag", "recovery", "export consumer", "profile consumer"}
ADMINS = {"admin", "batches admin", "lag admin"}
OTHERS = {"receipts reader"}
BY_TOKEN = {"sasl_oauth_token_url", "sasl_oauth_scope"}
"""With the mechanism OAUTHBEARER."""
NOT_FOR: dict[str, tuple[set[str], str]] = {
    "compression": (CONSUMERS | ADMINS | OTHERS, "whoever writes compresses"),
    "client_rack": (
        PRODUCERS | ADMINS | {"compacted", "lag", "recovery", "receipts reader"},
        "they read nothing, or to the end that leaders know",
    ),
    "reconnect_backoff_max_seconds": (
        OTHERS | {"export consumer", "profile consumer"},
        "aiokafka waits the same time each time",
    ),
    "session_timeout_seconds": (PRODUCERS | ADMINS | OTHERS, "no members of a group"),
    "delivery_timeout_seconds": (CONSUMERS | ADMINS | OTHERS, "they write nothing"),
    "transaction_timeout_seconds": ((PRODUCERS - {"transaction"}) | CONSUMERS | ADMINS | OTHERS, "no transactions"),
    "max_message_bytes": (
        ADMINS | OTHERS | {"export consumer", "profile consumer"},
        "no records; aiokafka's fetches take a first record however large it is",
    ),
}


class Context:
    """Stands in for ssl.SSLContext, and can be compared."""

    def __init__(self, cafile: str | None) -> None:
        self.cafile = cafile
        self.check_hostname = True
        self.chain: tuple[Any, ...] = ()

    def load_cert_chain(self, *chain: Any) -> None:
        self.chain = chain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Built(BaseException):
    """Ends the construction of a client with the configuration that it was to be made with."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config


class Probe:
    """Takes the place of a client's class."""

    def __init__(self, *configs: dict[str, Any], **arguments: Any) -> None:
        raise Built({**(configs[0] if configs else {}), **arguments})


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (producer, "Producer"),
        (transaction, "Producer"),
        (consumer, "Consumer"),
        (compacted, "Consumer"),
        (lag, "Consumer"),
        (lag, "AdminClient"),
        (admin, "AdminClient"),
        (topics, "AdminClient"),
        (confluent_kafka, "Consumer"),
        (aiokafka, "AIOKafkaConsumer"),
    ):
        monkeypatch.setattr(module, name, Probe)
    monkeypatch.setattr(access.ssl, "create_default_context", lambda cafile=None: Context(cafile))


def of_export(kafka: KafkaSettings) -> BatchSettings:
    return export_worker.batch_settings(StreamsSettings(), kafka, ExportSettings())


def of_profile(kafka: KafkaSettings) -> BatchSettings:
    return profile_worker.batch_settings(StreamsSettings(), kafka, ProfileSettings())


def batch_consumer(made: BatchSettings) -> Any:
    """Build the consumer of a batch app as its Faust transport does."""
    app = faust_app.make_faust_app(made, SimpleNamespace())  # type: ignore[arg-type]
    thread = SimpleNamespace(app=app, _runtime=SimpleNamespace(settings=made))
    return transport.BatchConsumerThread._create_worker_consumer(thread, SimpleNamespace())  # type: ignore[arg-type]


async def started(view: compacted.CompactedTopic) -> None:
    await view.start()


def lag_consumer(kafka: KafkaSettings) -> None:
    lag.AdminClient = lambda config: None  # type: ignore[assignment,misc] # undone with the probes
    lag.LagReader(kafka)


CLIENTS: dict[str, Callable[[KafkaSettings], Any]] = {
    "producer": lambda kafka: producer.AsyncProducer(kafka, "x"),
    "transaction": lambda kafka: transaction.TransactionalPublisher(kafka, "id"),
    "export producer": lambda kafka: BatchProducer(of_export(kafka)),
    "profile producer": lambda kafka: BatchProducer(of_profile(kafka)),
    "group consumer": lambda kafka: consumer.GroupConsumer(kafka, "g", "t"),
    "compacted": lambda kafka: started(compacted.CompactedTopic(kafka, "t")).send(None),
    "lag": lag_consumer,
    "lag admin": lag.LagReader,
    "recovery": lambda kafka: recovery.restore([], of_profile(kafka), stop=SimpleNamespace()),  # type: ignore[arg-type]
    "export consumer": lambda kafka: batch_consumer(of_export(kafka)),
    "profile consumer": lambda kafka: batch_consumer(of_profile(kafka)),
    "admin": admin.check_topics,
    "batches admin": lambda kafka: topics.admin_client(of_export(kafka)),
    "receipts reader": lambda kafka: Probe(aiokafka_config(kafka, "export-reader")),
}
VARIES = {"group.id", "error_cb", "logger", "partition_assignment_strategy"}
"""Not from the settings: random names, objects of each client."""


def config_of(client: str, kafka: KafkaSettings) -> dict[str, Any]:
    with pytest.raises(Built) as built:
        CLIENTS[client](kafka)
    return {name: value for name, value in built.value.config.items() if name not in VARIES}


def base(directory: Path, by_token: Collection[str] = ()) -> dict[str, Any]:
    files = {f"ssl_{kind}_location": directory / f"{kind}.pem" for kind in ("ca", "certificate", "key")}
    for file in [*files.values(), *(directory / str(CHANGED[name]) for name in files)]:
        file.touch()
    return {
        "bootstrap_servers": "first:9092",
        "security_protocol": "SASL_SSL",
        "sasl_username": "us",
        "sasl_password": SECRET,
        "ssl_key_password": SECRET,
        **files,
        **({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_url": "https://example.org/token"} if by_token else {}),
    }


@pytest.mark.parametrize("client", sorted(CLIENTS))
@pytest.mark.usefixtures("probes")
def test_every_client_logs_in_by_tokens_where_asked(client: str, tmp_path: Path) -> None:
    config = config_of(client, KafkaSettings(**base(tmp_path, BY_TOKEN)))
    source = config["oauth_cb"] if "oauth_cb" in config else config["sasl_oauth_token_provider"].source
    assert source.url == "https://example.org/token"
    assert not any(name.endswith(("username", "password")) and "sasl" in name for name in config)


def test_each_setting_is_looked_for_or_is_no_clients() -> None:
    assert set(CHANGED) | set(NO_CLIENT) == set(KafkaSettings.model_fields)
    assert not set(CHANGED) & set(NO_CLIENT)
    assert set(CLIENTS) == PRODUCERS | CONSUMERS | ADMINS | OTHERS


@pytest.mark.parametrize("client", sorted(CLIENTS))
@pytest.mark.parametrize("field", sorted(CHANGED))
@pytest.mark.usefixtures("probes")
def test_a_setting_arrives_in_every_client(field: str, client: str, tmp_path: Path) -> None:
    values = base(tmp_path, BY_TOKEN if field in BY_TOKEN else ())
    changed = tmp_path / CHANGED[field] if field.endswith("_location") else CHANGED[field]
    before = config_of(client, KafkaSettings(**values))
    after = config_of(client, KafkaSettings(**{**values, field: changed}))
    exempt = client in NOT_FOR.get(field, (set(), ""))[0]
    assert (before == after) is exempt, f"{field} is {'also' if exempt else 'not'} seen by {client}"


def test_nobody_else_makes_a_clients_configuration() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for room in ("streams", "connectors")
        for path in (ROOT / room).rglob("*.py")
        if path.name not in {"client_config.py", "embedded.py", "loopback.py"}
        and "devkit" not in path.parts
        and re.search(r"[\"']bootstrap\.servers[\"']", path.read_text())
    ]
    assert not wrong


def test_plain_text_needs_only_an_address() -> None:
    config = admin_config(KafkaSettings(bootstrap_servers="a:1,b:2"), "x")
    assert config["bootstrap.servers"] == "a:1,b:2"
    assert config["security.protocol"] == "PLAINTEXT"
    assert not any(name.startswith(("sasl", "ssl")) for name in config)


def test_a_first_wait_is_at_most_the_longest() -> None:
    with pytest.raises(ValueError, match=r"KAFKA_RECONNECT_BACKOFF_SECONDS must be at most .*_MAX_SECONDS: 3 is more"):
        KafkaSettings(reconnect_backoff_seconds=3)


def test_a_broker_that_went_away_is_tried_again_after_the_wait_that_is_set() -> None:
    """Attempts of librdkafka in a second, at a port that closes each connection."""
    counts = []
    for seconds in (0.02, 0.4):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.1)
            settings = KafkaSettings(
                bootstrap_servers=f"127.0.0.1:{server.getsockname()[1]}",
                reconnect_backoff_seconds=seconds,
                reconnect_backoff_max_seconds=seconds,
            )
            client = confluent_kafka.Producer({**producer_config(settings, "x"), "log_level": 0})
            client.produce("t", b"")
            count, end = 0, time.monotonic() + 1
            while time.monotonic() < end:
                with contextlib.suppress(TimeoutError):
                    server.accept()[0].close()
                    count += 1
            client.purge()
            client.poll(0)
            counts.append(count)
    often, seldom = counts
    assert seldom <= 6  # 1 + 1 / (0.4 x 0.75), and what the client tries at once
    assert often > 2 * seldom


def test_without_an_address_the_setting_is_named() -> None:
    for make in (admin_config, aiokafka_config):
        with pytest.raises(ValueError, match="KAFKA_BOOTSTRAP_SERVERS is not set"):
            make(KafkaSettings(), "x")


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
    other = aiokafka_config(settings, "x")
    assert other["sasl_plain_password"] == SECRET
    assert other["ssl_context"].check_hostname


def test_certificate_files_are_passed_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("us")
    files = {"ca.pem": authority.file, "cert.pem": certificate, "key.pem": key}
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
    producing, consuming = producer_config(settings, "x"), consumer_config(settings, "x", "g")
    assert producing["enable.idempotence"] is True
    assert producing["acks"] == "all"
    assert producing["partitioner"] == "murmur2_random"
    assert producing["message.timeout.ms"] < consuming["session.timeout.ms"]
    assert consuming["isolation.level"] == "read_committed"
    assert consuming["enable.auto.commit"] is False
    assert consuming["allow.auto.create.topics"] is False
