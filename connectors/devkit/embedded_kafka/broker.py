"""A real Apache Kafka broker, started and ended by us, for when no bootstrap server is configured.

    with EmbeddedKafka() as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})

One KRaft node on loopback, on free ports, with automatic topic creation off. It ends with this process, however this
process ends (supervise.py). The fault tests kill, stop and wake it through the same object. Every method blocks for as
long as it takes; from a coroutine use `async with` or `asyncio.to_thread`.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from connectors.devkit.embedded_kafka.artifacts import (
    BrokerUnavailableError,
    Distribution,
    PrintProgress,
    distribution,
    locked,
    to_stderr,
)
from connectors.devkit.embedded_kafka.launch import (
    HEAP,
    QUICK_JIT,
    answers,
    as_text,
    broker_properties,
    format_storage,
    java_main,
    last_error,
)
from connectors.devkit.ports import free_ports

log = structlog.get_logger(__name__)

START_SECONDS = 60.0
"""From the start of the Java process to its first answer. 0.9 s when prepared, 3 s when not; more when busy."""
STOP_SECONDS = 20.0
"""From SIGTERM to SIGKILL. The broker closes its logs in under half a second at rest."""
SUPERVISOR = Path(__file__).parent.with_name("supervise.py")


class EmbeddedKafka:
    """One broker process with its data directory and its port, both kept over `stop`, `kill` and `restart`.

    Args:
        data_dir: where the logs live and stay; without it a temporary directory, removed by `close`.
        port: the clients' port; without it a free one.
        properties: broker properties that go before ours.
        listeners: names of listeners beside the plain one, each on a free port (`address_of`). `properties` have their
            protocols (`listener.security.protocol.map`) and what else they need.
        quick_jit: compile less. A start takes 38 % less CPU, and load about a third more: for tests and `make run`.
        java_options: further options of Java, as for what is logged.
        progress: called with what takes long: fetching and preparing, each once per user.
        held: file descriptors that stay open until the broker has ended, as that of a lock on its directory.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        listeners: Sequence[str] = (),
        quick_jit: bool = False,
        java_options: Sequence[str] = (),
        progress: PrintProgress = to_stderr,
        held: Sequence[int] = (),
    ) -> None:
        self._temporary = None if data_dir else tempfile.TemporaryDirectory(prefix="cm-streams-kafka-")
        self._directory = Path(data_dir or (self._temporary.name if self._temporary else "")).absolute()
        self._port = port
        self._port_given = port is not None
        self._properties = dict(properties or {})
        self._listeners = dict.fromkeys(listeners, 0)
        self._quick_jit = quick_jit
        self._java_options = tuple(java_options)
        self._progress = progress
        self._held = tuple(held)
        self._supervisor: subprocess.Popen[str] | None = None
        self._pid = 0

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, host:port; known from the first `start` on and the same for good."""
        if self._port is None:
            raise RuntimeError("the embedded broker was not started yet")
        return f"127.0.0.1:{self._port}"

    def address_of(self, listener: str) -> str:
        """Return the address of one of the listeners beside the plain one, host:port; known after `start`."""
        return f"127.0.0.1:{self._listeners[listener]}"

    @property
    def directory(self) -> Path:
        """Where the broker keeps its logs (data/), its properties and its log (kafka.log)."""
        return self._directory

    @property
    def pid(self) -> int:
        """The process id of the Java process; 0 when it does not run."""
        return self._pid if self.running else 0

    @property
    def running(self) -> bool:
        """Whether the process lives. It may be stopped by `pause` all the same."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self, *, deadline_seconds: float = START_SECONDS) -> Self:
        """Start the broker and return when it answers; on the same data and port when it ran before.

        Raises:
            BrokerUnavailableError: Java or Maven is missing, or the broker did not come up; the message has the reason.
        """
        if self.running:
            return self
        found = distribution(self._progress)
        self._prepare_archive(found)
        self._launch(found, deadline_seconds)
        log.info("broker started", bootstrap_servers=self.bootstrap_servers, directory=str(self._directory))
        return self

    def stop(self, within_seconds: float = STOP_SECONDS) -> None:
        """End the broker in order (SIGTERM), then at once; its data stays. Does nothing when it does not run."""
        if self.running:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
        self._await_end(within_seconds)

    def kill(self) -> None:
        """End the broker at once (SIGKILL), as a power cut would; its data stays as it is."""
        self._signal(signal.SIGKILL)
        self._await_end(STOP_SECONDS)

    def restart(self, *, deadline_seconds: float = START_SECONDS) -> None:
        """Restart on the same data and port, after an orderly stop where it still runs."""
        self.stop()
        self.start(deadline_seconds=deadline_seconds)

    def pause(self) -> None:
        """Suspend the process (SIGSTOP): connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop, and remove the data unless its directory was given."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        try:
            return await asyncio.to_thread(self.start)
        except asyncio.CancelledError:
            await asyncio.to_thread(self.kill)  # the thread that waits for its answer ends with it
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _await_end(self, seconds: float) -> None:
        if self._supervisor is None:
            return
        try:
            self._supervisor.wait(seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._supervisor.wait(seconds)
        for pipe in (self._supervisor.stdin, self._supervisor.stdout):
            if pipe:
                pipe.close()
        self._supervisor = None

    def _launch(self, found: Distribution, deadline_seconds: float) -> None:
        """Format where needed, start, and wait for an answer; with other ports when someone else was faster."""
        for attempt in range(3):
            broker_port, controller_port, *others = free_ports(2 + len(self._listeners))
            port = self._port or broker_port
            if not all(self._listeners.values()):
                self._listeners = dict(zip(self._listeners, others, strict=True))
            if port == controller_port:
                continue
            options = [*HEAP, *([QUICK_JIT] if self._quick_jit else []), *self._java_options]
            options.append(f"-XX:SharedArchiveFile={found.class_archive}")
            self._configure(port, controller_port)
            format_storage(found, self._directory / "data", self._configuration)
            self._spawn([str(found.java), *options, *java_main(found, "kafka.Kafka"), str(self._configuration)])
            try:
                self._await_answer(port, time.monotonic() + deadline_seconds)
            except BrokerUnavailableError:
                if self._port_given or attempt == 2 or "BindException" not in last_error(self._directory):
                    raise
                self._port = None
                self._listeners = dict.fromkeys(self._listeners, 0)
                continue
            self._port = port
            self._port_given = True
            return

    @property
    def _configuration(self) -> Path:
        return self._directory / "server.properties"

    def _configure(self, port: int, controller_port: int) -> None:
        data = self._directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        controller = f"127.0.0.1:{controller_port}"
        properties = broker_properties(
            listeners={
                "PLAINTEXT": f"127.0.0.1:{port}",
                "CONTROLLER": controller,
                **{name: self.address_of(name) for name in self._listeners},
            },
            advertised=f"127.0.0.1:{port}",
            controller=controller,
            data=str(data),
            extra=self._properties,
        )
        self._configuration.write_text(as_text(properties))

    def _spawn(self, command: list[str]) -> None:
        removed_with_us = self._temporary.name if self._temporary else "-"
        with (self._directory / "kafka.log").open("ab") as log_file:
            # A session of its own: Ctrl-C in a terminal reaches us, and we end the broker when its clients are done.
            self._supervisor = subprocess.Popen(  # noqa: S603 - Java, no shell
                [sys.executable, "-I", "-S", str(SUPERVISOR), removed_with_us, *command],
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                start_new_session=True,
                pass_fds=self._held,
            )
        line = self._supervisor.stdout.readline() if self._supervisor.stdout else ""
        self._pid = int(line) if line.strip() else 0

    def _await_answer(self, port: int, deadline: float) -> None:
        """Return when the broker names itself in its metadata: from then on it serves every request."""
        while time.monotonic() < deadline and self.running:
            if answers(port):
                return
            time.sleep(0.02)
        ran = self.running
        self.kill()
        fault, reason = "did not answer in time" if ran else "ended", last_error(self._directory)
        raise BrokerUnavailableError(
            f"The embedded broker {fault}; the last error in its log in {self._directory}: {reason}"
        )

    def _prepare_archive(self, found: Distribution) -> None:
        """Make the class archive when there is none for this Java: a broker is started, asked, and stopped."""
        if found.class_archive.exists():
            return
        with locked(found.class_archive.parent), tempfile.TemporaryDirectory(prefix="cm-streams-cds-") as directory:
            if found.class_archive.exists():
                return
            self._progress("broker: preparing Kafka for faster starts (a few seconds, once)")
            partial = found.class_archive.with_suffix(".partial")
            trainee = EmbeddedKafka(Path(directory), quick_jit=True)
            trainee._launch(found._replace(class_archive=partial), START_SECONDS)
            trainee.stop()
            recording = f"-XX:ArchiveClassesAtExit={partial}"
            main = java_main(found, "kafka.Kafka")
            trainee._spawn([str(found.java), *HEAP, QUICK_JIT, recording, *main, str(trainee._configuration)])
            with contextlib.suppress(BrokerUnavailableError):
                trainee._await_answer(
                    int(trainee.bootstrap_servers.rpartition(":")[2]), time.monotonic() + START_SECONDS
                )
            trainee.stop()
            # Without an archive (a Java that cannot make one) the broker starts as well, two seconds slower.
            if partial.exists():
                partial.rename(found.class_archive)
