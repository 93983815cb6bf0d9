"""What /ready answers while no broker does, and how often that is logged."""

import structlog
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka.broker_watch import BrokerWatch
from connectors.kafka.settings import KafkaSettings


async def test_a_change_of_state_is_a_sentence_and_one_line():
    away = False

    def ask() -> None:
        if away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Failed to get metadata"))

    watch = BrokerWatch(KafkaSettings(bootstrap_servers="127.0.0.1:9"), ask)
    with structlog.testing.capture_logs() as lines:
        await watch.look()
        assert watch.problem is None
        away = True
        for _request in range(3):
            await watch.look()
            assert watch.problem == "no broker of 127.0.0.1:9 answers: Failed to get metadata"
        away = False
        await watch.look()
        assert watch.problem is None
    assert [line["event"] for line in lines] == ["no broker answers", "the brokers answer again"]


async def test_brokers_that_are_away_are_found():
    async with BrokerWatch(KafkaSettings(bootstrap_servers="127.0.0.1:9")) as watch:
        await watch.look()
        assert "127.0.0.1:9" in watch.problem
