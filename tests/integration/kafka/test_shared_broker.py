"""The run's broker, as the fixtures give it."""

from confluent_kafka.admin import AdminClient

from schemas.topics import TopicNames
from tests.broker import Broker, ask
from tests.conftest import KEEPER
from tests.kafka_io import create_topic, produce, read_all


def test_every_worker_gets_the_same_broker(broker: Broker, pytestconfig) -> None:
    keeper = pytestconfig.stash.get(KEEPER, None)
    address = keeper.address if keeper else pytestconfig.workerinput["broker_keeper"]
    assert ask(address) == broker


def test_takes_and_gives_records(broker: Broker, kafka_admin: AdminClient, namespace: str) -> None:
    topic = create_topic(broker.bootstrap_servers, namespace + "x", 3)
    positions = produce(broker.bootstrap_servers, topic, [(str(n).encode(), b"v", [("h", b"1")]) for n in range(20)])
    records = read_all(broker.bootstrap_servers, topic, at_least=20)
    assert {(r.partition, r.offset) for r in records} == set(positions)
    assert records[0].headers == [("h", b"1")]
    assert topic in kafka_admin.list_topics(timeout=10).topics


def test_topic_names_are_the_tests_own(topic_names: TopicNames, namespace: str) -> None:
    assert topic_names["cm_user"] == namespace + "cm_user"
