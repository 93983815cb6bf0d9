"""One real broker for a whole test run, whatever the number of pytest-xdist workers.

The controlling process keeps it: it listens on loopback and starts the broker when the first worker asks, so that a run
of unit tests starts none. Its life is the controller's, so a crashed worker takes nothing along and leaves nothing.
"""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from connectors.devkit.embedded_kafka.broker import EmbeddedKafka
from connectors.devkit.embedded_kafka.launch import answers, as_environment, broker_properties
from connectors.devkit.ports import free_ports
from tests.deadline import within

IMAGE = "apache/kafka:4.1.1"
PROBE_SECONDS = 2
START_SECONDS = 120


@dataclass(frozen=True)
class Broker:
    """A broker that tests may use, and what it is."""

    bootstrap_servers: str
    kind: str


class BrokerKeeper:
    """Starts the broker once, on demand, and gives every worker its address."""

    def __init__(self) -> None:
        self.broker: Broker | None = None
        self._lock = threading.Lock()
        self._stop: Callable[[], None] = lambda: None
        self._server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True, name="broker-keeper").start()

    def get(self) -> Broker:
        """Return the broker, started when this is the first call."""
        with self._lock:
            if self.broker is None:
                self.broker, self._stop = start()
            return self.broker

    def close(self) -> None:
        """Stop the broker, if there is one."""
        self._server.close()
        with self._lock:
            self._stop()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            try:
                answer = vars(self.get())
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            connection.sendall(json.dumps(answer).encode())


def ask(address: str) -> Broker:
    """Return the broker of the keeper at this address."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=START_SECONDS + 60) as connection:
        answer = json.loads(b"".join(iter(lambda: connection.recv(4096), b"")))
    if "error" in answer:
        raise RuntimeError(f"no broker for the tests: {answer['error']}")
    return Broker(**answer)


def start() -> tuple[Broker, Callable[[], None]]:
    """Start a container where an engine answers and can run the image, else the embedded broker."""
    why = "no container engine answers"
    if engine_answers():
        try:
            return start_container()
        except Exception as error:  # the engine is there and cannot run the image: no network, no space, no rights
            why = f"the container engine could not run {IMAGE}: {type(error).__name__}"
    embedded = EmbeddedKafka(quick_jit=True).start()
    return Broker(embedded.bootstrap_servers, f"embedded Apache Kafka 4.1.1 ({why})"), embedded.close


def engine_answers() -> bool:
    """Whether a container engine answers at once."""
    import docker

    try:
        client = docker.from_env(timeout=PROBE_SECONDS)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:
        return False


def start_container() -> tuple[Broker, Callable[[], None]]:
    """Start the image with the embedded broker's properties, and wait until it answers."""
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)
    # Inside the container the client listener must be bound to every address, and is advertised as the host's port.
    properties = broker_properties(
        listeners={"PLAINTEXT": "0.0.0.0:9092", "CONTROLLER": "127.0.0.1:9093"},
        advertised=f"127.0.0.1:{port}",
        controller="127.0.0.1:9093",
    )
    container = DockerContainer(IMAGE).with_envs(**as_environment(properties)).with_bind_ports(9092, port)
    container.start()
    try:
        within(START_SECONDS, lambda: answers(port), every=0.1)
    except BaseException:
        container.stop()
        raise
    return Broker(f"127.0.0.1:{port}", f"{IMAGE} by testcontainers"), container.stop
