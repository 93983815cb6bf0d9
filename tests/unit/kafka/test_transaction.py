"""What a failed transaction is for the caller, by what the client reported at each step."""

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka import transaction
from connectors.kafka.records import OutgoingRecord
from connectors.kafka.settings import KafkaSettings
from connectors.kafka.transaction import BrokenPublisherError, FencedError, TransactionalPublisher, TransactionError

FATAL = KafkaError(KafkaError._FATAL)
"""All that `produce` says when the client met its end in the background: neither the reason nor that it is fatal."""
FENCED = KafkaError(KafkaError._FENCED, "fenced by a newer instance", fatal=True)
LOST = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "not allowed", fatal=True)
REFUSED = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "too large")


class Client:
    """A producer that fails at the given step."""

    def __init__(self, at_produce: KafkaError, at_abort: KafkaError | None) -> None:
        self.at_produce, self.at_abort = at_produce, at_abort

    def begin_transaction(self) -> None:
        pass

    def produce(self, *_: object, **__: object) -> None:
        raise KafkaException(self.at_produce)

    def abort_transaction(self, _seconds: float) -> None:
        if self.at_abort is not None:
            raise KafkaException(self.at_abort)


@pytest.mark.parametrize(
    ("at_produce", "at_abort", "raised"),
    [
        (REFUSED, None, TransactionError),
        (REFUSED, LOST, BrokenPublisherError),
        (FENCED, None, FencedError),
        (FATAL, LOST, BrokenPublisherError),
        (FATAL, FENCED, FencedError),  # only the abort gives the reason
        (KafkaError(KafkaError._FATAL, "", fatal=True), FENCED, FencedError),
        (REFUSED, FENCED, FencedError),
        (LOST, None, BrokenPublisherError),
    ],
)
async def test_a_failure_is_named_by_what_the_client_said_last(
    monkeypatch: pytest.MonkeyPatch, at_produce: KafkaError, at_abort: KafkaError | None, raised: type[Exception]
) -> None:
    monkeypatch.setattr(transaction, "Producer", lambda _config: Client(at_produce, at_abort))
    publisher = TransactionalPublisher(KafkaSettings(bootstrap_servers="nowhere:1"), "id")
    with pytest.raises(TransactionError) as caught:
        await publisher.publish([OutgoingRecord("topic", b"k", b"v")])
    await publisher.close()
    assert type(caught.value) is raised
