"""The embedded broker: one real broker, restartable, that never outlives its owner."""

import contextlib
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.embedded_kafka.launch import answers
from tests.deadline import within
from tests.kafka_io import create_topic, produce, read_all


def test_keeps_data_and_address_over_an_orderly_restart_and_a_kill(own_broker: EmbeddedKafka) -> None:
    address = own_broker.bootstrap_servers
    create_topic(address, "kept", 2)
    produce(address, "kept", [(b"a", b"1")])

    own_broker.restart()
    produce(address, "kept", [(b"b", b"2")])
    own_broker.kill()
    assert not own_broker.running
    own_broker.start()

    assert own_broker.bootstrap_servers == address
    assert sorted(record.value or b"" for record in read_all(address, "kept")) == [b"1", b"2"]


def test_answers_again_after_a_pause(own_broker: EmbeddedKafka) -> None:
    port = int(own_broker.bootstrap_servers.rpartition(":")[2])
    own_broker.pause()
    assert not answers(port)
    own_broker.resume()
    assert within(20, lambda: answers(port))


def test_never_creates_a_topic_by_itself(own_broker: EmbeddedKafka) -> None:
    producer = Producer({"bootstrap.servers": own_broker.bootstrap_servers, "message.timeout.ms": 2000})
    producer.produce("by-accident", b"x")
    producer.flush(5)
    assert "by-accident" not in AdminClient({"bootstrap.servers": own_broker.bootstrap_servers}).list_topics().topics


def test_a_paused_broker_can_be_closed_and_leaves_no_files() -> None:
    broker = EmbeddedKafka(quick_jit=True).start()
    pid, directory = broker.pid, broker.directory
    broker.pause()
    broker.close()
    assert not psutil.pid_exists(pid)
    assert not directory.exists()


@pytest.mark.parametrize("victim", ["owner", "supervisor"])
def test_no_stray_process_after_a_sigkill(victim: str) -> None:
    script = textwrap.dedent(
        """
        import sys, threading
        from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
        broker = EmbeddedKafka(quick_jit=True)
        # From a thread that ends at once: a death signal bound to it would take the broker away too early.
        starter = threading.Thread(target=broker.start)
        starter.start()
        starter.join()
        print("started", broker.pid, broker.directory, broker.bootstrap_servers, flush=True)
        sys.stdin.read()
        """
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert owner.stdout is not None
    line = next(line for line in owner.stdout if line.startswith("started "))
    _, pid, directory, address = line.split()
    java = psutil.Process(int(pid))
    supervisor = java.parent()
    assert supervisor is not None
    assert answers(int(address.rpartition(":")[2]))

    (owner if victim == "owner" else supervisor).kill()
    try:
        within(20, lambda: not java.is_running() or java.status() == psutil.STATUS_ZOMBIE)
        if victim == "owner":
            within(20, lambda: not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE)
            assert not Path(directory).exists()
    finally:
        owner.kill()
        owner.communicate()
        for left_over in (java, supervisor):
            with contextlib.suppress(psutil.NoSuchProcess):
                left_over.kill()


def test_takes_properties_and_a_port_of_ours(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path, properties={"message.max.bytes": "2000"}, quick_jit=True) as broker:
        create_topic(broker.bootstrap_servers, "small")
        with pytest.raises((AssertionError, KafkaException), match=r"MSG_SIZE_TOO_LARGE|too large"):
            produce(broker.bootstrap_servers, "small", [(b"k", b"x" * 5000)])
        port = int(broker.bootstrap_servers.rpartition(":")[2])
        broker.stop()
        with EmbeddedKafka(tmp_path, port, quick_jit=True) as again:
            assert again.bootstrap_servers == f"127.0.0.1:{port}"
            assert [r.topic for r in read_all(again.bootstrap_servers, "small")] == []
