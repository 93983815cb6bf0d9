"""Fixtures of every test: the one broker of the run, and names that no other test uses."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from confluent_kafka.admin import AdminClient

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from schemas.topics import TopicNames
from tests.broker import Broker, BrokerKeeper, ask
from tests.faults.report import FaultReport

hypothesis.settings.register_profile("same-every-time", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same-every-time")

KEEPER = pytest.StashKey[BrokerKeeper]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the broker in the controlling process, also when there are no workers; count fault tests by fault."""
    config.pluginmanager.register(FaultReport(), "fault-report")
    if not hasattr(config, "workerinput"):
        config.stash[KEEPER] = BrokerKeeper()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a pytest-xdist worker where the broker's keeper listens."""
    node.workerinput["broker_keeper"] = node.config.stash[KEEPER].address


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say in one line which broker the tests ran against."""
    keeper = config.stash.get(KEEPER, None)
    if keeper and keeper.broker:
        terminalreporter.write_line(f"broker: {keeper.broker.kind}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the broker with the run."""
    keeper = config.stash.get(KEEPER, None)
    if keeper:
        keeper.close()


@pytest.fixture(scope="session")
def broker(pytestconfig: pytest.Config) -> Broker:
    """The run's broker, shared by all tests and workers: use `namespace`, never a fixed topic or group name."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    return ask(workerinput["broker_keeper"]) if workerinput else pytestconfig.stash[KEEPER].get()


@pytest.fixture(scope="session")
def bootstrap_servers(broker: Broker) -> str:
    """The address of the run's broker."""
    return broker.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_admin(broker: Broker) -> AdminClient:
    """An admin client of the run's broker."""
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


@pytest.fixture
def namespace() -> str:
    """A prefix for topics, groups and transactional ids that is this test's alone."""
    return f"t{uuid.uuid4().hex[:10]}-"


@pytest.fixture
def topic_names(namespace: str) -> TopicNames:
    """Our topics under this test's own prefix. They are not made: see `connectors.kafka.admin.ensure_topics`."""
    return TopicNames(prefix=namespace)


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[EmbeddedKafka]:
    """An embedded broker for this test alone, which it may kill, pause and restart."""
    with EmbeddedKafka(tmp_path / "broker", quick_jit=True) as embedded:
        yield embedded
